"""Which checkpoints and VAEs lie in the model folders, and which one a name means. No torch: it is read at start-up."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from webui.errors import FileError, NotFound
from webui.paths import Paths
from webui.text.styles import Style, read_styles

if TYPE_CHECKING:
    from webui.settings import Settings

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
PICTURES = (".png", ".webp")  # which embeddings may come in
NOT_CHECKPOINTS = re.compile(r"(^|[-_.])(vae|tiny|taesd|taesdxl|preview)[-_.]", re.IGNORECASE)  # beside checkpoints
BRACKETED_HASH = re.compile(r"\s*\[([0-9a-fA-F]{6,64})\]\s*$")
DATA = "|data"  # after the key of a file whose bytes without the header were hashed
SHORT_HASH = 10  # characters of the SHA-256 that titles and infotexts show
T = TypeVar("T")


@dataclass(frozen=True)
class CheckpointFile:
    """One file (or diffusers folder) that can be loaded. `sha256` is None until it has been computed."""

    name: str  # path below its model folder, "/" between parts: "portraits/model.safetensors"
    path: Path
    size: int  # bytes
    modified: int  # nanoseconds
    sha256: str | None = None

    @property
    def stem(self) -> str:
        """File name without folder and suffix, as infotexts write it."""
        return self.path.stem if self.path.suffix.lower() in (*SUFFIXES, *PICTURES) else self.path.name

    @property
    def short_hash(self) -> str | None:
        """First ten characters of the SHA-256, or None while it is unknown."""
        return self.sha256[:SHORT_HASH] if self.sha256 else None

    @property
    def title(self) -> str:
        """What menus show: "model.safetensors [0123456789]"."""
        return f"{self.name} [{self.short_hash}]" if self.sha256 else self.name

    @property
    def key(self) -> str:
        """Changes whenever the file does; what caches are keyed by."""
        return f"{self.path}|{self.size}|{self.modified}"


class Catalogue:
    """The files of the model folders, listed once and again at `refresh`. Safe to share between threads.

    `cache` is a JSON file that keeps computed hashes between starts (None: memory only), `default` the checkpoint that
    requests without one mean (empty: the starter), `vae_choices` the names of VAEs by the titles of the checkpoints
    that they are remembered for.
    """

    def __init__(
        self,
        paths: Paths,
        cache: Path | None = None,
        default: str = "",
        vae_choices: Mapping[str, str] | None = None,
    ):
        self.vae_choices: Mapping[str, str] = vae_choices or {}
        self._paths = paths
        self._cache = cache
        self._hashes: dict[str, str] = _read_cache(cache)
        self._facts: dict[str, Any] = {}
        self._others: dict[str, list[CheckpointFile]] = {}  # adapters and the like, by kind of folder
        self._lock = threading.RLock()
        self.default = default
        self.refresh()

    def refresh(self) -> None:
        """Look at the folders again. Hashes of unchanged files are kept."""
        with self._lock:
            self._hashes |= _read_cache(self._cache)
            self._others = {}
            # Only the top of the models folder itself is searched: its other subfolders hold other kinds of files.
            folders = [*((folder, True) for folder in self._paths.folders("checkpoints")), (self._paths.models, False)]
            self._checkpoints = [f for f in self._list(folders) if not NOT_CHECKPOINTS.search(f.path.name)]
            self._vaes = self._list((folder, True) for folder in self._paths.folders("vae"))

    def checkpoints(self) -> list[CheckpointFile]:
        """All checkpoints, by name."""
        return [self._with_hash(file) for file in self._checkpoints]

    def vaes(self) -> list[CheckpointFile]:
        """All separate VAE files, by name."""
        return [self._with_hash(file) for file in self._vaes]

    def find(self, name: str | None) -> CheckpointFile:
        """The checkpoint of a title, name, file name, stem or hash prefix; None means the default.

        Raises NotFound with the closest names.
        """
        wanted = name or self.default
        if not self._checkpoints:
            raise NotFound(
                "There is no checkpoint yet.", "", "Put a .safetensors file into models/ and refresh the list."
            )
        if not wanted:
            return self._with_hash(
                next((f for f in self._checkpoints if "starter" in str(f.path)), self._checkpoints[0])
            )
        return self._match(wanted, self.checkpoints(), "checkpoint")

    def find_vae(self, name: str) -> CheckpointFile:
        """The VAE of a name. Raises NotFound with the closest names."""
        return self._match(name, self.vaes(), "VAE")

    def files(self, kind: str) -> list[CheckpointFile]:
        """All files of one kind of model folder ("loras", "embeddings" …; see `paths.MODEL_FOLDERS`), by name."""
        with self._lock:
            if kind not in self._others:
                found = self._list((folder, True) for folder in self._paths.folders(kind))
                if kind == "embeddings":
                    found = sorted([*found, *self._picture_embeddings()], key=lambda file: file.name.casefold())
                self._others[kind] = found
            return [self._with_hash(file) for file in self._others[kind]]

    def _picture_embeddings(self) -> list[CheckpointFile]:
        """Pictures that hold an embedding. Others in these folders are previews, and each is looked into only once."""
        from webui.adapters.embedding_picture import may_hold_embedding

        def holds(file: CheckpointFile) -> bool:
            return self.remembered("picture", file, lambda: may_hold_embedding(file.path))

        folders = [(folder, True) for folder in self._paths.folders("embeddings")]
        return [file for file in self._list(folders, _picture_paths) if holds(file)]

    def remembered(self, what: str, file: CheckpointFile, make: Callable[[], T]) -> T:
        """What `make` returns for a file, made again only when the file has changed."""
        key = f"{what}|{file.key}"
        if key not in self._facts:
            self._facts[key] = make()
        found: T = self._facts[key]
        return found

    def find_file(self, kind: str, name: str, label: str) -> CheckpointFile:
        """The file of a kind by name, stem, the name that its trainer wrote into it, or hash.

        One that was added since the folders were last looked at is found too. Raises NotFound with the closest names.
        """
        for again in (False, True):
            if again:
                with self._lock:
                    self._others.pop(kind, None)
            files = self.files(kind)
            found = (
                _named(name, files) or _trained_as(name, files) or _hashed(name, files) or self._by_data(name, files)
            )
            if found is not None:
                return found
        raise _not_found(name, name, files, label)

    def _by_data(self, digits: str, files: Sequence[CheckpointFile]) -> CheckpointFile | None:
        if not re.fullmatch(r"[0-9a-fA-F]{6,64}", digits):
            return None
        known = ((file, self._hashes.get(file.key + DATA, "")) for file in files)
        found = next((file for file, whole in known if whole.startswith(digits.lower())), None)
        return found or _by_metadata("sshs_model_hash", lambda said: said.startswith(digits.lower()), files)

    def file(self, path: Path) -> CheckpointFile:
        """The facts of a file that need not be in any list."""
        size, modified = _stamp(path)
        return self._with_hash(CheckpointFile(path.name, path, size, modified))

    def styles(self) -> dict[str, Style]:
        """The user's styles by name: `styles.csv` and other CSV files of that beginning in the data folder."""
        return read_styles(sorted(self._paths.data.glob("styles*.csv")))

    def sha256(self, file: CheckpointFile, data: bool = False) -> str:
        """The file's SHA-256 in hexadecimal, read once and remembered by path, size and time of change.

        With `data`, that of a safetensors file without its header, by which LoRAs are known whatever was noted in them.
        """
        key = file.key + DATA if data else file.key
        known = self._hashes.get(key)
        if known is None:
            known = _sha256(file.path, data)
            with self._lock:
                self._hashes[key] = known
                _write_cache(self._cache, self._hashes | _read_cache(self._cache))
        return known

    def hash_all(self, go_on: Callable[[], bool] = lambda: True) -> None:
        """Compute the missing hashes; meant for a background thread. Unreadable files are passed over."""
        for file in (*self._checkpoints, *self._vaes):
            if not go_on():
                return
            try:
                self.sha256(file)
            except FileError:
                continue

    def facts(self, file: CheckpointFile) -> Any:
        """What the family says about the file from its header alone (`families.ModelFacts`), remembered.

        Raises UnknownModel or DamagedFile for a file that no family can load.
        """
        if file.key not in self._facts:
            from webui import families
            from webui.weights.header import read_header

            self._facts[file.key] = families.facts(read_header(file.path))
        return self._facts[file.key]

    def _with_hash(self, file: CheckpointFile) -> CheckpointFile:
        return dataclasses.replace(file, sha256=self._hashes.get(file.key))

    def _list(
        self, folders: Iterable[tuple[Path, bool]], paths: Callable[[Path, bool], Iterator[Path]] | None = None
    ) -> list[CheckpointFile]:
        found: dict[Path, CheckpointFile] = {}
        for folder, deep in folders:
            for path in (paths or _weight_paths)(folder, deep):
                real = path.resolve()
                if real in found:
                    continue
                size, modified = _stamp(path)
                found[real] = CheckpointFile(path.relative_to(folder).as_posix(), path, size, modified)
        return sorted(found.values(), key=lambda file: file.name.casefold())

    def _match(self, wanted: str, files: Sequence[CheckpointFile], kind: str) -> CheckpointFile:
        text = wanted.strip()
        bare = BRACKETED_HASH.sub("", text)
        bracket = BRACKETED_HASH.search(text)
        exact = _named(text, files) or _hashed(bracket.group(1) if bracket else text, files) or _named(bare, files)
        if exact is not None:
            return exact
        parts = [file for file in files if bare and bare.casefold() in file.title.casefold()]
        if parts:
            return min(parts, key=lambda file: len(file.title))
        raise _not_found(wanted, bare, files, kind)


def open_catalogue(settings: Settings) -> Catalogue:
    """The catalogue of the user's folders, with hashes remembered in the data folder."""
    return Catalogue(
        settings.paths, settings.paths.data / "hashes.json", settings["checkpoint"], settings["vae_choices"]
    )


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


def _trained_as(name: str, files: Sequence[CheckpointFile]) -> CheckpointFile | None:
    """The file whose trainer was told to call it so."""
    return _by_metadata("ss_output_name", lambda said: said.casefold() == name.casefold(), files)


def _by_metadata(key: str, fits: Callable[[str], bool], files: Sequence[CheckpointFile]) -> CheckpointFile | None:
    """The first file in whose metadata the key has a value that fits."""
    from webui.weights.header import read_header

    for file in files:
        if file.path.suffix.lower() != ".safetensors":
            continue
        try:
            said = read_header(file.path).metadata.get(key, "")
        except FileError:
            continue  # a damaged neighbour is told of when it is asked for
        if said and fits(said):
            return file
    return None


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


def _weight_paths(folder: Path, deep: bool) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if (path / "model_index.json").is_file():
                yield path
            elif deep:
                yield from _weight_paths(path, deep)
        elif path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _picture_paths(folder: Path, deep: bool) -> Iterator[Path]:
    """Pictures that are not plainly previews: those of other files, and those that say so."""
    others = {path.with_suffix("") for path in _weight_paths(folder, deep)}
    for path in sorted(folder.rglob("*") if deep else folder.glob("*")):
        if path.suffix.lower() in PICTURES and not path.name.startswith(".") and path.is_file():
            stem = path.with_suffix("")
            if stem not in others and stem.suffix.lower() != ".preview":
                yield path


def _weight_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def _stamp(path: Path) -> tuple[int, int]:
    stats = [file.stat() for file in _weight_files(path)]
    return sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)


def _sha256(path: Path, data: bool = False) -> str:
    digest = hashlib.sha256()
    try:
        for file in _weight_files(path):
            with file.open("rb") as stream:
                if data and file.suffix.lower() == ".safetensors":
                    stream.seek(8 + int.from_bytes(stream.read(8), "little"))
                while block := stream.read(1 << 22):
                    digest.update(block)
    except OSError as error:
        raise FileError(
            f"{path.name} cannot be read: {error.strerror}.", "Check that the file is still there."
        ) from error
    return digest.hexdigest()


def _read_cache(cache: Path | None) -> dict[str, str]:
    if cache is None:
        return {}
    try:
        data = json.loads(cache.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # a cache: whatever is wrong with it, it is computed again
    return {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}


def _write_cache(cache: Path | None, hashes: Mapping[str, str]) -> None:
    if cache is None:
        return
    cache.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=cache.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(dict(hashes), stream, indent=1)
    Path(temporary).replace(cache)
