"""A user's style files: all of them read, and one style at a time created, changed or deleted.

What is written replaces the whole file at once. Other rows, columns that are not known here, dividers, the byte order
mark and the line ends stay as they were, as other programs share these files.
"""

from __future__ import annotations

import csv
import io
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from webui.errors import DamagedFile, FileError, InvalidRequest, NotFound
from webui.settings import write_atomically
from webui.text.styles import Style, fits_line, read_styles, read_table, styles_of_table, text_of

FILE = "styles.csv"  # where new styles go
PATTERN = "styles*.csv"
NAME_LENGTH = 200  # characters
TEXT_LENGTH = 100_000
BYTE_ORDER_MARK = "\ufeff"  # A1111 writes it, so that spreadsheets read the rest as UTF-8
COLUMNS = ("name", "prompt", "negative_prompt")


@dataclass(frozen=True)
class Imported:
    """Names that an import added, and those that it left alone because there is another style of that name."""

    added: tuple[str, ...]
    kept: tuple[str, ...]


class StyleFiles:
    """The style files of one folder. Methods may be called from any thread.

    All raise DamagedFile for a file that is no table of styles; those that write raise FileError where they cannot.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()

    def paths(self) -> list[Path]:
        """The files, in the order in which they count."""
        return sorted(self._folder.glob(PATTERN))

    def styles(self) -> dict[str, Style]:
        """All styles by name."""
        return read_styles(self.paths())

    def put(self, style: Style, was: str | None = None) -> None:
        """Create or change a style; `was` is the name that it had. Raises InvalidRequest, NotFound."""
        check_style(style)
        with self._lock:
            styles = self.styles()
            if was is not None and was not in styles:
                raise NotFound(f"There is no style named {was!r}.")
            if was is not None and was != style.name and style.name in styles:
                raise InvalidRequest(f"There is a style named {style.name!r} already.", "", "Choose another name.")
            old = styles.get(was if was is not None else style.name)
            table = _Table(self._folder / (old.source if old else FILE))
            table.put(old.name if old else None, style)
            table.write()

    def delete(self, name: str) -> None:
        """Take a style out of every file that has it. Raises NotFound."""
        with self._lock:
            tables = [table for table in map(_Table, self.paths()) if table.delete(name)]
            if not tables:
                raise NotFound(f"There is no style named {name!r}.")
            for table in tables:
                table.write()

    def take_over(self, data: bytes, file_name: str = FILE) -> Imported:
        """Add the styles of another file, given as bytes. Those whose names are taken are left alone."""
        rows = [_in_one_line(row) for row in _styles_of(data, file_name) if row.name.strip()]
        with self._lock:
            before = self.styles()
            new: dict[str, Style] = {}
            for style in rows:
                check_style(style)
                if style.name not in before:
                    new.setdefault(style.name, style)
            if new:
                table = _Table(self._folder / FILE)
                for style in new.values():
                    table.put(None, style)
                table.write()
        kept = [s.name for s in rows if s.name in before and _words(s) != _words(before[s.name])]
        return Imported(tuple(new), tuple(dict.fromkeys(kept)))


def check_style(style: Style) -> None:
    """Raise InvalidRequest for a style that no file can hold."""
    if not fits_line(style.name, NAME_LENGTH):
        found = f"The style's name is {style.name[:40]!r}."
        raise InvalidRequest(found, f"One line of 1 to {NAME_LENGTH} characters was wanted.")
    for text in (style.prompt, style.negative_prompt):
        if len(text) > TEXT_LENGTH:
            raise InvalidRequest(f"The style {style.name!r} is too long.", f"{TEXT_LENGTH} characters are the limit.")
        if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
            raise InvalidRequest(f"The style {style.name!r} holds signs that no text file can.")


def _in_one_line(style: Style) -> Style:
    """The style with a name that can be shown in a list, for files of programs that take any."""
    if fits_line(style.name, NAME_LENGTH):
        return style
    return replace(style, name=" ".join(style.name.split())[:NAME_LENGTH].strip())


def _words(style: Style) -> tuple[str, str]:
    return style.prompt, style.negative_prompt


def _styles_of(data: bytes, name: str) -> list[Style]:
    header, _ = read_table(data, name)
    if "name" not in header or not {"prompt", "text", "negative_prompt"} & set(header):
        raise DamagedFile(f"{name} is no table of styles.", f"The columns {', '.join(COLUMNS)} were wanted.")
    return styles_of_table(data, name)


def _is_plain_utf8(data: bytes) -> bool:
    """Whether it is UTF-8 without the mark, which is how it will be written then."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return not data.startswith(BYTE_ORDER_MARK.encode())


class _Table:
    """One file as it stands, row by row."""

    def __init__(self, path: Path):
        self.path = path
        data = path.read_bytes() if path.exists() else b""
        self._mark = BYTE_ORDER_MARK if not data or not _is_plain_utf8(data) else ""
        header, self._rows = read_table(data, path.name) if data else (list(COLUMNS), [])
        text = text_of(data)
        self._ends = "\n" if "\n" in text and "\r\n" not in text else "\r\n"
        self._header = header or list(COLUMNS)
        old = "text" if "text" in self._header and "prompt" not in self._header else "prompt"
        self._columns = ("name", old, "negative_prompt")
        for column in self._columns:
            if column not in self._header:
                self._header.append(column)

    def put(self, was: str | None, style: Style) -> None:
        """Change the row of that name, or append one."""
        row = next((row for row in self._rows if was is not None and self._name(row) == was), None)
        if row is None:
            row = []
            self._rows.append(row)
        row += [""] * (len(self._header) - len(row))
        for column, value in zip(self._columns, (style.name, style.prompt, style.negative_prompt), strict=True):
            row[self._header.index(column)] = value

    def delete(self, name: str) -> bool:
        """Drop all rows of that name; whether there were any."""
        kept = [row for row in self._rows if self._name(row) != name]
        found, self._rows = len(kept) < len(self._rows), kept
        return found

    def write(self) -> None:
        """Replace the file."""
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=self._ends).writerows([self._header, *self._rows])
        try:
            write_atomically(self.path, (self._mark + text.getvalue()).encode())
        except OSError as error:
            remedy = "Free some space or make the folder writable."
            raise FileError(f"{self.path.name} cannot be written ({error.strerror}).", remedy=remedy) from None

    def _name(self, row: list[str]) -> str:
        place = self._header.index("name")
        return row[place] if place < len(row) else ""
