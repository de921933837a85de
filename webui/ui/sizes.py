"""Picture sizes that fit a checkpoint, and plain-words hints about values that do not. No gradio here."""

from __future__ import annotations

from webui.ui.language import text

RATIOS = ((1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16))
FACTOR = 8  # pixels of one latent value, in every family that the page offers


def presets(native: int) -> list[tuple[int, int]]:
    """Sizes (width, height) of about `native`² pixels in the usual proportions, the square one first."""
    step = 64 if native >= 768 else 32 if native >= 256 else 16
    sizes: dict[tuple[int, int], None] = {}
    for across, down in RATIOS:
        short = round(native * (min(across, down) / max(across, down)) ** 0.5 / step) * step
        # The long side is rounded down so that no preset has many more pixels than the checkpoint has seen.
        long = native * native // short // step * step
        sizes[(long, short) if across >= down else (short, long)] = None
    return list(sizes)


def preset_name(size: tuple[int, int]) -> str:
    """ "768x512": the value of a preset's button."""
    return f"{size[0]}x{size[1]}"


def follow(width: int, height: int, before: int, after: int) -> tuple[int, int]:
    """The size after a change of checkpoint: a preset of the old native size becomes its counterpart, others stay."""
    old, new = presets(before), presets(after)
    if before == after or (width, height) not in old:
        return width, height
    proportion = width / height
    return min(new, key=lambda size: abs(size[0] / size[1] - proportion))


def hints(
    language: str, native: int | None, width: float | None, height: float | None, scale: float | None, negative: str
) -> list[str]:
    """Sentences about values that would make a poor picture without any error."""
    found = []
    if width and height and (width % FACTOR or height % FACTOR):
        found.append(text(language, "hint.multiple", factor=FACTOR))
    if width and height and native:
        share = (width * height) / (native * native)
        if share > 2.3:
            found.append(text(language, "hint.large", native=native))
        elif share < 0.45:
            found.append(text(language, "hint.small", native=native))
    if scale is not None and scale <= 1 and negative.strip():
        found.append(text(language, "hint.negative"))
    return found
