"""Accounts for tests, with passwords that cost next to nothing to hash."""

from __future__ import annotations

from pathlib import Path

from webui.api.accounts import FILE, AccountsFile

CHEAP = (2, 8, 1)
PASSWORD = "correct horse"
PEOPLE = (("adam", "administrator"), ("uma", "user"), ("rita", "read-only"))


def make_file(folder: Path, people=PEOPLE) -> AccountsFile:
    """The accounts of a data folder, all with the same password."""
    file = AccountsFile(folder / FILE, CHEAP)
    for name, role in people:
        file.add(name, role, PASSWORD)
    return file
