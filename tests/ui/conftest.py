"""A fake service for tests of the page's server side."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui.fake_service import FakeService
from webui.paths import Paths
from webui.settings import SettingsStore


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    """A service whose steps take a few milliseconds."""
    return FakeService(tmp_path, 0.005)


@pytest.fixture
def store(tmp_path: Path) -> SettingsStore:
    """Settings at their defaults."""
    return SettingsStore(Paths(data=tmp_path / "data"))
