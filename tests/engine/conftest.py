"""A narrow checkpoint with random weights in the layout of SD 1, and what is needed to make pictures with it."""

import dataclasses
from pathlib import Path

import pytest
import torch

from webui.engine.hooks import HookChain, NamedHooks
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.unet import UNet, UNetConfig
from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.paths import Paths
from webui.request import GenerationRequest, Pass
from webui.settings import Settings
from webui.weights.save import save_safetensors

WIDTH = 64  # of the text encoder


def write_checkpoint(path: Path, seed: int = 0, in_channels: int = 4) -> Path:
    """A UNet of two levels, a text encoder of two layers and a VAE that reduces eight times, all random."""
    torch.manual_seed(seed)
    unet = UNet(
        UNetConfig.regular(
            channels=32,
            multipliers=(1, 2),
            residual_blocks=1,
            depths=(1, 0),
            middle_depth=1,
            in_channels=in_channels,
            context_width=WIDTH,
        )
    )
    text = ClipText(ClipTextConfig(width=WIDTH, layers=2, heads=1, hidden=128))
    vae = Autoencoder(AutoencoderConfig(channels=32, multipliers=(1, 1, 1, 1), blocks=1))
    parts = {
        "model.diffusion_model.": unet,
        "cond_stage_model.transformer.text_model.": text,
        "first_stage_model.": vae,
    }
    tensors = {
        prefix + name: tensor for prefix, module in parts.items() for name, tensor in module.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(path, tensors)
    return path


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Networks this small are quicker without the threads waiting for each other, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Paths:
    """Folders with two checkpoints."""
    home = tmp_path_factory.mktemp("home")
    write_checkpoint(home / "models" / "checkpoints" / "narrow.safetensors", 0)
    write_checkpoint(home / "models" / "checkpoints" / "other.safetensors", 1)
    return Paths(home / "data", home / "models", home / "outputs", {}, home / "program")


@pytest.fixture(scope="session")
def settings(home) -> Settings:
    """Settings that keep names of files apart by their number alone."""
    return Settings(home).changed({"checkpoint": "narrow", "live_previews": False})


@pytest.fixture(scope="module")
def session(settings) -> Session:
    """A session on the CPU in float32, shared by a file's tests as a worker shares it between jobs."""
    return Session(settings, device="cpu", precision="float32")


@pytest.fixture
def make(session):
    """Make the pictures of a request: returns the results and appends events to `make.events`."""

    def make(request, control=None, hooks=None):
        make.events = []
        plan = make_plan(request, session.catalogue, session.extensions)
        if hooks is not None:
            plan = dataclasses.replace(
                plan, hooks=HookChain(tuple(NamedHooks(f"ext{i}", h) for i, h in enumerate(hooks)))
            )
        return run(plan, session, make.events.append, control)

    return make


@pytest.fixture
def wanted():
    """Builds small requests."""
    return small_request


def small_request(prompt="a red apple", **fields) -> GenerationRequest:
    """A small request; fields of the pass and of the request may be given together."""
    names = set(Pass.__dataclass_fields__) - set(GenerationRequest.__dataclass_fields__)
    own = {name: fields.pop(name) for name in list(fields) if name in names}
    step = Pass(**{"width": 64, "height": 64, "steps": 4, "sampler": "Euler", **own})
    return GenerationRequest(**{"prompt": prompt, "seed": 5, "passes": (step,), **fields})
