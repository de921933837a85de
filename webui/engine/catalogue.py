"""Which file a name means: checkpoints, VAEs and adapters of the library. No torch: it is read at start-up."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from webui.adapters.block_weights import PRESET_FILE, read_presets
from webui.errors import NotFound
from webui.library.files import PICTURES, SHORT_HASH, ModelFile
from webui.library.index import Library, open_library
from webui.text.style_files import StyleFiles
from webui.text.styles import Style

if TYPE_CHECKING:
    from webui.settings import Settings

CheckpointFile = ModelFile  # under the name that most of its readers know
BRACKETED_HASH = re.compile(r"\s*\[([0-9a-fA-F]{6,64})\]\s*$")
T = TypeVar("T")


class Catalogue:
    """Finds files of a library by the names that people and infotexts use. Safe to share between threads.

    `default` is the checkpoint that requests without one mean (empty: the starter), `vae_choices` the names of VAEs by
    the titles of the checkpoints that they are remembered for.
    """

    def __init__(self, library: Library, default: str = "", vae_choices: Mapping[str, str] | None = None):
        self.library = library
        self.default = default
        self.vae_choices: Mapping[str, str] = vae_choices or {}
        self._facts: dict[str, Any] = {}

    def refresh(self) -> None:
        """Look at the folders again. What is known of unchanged files is kept."""
        self.library.refresh()

    def checkpoints(self) -> list[CheckpointFile]:
        """All checkpoints, by name."""
        return self.library.files("checkpoints")

    def vaes(self) -> list[CheckpointFile]:
        """All separate VAE files, by name."""
        return self.library.files("vae")

    def files(self, kind: str) -> list[CheckpointFile]:
        """All files of one kind ("loras", "embeddings" …; see `paths.MODEL_FOLDERS`), by name."""
        return self.library.files(kind)

    def find(self, name: str | None) -> CheckpointFile:
        """The checkpoint of a title, name, file name, stem or hash prefix; None means the default.

        Raises NotFound with the closest names.
        """
        files = self.checkpoints()
        if not files and self.library.read_pending("checkpoints"):
            files = self.checkpoints()
        if not files:
            raise NotFound(
                "There is no checkpoint yet.", "", "Put a .safetensors file into models/ and refresh the list."
            )
        wanted = name or self.default
        if not wanted:
            return next((file for file in files if self.library.paths.starter in file.path.parents), files[0])
        return self._match(wanted, "checkpoints", "checkpoint")

    def find_vae(self, name: str) -> CheckpointFile:
        """The VAE of a name. Raises NotFound with the closest names."""
        return self._match(name, "vae", "VAE")

    def find_file(self, kind: str, name: str, label: str) -> CheckpointFile:
        """The file of a kind by name, stem, the name that its trainer wrote into it, or hash.

        One that was added since the folders were last looked at is found too. Raises NotFound with the closest names.
        """
        library = self.library
        for effort in (lambda: None, library.refresh, lambda: library.read_pending(kind)):
            effort()
            files = self.files(kind)
            found = (
                _named(name, files)
                or library.trained_as(kind, name)
                or _hashed(name, files)
                or library.with_data_hash(kind, name)
            )
            if found is not None:
                return found
        raise _not_found(name, name, files, label)

    def file(self, path: Path) -> CheckpointFile:
        """The facts of a file that need not be in any list."""
        return self.library.file(path)

    def styles(self) -> dict[str, Style]:
        """The user's styles by name: `styles.csv` and other CSV files of that beginning in the data folder."""
        return StyleFiles(self.library.paths.data).styles()

    def block_presets(self) -> dict[str, str]:
        """Block weights of adapters by name: everybody's, and the user's own in the data folder."""
        return read_presets(self.library.paths.data / PRESET_FILE)

    def sha256(self, file: CheckpointFile, data: bool = False) -> str:
        """The file's SHA-256 in hexadecimal; see `Library.sha256`."""
        return self.library.sha256(file, data)

    def facts(self, file: CheckpointFile) -> Any:
        """What the family says about the file from its header alone (`families.ModelFacts`), remembered.

        Raises UnknownModel or DamagedFile for a file that no family can load.
        """

        def read() -> Any:
            from webui import families
            from webui.weights.header import read_header

            return families.facts(read_header(file.path))

        return self.remembered("facts", file, read)

    def remembered(self, what: str, file: CheckpointFile, make: Callable[[], T]) -> T:
        """What `make` returns for a file, made again only when the file has changed."""
        key = f"{what}|{file.key}"
        if key not in self._facts:
            self._facts[key] = make()
        found: T = self._facts[key]
        return found

    def _match(self, wanted: str, kind: str, label: str) -> CheckpointFile:
        text = wanted.strip()
        bare = BRACKETED_HASH.sub("", text)
        bracket = BRACKETED_HASH.search(text)
        digits = bracket.group(1) if bracket else text
        for effort in (
            lambda: None,
            lambda: self.library.read_pending(kind),
        ):  # what it is may stand in the header only
            effort()
            files = self.files(kind)
            found = _named(text, files) or _hashed(digits, files) or _named(bare, files)
            if found is not None:
                return found
        parts = [file for file in files if bare and bare.casefold() in file.title.casefold()]
        if parts:
            return min(parts, key=lambda file: len(file.title))
        raise _not_found(wanted, bare, files, label)


def open_catalogue(settings: Settings) -> Catalogue:
    """The catalogue of the user's folders; what is known of their files is remembered in the data folder."""
    return Catalogue(open_library(settings.paths), settings["checkpoint"], settings["vae_choices"])


def conflicting_hash(name: str | None, file: CheckpointFile) -> str | None:
    """The hash that a title names when `file` is known to have another one; None when they agree."""
    bracket = BRACKETED_HASH.search(name or "")
    if bracket is None or file.sha256 is None or file.sha256.startswith(bracket.group(1).lower()):
        return None
    return bracket.group(1).lower()


def _not_found(wanted: str, bare: str, files: Sequence[CheckpointFile], kind: str) -> NotFound:
    close = difflib.get_close_matches(bare, [file.stem for file in files], n=3, cutoff=0.4)
    near = close or [file.stem for file in files[:3]]
    remedy = f"Did you mean {' or '.join(map(repr, near))}?" if near else "The folder is empty."
    return NotFound(f"There is no {kind} named {wanted!r}.", remedy)


def _named(name: str, files: Sequence[CheckpointFile]) -> CheckpointFile | None:
    """The file of a title, name below its folder, file name, stem or whole path; the earlier of these win."""
    spellings = [
        [file.title, file.name, file.path.name, file.stem, f"{file.stem} [{file.short_hash}]", str(file.path)]
        for file in files
    ]
    for one in zip(*spellings, strict=True):
        for file, spelling in zip(files, one, strict=True):
            if spelling.casefold() == name.casefold():
                return file
    return None


def _hashed(digits: str, files: Sequence[CheckpointFile]) -> CheckpointFile | None:
    if not re.fullmatch(r"[0-9a-fA-F]{6,64}", digits):
        return None
    return next((file for file in files if file.sha256 and file.sha256.startswith(digits.lower())), None)


__all__ = [
    "BRACKETED_HASH",
    "PICTURES",
    "SHORT_HASH",
    "Catalogue",
    "CheckpointFile",
    "conflicting_hash",
    "open_catalogue",
]
