"""The VAE that "Automatic" means with a checkpoint, over HTTP."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from tests.library.conftest import models, paths  # noqa: F401 - fixtures
from tests.library.made import write_key_list
from webui.api.application import guarded, make_application
from webui.api.context import Context
from webui.api.door import HostNames
from webui.engine.catalogue import open_catalogue
from webui.engine.vae import resolve_vae
from webui.settings import SettingsStore


@pytest.fixture
def house(paths, models):  # noqa: F811
    """The application over two checkpoints and a VAE, and what the worker was told."""
    for name in ("first", "second"):
        write_key_list("sd15", models / "checkpoints" / f"{name}.safetensors")
    store = SettingsStore(paths)
    catalogue = open_catalogue(store.settings)
    told: list[dict] = []
    service = SimpleNamespace(
        change_settings=told.append, limit_waiting=lambda *limits: None, watch=lambda *seconds: None
    )
    app = make_application(Context(service, store, catalogue, lambda settings: dict(settings["vae_choices"])))
    client = TestClient(guarded(app, HostNames()), base_url="http://127.0.0.1:7860")
    return SimpleNamespace(client=client, catalogue=catalogue, store=store, told=told)


def remember(house, vae, checkpoint="first"):
    return house.client.put("/ui/vae", json={"checkpoint": checkpoint, "vae": vae})


def automatic(house, checkpoint="first"):
    file = resolve_vae("Automatic", house.catalogue.find(checkpoint), house.catalogue)
    return file.name if file else None


def test_a_vae_is_remembered_for_one_checkpoint_and_the_worker_hears_of_it(house):
    assert house.client.get("/ui/vae", params={"checkpoint": "first"}).json()["vae"] is None
    answer = remember(house, "soft-840000")
    assert answer.json() == {"checkpoint": "first.safetensors", "vae": "soft-840000.safetensors"}
    assert automatic(house) == "soft-840000.safetensors" and automatic(house, "second") is None
    assert list(house.told[-1].values()) == ["soft-840000.safetensors"]
    assert SettingsStore(house.store.settings.paths).settings["vae_choices"] == house.told[-1]


def test_none_means_the_checkpoints_own_and_nothing_forgets(house):
    remember(house, "None")
    assert house.client.get("/ui/vae", params={"checkpoint": "first"}).json()["vae"] == "None"
    remember(house, "soft-840000", "second")
    assert remember(house, None).json()["vae"] is None
    assert automatic(house, "second") == "soft-840000.safetensors"


def test_a_name_that_no_file_has_is_refused_and_nothing_changes(house):
    assert remember(house, "nothing of that").status_code == 404
    assert remember(house, "soft-840000", "no checkpoint").status_code == 404
    assert house.store.settings["vae_choices"] == {} and house.told == []
