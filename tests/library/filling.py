"""What another process does to a shared library. Apart from the tests, so that the process imports no torch."""

from __future__ import annotations

import os

from webui.library.index import Library
from webui.paths import Paths


def fill(paths: Paths) -> None:
    """Read and hash everything, again and again; the exit code says whether nothing was left undone."""
    library = Library(paths, paths.data / "library.sqlite")
    for _ in range(3):
        library.refresh()
        library.read_pending()
        for file in library.files("loras"):
            library.sha256(file)
    os._exit(0 if len(library.files("loras")) == 3 and library.counts()[1] == 0 else 1)
