"""A bad file of any kind fails the job that names it, by name, and the next job draws the same picture as before."""

import dataclasses

import pytest
import torch

from tests.adapters import bad_files
from tests.adapters.aesthetics import clip
from tests.adapters.files import lora_tensors, write_lora
from tests.engine.conftest import write_checkpoint
from tests.engine.test_adapters import digest
from tests.weights.test_malicious_pickles import CANARY, Watch, as_zip, program, wrapped
from webui.engine.session import Session
from webui.errors import EmulsionError
from webui.paths import Paths
from webui.request import AestheticGradients
from webui.settings import Settings
from webui.weights.save import save_safetensors

FOLDERS = {
    "LoRA": "loras",
    "LyCORIS": "loras",
    "embedding": "embeddings",
    "hypernetwork": "hypernetworks",
    "aesthetic embedding": "aesthetic_embeddings",
    "VAE": "vae",
}
KINDS = (
    *("LoRA:safetensors", "LyCORIS:safetensors", "embedding:safetensors", "embedding:pt"),
    *("embedding in text:png", "embedding in pixels:png", "hypernetwork:pt", "aesthetic embedding:pt"),
    *("VAE:safetensors", "VAE:ckpt"),
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    home = tmp_path_factory.mktemp("bad")
    write_checkpoint(home / "models" / "checkpoints" / "narrow.safetensors")
    for folder in {*FOLDERS.values(), "text_encoders"}:
        (home / "models" / folder).mkdir()
    tensors = {name: tensor.contiguous() for name, tensor in clip().state_dict().items()}
    save_safetensors(home / "models" / "text_encoders" / "clip_l.safetensors", tensors)
    write_lora(home / "models" / "loras" / "film.safetensors")
    return Paths(home / "data", home / "models", home / "outputs", {}, home / "program")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return bad_files.good_files(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def session(paths):
    settings = Settings(paths).changed({"checkpoint": "narrow", "live_previews": False})
    return Session(settings, device="cpu", precision="float32")


@pytest.fixture
def put(paths, session):
    """Write a file of a kind where it is looked for; it is gone after the test."""
    written = []

    def put(kind, data):
        path = paths.models / FOLDERS[kind_of(kind)] / f"suspect.{kind.rpartition(':')[2]}"
        path.write_bytes(data)
        written.append(path)
        session.catalogue.refresh()
        return path

    yield put
    for path in written:
        path.unlink(missing_ok=True)
    session.catalogue.refresh()


def kind_of(kind):
    return kind.partition(":")[0].partition(" in ")[0]


def asks_for(kind, wanted):
    """A request that names the file."""
    kind = kind_of(kind)
    prompts = {"LoRA": "<lora:suspect:1>", "LyCORIS": "<lyco:suspect:1>", "hypernetwork": "<hypernet:suspect:1>"}
    prompts["embedding"] = ", suspect"
    options = {"aesthetic": AestheticGradients("suspect", steps=2)} if kind == "aesthetic embedding" else {}
    options |= {"vae": "suspect"} if kind == "VAE" else {}
    return wanted("a red apple" + prompts.get(kind, ""), save=False, **options)


def pixels(results):
    return results[0].image.tobytes()


def refused(make, session, request):
    """The job fails by the file's name, and the checkpoint draws as if it had never been asked for."""
    plain = dataclasses.replace(request, prompt="a red apple", aesthetic=None, vae="Automatic")
    before = pixels(make(plain))
    bytes_before = digest(session.model)
    with pytest.raises(EmulsionError, match="suspect"):
        make(request)
    assert pixels(make(plain)) == before
    assert digest(session.model) == bytes_before


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_file_fails_its_job_alone(make, session, wanted, put, good, kind):
    data = good[kind]
    put(kind, data[: len(data) // 3])
    refused(make, session, asks_for(kind, wanted))


@pytest.mark.parametrize("kind", ["LoRA:pt", "embedding:pt", "hypernetwork:pt", "aesthetic embedding:pt", "VAE:ckpt"])
def test_a_malicious_pickle_runs_nothing_and_fails_its_job_alone(
    make, session, wanted, put, kind, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    as_zip(tmp_path / "evil", wrapped(program("os", "system", (f"touch {CANARY}",), False), 2))
    put(kind, (tmp_path / "evil").read_bytes())
    watch = Watch.get()
    watch.events, watch.on = [], True
    try:
        refused(make, session, asks_for(kind, wanted))
    finally:
        watch.on = False
    assert not [event for event in watch.events if event.startswith(("os.", "subprocess", "pickle"))]
    assert not (tmp_path / CANARY).exists()


def test_a_bad_file_beside_a_good_one_leaves_nothing_attached(make, session, wanted, put, good):
    put("hypernetwork:pt", good["hypernetwork:pt"][:500])
    before = pixels(make(wanted(save=False)))
    with pytest.raises(EmulsionError, match="suspect"):
        make(wanted("a red apple<lora:film:1><hypernet:suspect:1>", save=False))
    assert pixels(make(wanted(save=False))) == before


def test_a_lora_of_values_that_are_no_numbers_is_named(make, session, wanted, paths, put):
    tensors = lora_tensors()
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_safetensors(paths.models / "loras" / "suspect.safetensors", tensors)
    put("LoRA:safetensors", (paths.models / "loras" / "suspect.safetensors").read_bytes())
    refused(make, session, asks_for("LoRA:safetensors", wanted))


def test_a_vae_of_values_that_are_no_numbers_is_named(make, session, wanted, paths, put):
    tensors = bad_files.vae_tensors()
    tensors["decoder.conv_in.weight"] = torch.full_like(tensors["decoder.conv_in.weight"], float("nan"))
    save_safetensors(paths.models / "vae" / "suspect.safetensors", tensors)
    put("VAE:safetensors", (paths.models / "vae" / "suspect.safetensors").read_bytes())
    refused(make, session, asks_for("VAE:safetensors", wanted))
