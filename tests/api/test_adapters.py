"""Lists of adapters have A1111's forms."""

import pytest
import torch

from tests.adapters.files import write_lora
from webui.weights.save import save_safetensors


@pytest.fixture(scope="module", autouse=True)
def files(house):
    models = house.paths.models
    write_lora(models / "loras" / "film.safetensors", {"ss_output_name": "film-v1"})
    (models / "loras" / "bad.safetensors").write_bytes(b"not a file of tensors")
    (models / "embeddings").mkdir()
    save_safetensors(models / "embeddings" / "grain.safetensors", {"emb_params": torch.zeros(3, 768)}, {"step": "9"})
    (models / "hypernetworks").mkdir()
    torch.save({8: ({"linear.0.weight": torch.zeros(8, 8)},) * 2}, models / "hypernetworks" / "bend.pt")
    return models


def test_loras_come_with_alias_and_metadata(client, files):
    found = {lora["name"]: lora for lora in client.get("/sdapi/v1/loras").json()}
    assert found["film"] == {
        "name": "film",
        "alias": "film-v1",
        "path": str(files / "loras" / "film.safetensors"),
        "metadata": {"ss_output_name": "film-v1"},
    }
    assert found["bad"]["alias"] == "bad" and found["bad"]["metadata"] == {}
    assert client.post("/sdapi/v1/refresh-loras").json() is None


def test_embeddings_that_no_checkpoint_can_take_are_skipped(client):
    answer = client.get("/sdapi/v1/embeddings").json()
    assert answer["loaded"] == {}
    assert answer["skipped"]["grain"]["step"] == 9 and answer["skipped"]["grain"]["shape"] == 768


def test_embeddings_that_fit_are_loaded_with_their_number_of_vectors(house, client, monkeypatch):
    from tests.keys import header_of
    from webui import families

    facts = families.facts(header_of("sd15"))
    monkeypatch.setattr(house.catalogue, "facts", lambda file: facts)
    loaded = client.get("/sdapi/v1/embeddings").json()["loaded"]["grain"]
    assert loaded["vectors"] == 3 and loaded["shape"] == 768


def test_hypernetworks_are_listed(client, files):
    path = str(files / "hypernetworks" / "bend.pt")
    assert client.get("/sdapi/v1/hypernetworks").json() == [{"name": "bend", "path": path}]
