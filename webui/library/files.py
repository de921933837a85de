"""Which model files lie in the folders: names, sizes, times, and what lies beside each. No file is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webui.paths import MODEL_FOLDERS, Paths

SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
PICTURES = (".png", ".webp")  # which embeddings may come in
NOTE_ENDINGS = (".json", ".civitai.info", ".txt", ".description.txt")
PREVIEW_ENDINGS = tuple(
    f"{middle}.{kind}" for middle in (".preview", "") for kind in ("png", "jpg", "jpeg", "webp", "gif")
)
BESIDE_ENDINGS = (*NOTE_ENDINGS, *PREVIEW_ENDINGS)
LAST_PARTS = tuple({"." + ending.rpartition(".")[2] for ending in BESIDE_ENDINGS})
SHORT_HASH = 10  # characters of the SHA-256 that titles and infotexts show


@dataclass(frozen=True)
class ModelFile:
    """One file (or diffusers folder) that can be loaded. `sha256` is None until it has been computed."""

    name: str  # path below its model folder, "/" between parts: "portraits/model.safetensors"
    path: Path
    size: int  # bytes
    modified: int  # nanoseconds
    sha256: str | None = None

    @property
    def stem(self) -> str:
        """File name without folder and suffix, as prompts and infotexts write it."""
        return stem_of(self.path.name)

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


@dataclass(frozen=True)
class Found:
    """A file as a look at the folders finds it.

    `root` is the searched folder, `place` its kind, `inode` the same for a file that was moved or renamed ("" where the
    system has no such number), `beside` a JSON list of [name, time of change] of the notes and pictures that belong
    to it.
    """

    path: str
    root: str
    place: str
    name: str
    size: int
    modified: int
    inode: str
    beside: str = "[]"


def stem_of(name: str) -> str:
    """A file name without the suffix of a model file; folders may have dots."""
    start, dot, end = name.rpartition(".")
    return start if dot and f".{end.lower()}" in (*SUFFIXES, *PICTURES) else name


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its name."""
    return name.lower().endswith(PICTURES)


def roots(paths: Paths) -> list[tuple[Path, str, bool]]:
    """The folders to search: folder, kind of model, whether its subfolders are searched too."""
    found = [(folder, kind, True) for kind in MODEL_FOLDERS for folder in paths.folders(kind)]
    # Only the top of the models folder itself: its other subfolders hold other kinds of files.
    return [root for root in [*found, (paths.models, "checkpoints", False)] if _is_text(str(root[0]))]


def scan(paths: Paths) -> list[Found]:
    """Every model file of all folders, each once: where several folders reach it, below the nearest one."""
    found: dict[str, Found] = {}
    for root, place, deep in roots(paths):
        for one in _search(str(root), str(root), place, deep, set()):
            known = found.get(one.inode or one.path)
            if known is None or len(known.root) < len(one.root):
                found[one.inode or one.path] = one
    return list(found.values())


def weight_files(path: Path) -> list[Path]:
    """The file itself, or the weight files of a diffusers folder."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds. Raises OSError."""
    stats = [file.stat() for file in weight_files(path)]
    return sum(one.st_size for one in stats), max((one.st_mtime_ns for one in stats), default=0)


def _search(folder: str, root: str, place: str, deep: bool, visited: set[tuple[int, int]]) -> Iterator[Found]:
    try:
        facts = os.stat(folder)  # noqa: PTH116 - thousands of files: strings are several times faster than paths
        with os.scandir(folder) as listed:
            entries = {entry.name: entry for entry in listed if not entry.name.startswith(".") and _is_text(entry.name)}
    except OSError:
        return
    if facts.st_ino and (facts.st_dev, facts.st_ino) in visited:
        return  # links that lead in a circle
    visited.add((facts.st_dev, facts.st_ino))
    beside = _companions(entries)
    for name, entry in sorted(entries.items()):
        try:
            if entry.is_dir():
                if os.path.isfile(os.path.join(entry.path, "model_index.json")):  # noqa: PTH113, PTH118
                    yield _found(entry, root, place, beside, *stamp(Path(entry.path)))
                elif deep:
                    yield from _search(entry.path, root, place, deep, visited)
            elif _is_model(name, place, entries) and entry.is_file():
                own = entry.stat()
                yield _found(entry, root, place, beside, own.st_size, own.st_mtime_ns)
        except OSError:
            continue  # it vanished while we looked


def _is_text(name: str) -> bool:
    """Whether a name can be written down: Linux allows bytes in names that are no text at all."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_model(name: str, place: str, around: dict[str, os.DirEntry[str]]) -> bool:
    """Whether a name is a model file's: also a picture that may hold an embedding, unless it is plainly a preview."""
    stem = stem_of(name)
    if stem == name or not is_picture(name):
        return stem != name
    previewed = any(stem + suffix in around for suffix in SUFFIXES)
    return place == "embeddings" and not previewed and not stem.lower().endswith(".preview")


def _companions(entries: dict[str, os.DirEntry[str]]) -> dict[str, list[list[str | int]]]:
    """Notes and pictures of a folder: by the stem that they belong to, each with its time of change."""
    found: dict[str, list[list[str | int]]] = {}
    for name, entry in sorted(entries.items()):
        if not name.endswith(LAST_PARTS):
            continue
        try:
            changed = entry.stat().st_mtime_ns
        except OSError:
            continue  # it vanished while we looked
        for ending in BESIDE_ENDINGS:
            if name.endswith(ending):
                found.setdefault(name[: -len(ending)], []).append([name, changed])
    return found


def _found(
    entry: os.DirEntry[str],
    root: str,
    place: str,
    companions: dict[str, list[list[str | int]]],
    size: int,
    modified: int,
) -> Found:
    facts = entry.stat()
    inode = f"{facts.st_dev}:{facts.st_ino}" if facts.st_ino else ""
    beside = [one for one in companions.get(stem_of(entry.name), ()) if one[0] != entry.name]
    name = entry.path[len(root) :].replace(os.sep, "/").lstrip("/")
    return Found(entry.path, root, place, name, size, modified, inode, json.dumps(beside) if beside else "[]")
