"""Strengths block by block (`lbw=`), as the A1111 extension sd-webui-lora-block-weight writes them. No torch.

A list has 12, 17, 20 or 26 numbers, each length for its own blocks; blocks that a list does not name count as 0. What
a number multiplies here is the strength, for every kind of update.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from webui.errors import FileError, InvalidRequest

TEXT = "BASE"  # the text encoders
BLOCKS = (TEXT, *(f"IN{n:02}" for n in range(12)), "M00", *(f"OUT{n:02}" for n in range(12)))


def _form(inputs: Iterable[int], outputs: Iterable[int]) -> tuple[str, ...]:
    return (TEXT, *(f"IN{n:02}" for n in inputs), "M00", *(f"OUT{n:02}" for n in outputs))


FORMS: Mapping[int, tuple[str, ...]] = {  # blocks by the number of numbers
    12: _form((4, 5, 7, 8), range(6)),  # XL, blocks with attention
    17: _form((1, 2, 4, 5, 7, 8), range(3, 12)),  # SD 1 and 2, blocks with attention
    20: _form(range(9), range(9)),  # XL, all
    26: BLOCKS,  # SD 1 and 2, all
}
PRESETS: Mapping[str, str] = {  # one digit a number
    name: ",".join(digits)
    for name, digits in {
        "NONE": "00000000000000000",
        "ALL": "11111111111111111",
        "INS": "11110000000000000",
        "IND": "10001110000000000",
        "INALL": "11111110000000000",
        "MIDD": "10001111111100000",
        "OUTD": "10000000111100000",
        "OUTS": "10000000000011111",
        "OUTALL": "10000000111111111",
    }.items()
} | {"ALL0.5": ",".join(["0.5"] * 17)}
PRESET_FILE = "lbwpresets.txt"
BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.|(middle_block)\.")
LARGEST = 1000.0


def block_weights(text: str, presets: Mapping[str, str] = PRESETS) -> dict[str, float]:
    """Weights by block: of a list of numbers, of a preset's name, or of one block's name (that block alone).

    Raises InvalidRequest for anything else.
    """
    wanted = text.strip()
    numbers = presets.get(wanted, wanted).split(",")
    if len(numbers) in FORMS:
        return dict(zip(FORMS[len(numbers)], (_number(one.strip()) for one in numbers), strict=True))
    alone = "M00" if wanted == "MID" else wanted
    if alone in BLOCKS:
        return {block: float(block == alone) for block in BLOCKS}
    if len(numbers) > 1:
        found = f"There are {len(numbers)} block weights: {wanted!r}."
        raise InvalidRequest(found, "12 or 20 (XL), 17 or 26 (SD 1 and 2) were wanted, the first for the text encoder.")
    close = difflib.get_close_matches(wanted, [*presets, *BLOCKS], n=3, cutoff=0.5) or list(PRESETS)
    raise InvalidRequest(
        f"There are no block weights named {wanted!r}.",
        f"Did you mean {' or '.join(close)}?",
        f"Own ones are lines NAME:numbers in {PRESET_FILE} in the data folder.",
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        found = f"{text!r} stands among the block weights."
        raise InvalidRequest(found, "Numbers were wanted; random (R, U) and inherited (X) ones are not known here.")
    return value


def read_presets(path: Path) -> dict[str, str]:
    """The presets that everybody has and those of a file (lines NAME:numbers), which win. Raises FileError.

    As in the extension, lines of another form are comments.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path.name} cannot be read ({error}).", "Text in UTF-8 was wanted.") from None
    own = (line.split(":", 1) for line in lines if ":" in line and not line.lstrip().startswith("#"))
    found = {name.strip(): numbers.strip() for name, numbers in own if numbers.count(",") + 1 in FORMS}
    return {**PRESETS, **found}


def block_of(part: int, parameter: str) -> str | None:
    """The block of a parameter of part 0 (the denoising network) or of a text encoder; None for what is in none."""
    if part:
        return TEXT
    found = BLOCK.match(parameter)
    if found is None:
        return None
    return "M00" if found[3] else f"{'IN' if found[1] == 'input' else 'OUT'}{int(found[2]):02}"
