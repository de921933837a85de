"""How the tests are spread over processes, where pytest is asked for several (`-n 2 --dist loadfile`)."""

from __future__ import annotations

from typing import Any

import httpx
import hypothesis
import pytest

from tests.unsteady import unsteady

BROWSER = "tests/browser/"
# Made-up cases are the same in every run and may take their time; `--hypothesis-profile=search` draws others.
hypothesis.settings.register_profile("search", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("same", hypothesis.settings.get_profile("search"), derandomize=True)
hypothesis.settings.load_profile("same")
# Nobody measures with it how soon a server answers; its 5 s are short for a machine that is busy with something else.
for step in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, step, 120.0)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--unsteady N` makes what processes, threads and pages tell each other come late, at random: races show."""
    parser.addoption("--unsteady", type=int, default=0, metavar="N", help="let what is told come late, by the seed N")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to be unsteady before anything is started."""
    if config.getoption("--unsteady"):
        unsteady.begin(config.getoption("--unsteady"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The browser's tests are the longest piece that is not taken apart: with several processes they begin."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(BROWSER))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay in one process, which has their fixtures; those of the browser share one server."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Spread(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return BROWSER if nodeid.startswith(BROWSER) else super()._split_scope(nodeid)

    return Spread(config, log)
