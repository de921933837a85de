"""Pages of cards: what the library says about files, searched, sorted, and judged against a base."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webui.errors import FileError, InvalidRequest
from webui.library.files import SHORT_HASH, stem_of
from webui.library.index import Library
from webui.library.recognise import recognised_from
from webui.paths import MODEL_FOLDERS
from webui.weights.header import read_header

SORTS = {  # name -> SQL; what comes first without `descending`
    "name": "stem",
    "date": "modified",
    "size": "size",
    "rank": "rank",
    "used": "used",
}
MOST_CARDS = 500  # of one page
MOST_METADATA = 4000  # characters of one entry
DATA_DIGITS = 12  # of the hash of a LoRA's data in infotexts
NETWORK_KINDS = ("checkpoints", "diffusion_models")
PROMPT_KINDS = {"loras": "lora", "hypernetworks": "hypernet"}
_COMMA = re.compile(r"\s*,\s*$")


@dataclass(frozen=True)
class Base:
    """The checkpoint that files are judged against: the label of its family, the width of its text, the channels of
    its latents."""

    label: str
    context_width: int
    latent_channels: int


@dataclass(frozen=True)
class Card:
    """What the page shows of one file.

    `why_not`: "" for a file that fits the base or of which nothing tells, "family" or "width" for one made for another
    kind, "problem" for one that cannot be used at all (`problem` says why). `insert` and `insert_negative` are what a
    click puts into the prompts. `misplaced`: it lies in a folder for other kinds, `place`.
    """

    id: str
    kind: str
    name: str  # as prompts call it
    file: str  # path below its folder, as menus call it
    title: str
    folder: str
    place: str
    misplaced: bool
    family: str
    variant: str
    fits: bool
    why_not: str
    rank: int | None
    words: tuple[str, ...]
    weight: float | None
    activation: str
    negative: str
    notes: str
    description: str
    tags: tuple[str, ...]
    favourite: bool
    preview: str  # changes with the picture; "" without one
    size: int  # bytes
    modified: float  # seconds since 1970
    used: float  # the same, 0: never
    uses: int
    sha256: str | None
    short_hash: str | None  # AutoV2
    old_hash: str | None  # AutoV1
    data_hash: str | None  # of a LoRA's data, as in "Lora hashes"
    recipe: Mapping[str, Any] | None  # settings that a distilled model wants: label, sampler, schedule, steps …
    problem: str
    read: bool  # False: so far its name alone is known
    insert: str
    insert_negative: str


@dataclass(frozen=True)
class Folder:
    """A folder below the folders of a kind, with the number of its files and those of its subfolders."""

    name: str
    count: int


@dataclass(frozen=True)
class CardPage:
    """Some cards of all that a question finds. `hidden`: how many more it would find that do not fit the base."""

    total: int
    cards: tuple[Card, ...]
    folders: tuple[Folder, ...] = ()
    hidden: int = 0


@dataclass(frozen=True)
class Question:
    """Which cards are wanted. `folder` counts with its subfolders; every word of `text` has to occur somewhere in what
    is said about the file. With `fitting`, only what fits `base`."""

    kind: str
    text: str = ""
    folder: str = ""
    sort: str = "name"
    descending: bool = False
    base: Base | None = None
    fitting: bool = False
    favourites: bool = False
    offset: int = 0
    limit: int = 60


def find_cards(library: Library, question: Question) -> CardPage:
    """A page of cards. Raises InvalidRequest for an unknown kind or order."""
    check_kind(question.kind)
    if question.sort not in SORTS:
        raise InvalidRequest(f"Cards cannot be sorted by {question.sort!r}.", f"Known: {', '.join(SORTS)}.")
    where, values = _conditions(question)
    fits, fit_values = _fits(question)
    read = library.database.read
    counted = read(library.here(where, f"count(*), total({fits})"), (*fit_values, *values))[0]
    total, fitting = counted[0], int(counted[1])
    if question.fitting:
        where, values = f"{where} AND {fits}", (*values, *fit_values)
    direction = "DESC" if question.descending else "ASC"
    order = f"ORDER BY {SORTS[question.sort]} {direction} NULLS LAST, stem, id LIMIT ? OFFSET ?"
    limits = (max(0, min(question.limit, MOST_CARDS)), max(0, question.offset))
    ids = [row["id"] for row in read(f"{library.here(where, 'id')} {order}", (*values, *limits))]
    marks = ", ".join("?" * len(ids))
    rows = {row["id"]: row for row in read(f"SELECT * FROM files WHERE id IN ({marks})", ids)}
    twins = _twins(library, question.kind, [row["stem"] for row in rows.values()])
    cards = tuple(make_card(rows[one], question.base, rows[one]["stem"] in twins) for one in ids if one in rows)
    hidden = total - fitting if question.fitting else 0
    return CardPage(total - hidden, cards, _folders(library, question.kind), hidden)


def find_card(library: Library, file_id: str, base: Base | None = None) -> Card:
    """The card of one file. Raises NotFound."""
    row = library.row(file_id)
    return make_card(row, base, bool(_twins(library, row["kind"], [row["stem"]])))


def recipes(library: Library, kind: str, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What the distilled models among these names want: name as given -> recipe. Unknown names are left out."""
    wanted = {stem_of(name.rpartition("/")[2]).casefold(): name for name in names}
    wanted.pop("", None)
    marks = ", ".join("?" * len(wanted))
    where = f"kind = ? AND present AND (stem IN ({marks}) OR alias IN ({marks}))"
    rows = library.database.read(library.here(where, "stem, alias, facts"), (kind, *wanted, *wanted))
    found = {}
    for row in rows:
        recipe = recognised_from(row["facts"]).recipe
        if recipe:
            found[wanted.get(row["stem"]) or wanted[row["alias"]]] = recipe
    return found


def check_kind(kind: str) -> str:
    """The kind itself. Raises InvalidRequest for one that is not in `paths.MODEL_FOLDERS`."""
    if kind not in MODEL_FOLDERS:
        raise InvalidRequest(f"There is no kind of file {kind!r}.", f"Known: {', '.join(MODEL_FOLDERS)}.")
    return kind


def make_card(row: sqlite3.Row, base: Base | None = None, twin: bool = False) -> Card:
    """A row as a card. `twin`: another file of the kind has the same stem, so that prompts need the folder as well."""
    facts, notes = recognised_from(row["facts"]), json.loads(row["notes"])
    kind = row["kind"]
    name = facts.called or stem_of(row["name"].rpartition("/")[2])
    spoken = row["name"] if twin and kind in PROMPT_KINDS else name
    words = tuple(dict.fromkeys([*notes.get("words", ()), *([facts.phrase] if facts.phrase else []), *facts.words]))
    activation = notes.get("activation") or next(iter(notes.get("words", ())), "") or facts.phrase
    why_not = _why_not(row, facts.problem, base)
    return Card(
        id=row["id"],
        kind=kind,
        name=spoken,
        file=row["name"],
        title=notes.get("title") or facts.title or name,
        folder=row["folder"],
        place=row["place"],
        misplaced=bool(facts.kind) and kind != row["place"],
        family=notes.get("base") or facts.family or notes.get("page_base", ""),
        variant=facts.variant,
        fits=not why_not,
        why_not=why_not,
        rank=row["rank"],
        words=words,
        weight=notes.get("weight"),
        activation=notes.get("activation", ""),
        negative=notes.get("negative", ""),
        notes=notes.get("notes", ""),
        description=notes.get("description") or facts.description,
        tags=tuple(notes.get("tags", ())),
        favourite=bool(row["favourite"]),
        preview=_preview_version(row, notes.get("preview", ""), facts.pictured),
        size=row["size"],
        modified=row["modified"] / 1e9,
        used=row["used"],
        uses=row["uses"],
        sha256=row["sha256"],
        short_hash=(row["sha256"] or "")[:SHORT_HASH] or None,
        old_hash=row["old_hash"],
        data_hash=(row["data_sha256"] or "")[:DATA_DIGITS] or None,
        recipe=facts.recipe,
        problem=facts.problem,
        read=row["reader"] != "",
        insert=_insertion(kind, spoken, notes.get("weight"), activation),
        insert_negative=notes.get("negative", ""),
    )


def _preview_version(row: sqlite3.Row, name: str, pictured: bool) -> str:
    changed = next((time for beside, time in json.loads(row["beside"]) if beside == name), None)
    if changed is None and pictured:
        changed = row["modified"]
    return "" if changed is None else f"{changed:x}"


def _insertion(kind: str, name: str, weight: float | None, activation: str) -> str:
    if kind == "embeddings":
        return name if weight in (None, 1.0) else f"({name}:{weight:g})"
    if kind not in PROMPT_KINDS:
        return ""
    directive = f"<{PROMPT_KINDS[kind]}:{name}:{1.0 if weight is None else weight:g}>"
    return f"{directive} {_COMMA.sub('', activation)}".strip()


def _why_not(row: sqlite3.Row, problem: str, base: Base | None) -> str:
    if problem:
        return "problem"
    if base is None or row["kind"] in NETWORK_KINDS:
        return ""
    if row["bases"] and f"|{base.label}|" not in row["bases"]:
        return "family"
    return "width" if row["width"] not in (0, _width(row["kind"], base)) else ""


def _width(kind: str, base: Base) -> int:
    return base.latent_channels if kind == "vae" else base.context_width


def _fits(question: Question) -> tuple[str, Sequence[Any]]:
    """SQL for "fits the base", the same as `_why_not` says of one card; a file that cannot be used is shown."""
    if question.base is None or question.kind in NETWORK_KINDS:
        return "1", ()
    of_family = "(bases = '' OR instr(bases, ?) > 0)"
    values = (f"|{question.base.label}|", _width(question.kind, question.base))
    return f"({of_family} AND (width = 0 OR width = ?))", values


def _conditions(question: Question) -> tuple[str, tuple[Any, ...]]:
    conditions = ["kind = ? AND present"]
    values: list[Any] = [question.kind]
    if question.folder:
        folder = question.folder.strip("/")
        conditions.append("(folder = ? OR substr(folder, 1, ?) = ?)")
        values += [folder, len(folder) + 1, f"{folder}/"]
    for word in question.text.casefold().split()[:20]:
        conditions.append("(instr(search, ?) > 0 OR instr(stem, ?) > 0 OR sha256 LIKE ?)")
        values += [word, word, f"{word}%" if re.fullmatch("[0-9a-f]{6,64}", word) else ""]
    if question.favourites:
        conditions.append("favourite")
    return " AND ".join(conditions), tuple(values)


def _twins(library: Library, kind: str, stems: Sequence[str]) -> set[str]:
    """Which of these stems more than one file of the kind has."""
    where = f"kind = ? AND present AND stem IN ({', '.join('?' * len(stems))})"
    rows = library.database.read(f"{library.here(where, 'stem')} GROUP BY stem HAVING count(*) > 1", (kind, *stems))
    return {row["stem"] for row in rows}


def _folders(library: Library, kind: str) -> tuple[Folder, ...]:
    rows = library.database.read(
        f"{library.here('kind = ? AND present', 'folder, count(*) AS count')} GROUP BY folder", (kind,)
    )
    counts: dict[str, int] = {}
    for row in rows:
        parts = row["folder"].split("/") if row["folder"] else []
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            counts[name] = counts.get(name, 0) + row["count"]
    return tuple(Folder(name, counts[name]) for name in sorted(counts, key=str.casefold))


def details(library: Library, file_id: str) -> Mapping[str, Any]:
    """What one file's own page says beyond its card: author, licence, what is in the file, its metadata. Reads the
    header. Raises NotFound."""
    row = library.row(file_id)
    facts = recognised_from(row["facts"])
    try:
        metadata = {str(key): str(value)[:MOST_METADATA] for key, value in read_header(row["path"]).metadata.items()}
    except FileError:
        metadata = {}
    said = {"author": facts.author, "licence": facts.licence, "alias": facts.alias, "phrase": facts.phrase}
    return {**said, "details": dict(facts.details), "metadata": metadata, "path": row["path"]}
