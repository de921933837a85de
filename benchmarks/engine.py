"""What the engine itself costs: everything in a job but the networks, with a network that takes no time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.measure import interleaved, rows
from benchmarks.registry import BENCHMARKS, Row, Setting
from webui.engine.catalogue import Catalogue
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.library.index import Library
from webui.nn.clip import ClipText, ClipTextConfig
from webui.nn.unet import UNet, UNetConfig
from webui.nn.vae import Autoencoder, AutoencoderConfig
from webui.paths import Paths
from webui.request import GenerationRequest, Pass
from webui.settings import Settings
from webui.weights.canonical import CLIP, UNET, VAE
from webui.weights.save import save_safetensors

STEPS = 100
SD15_STEP = 2.5  # seconds that a step of SD 1.5 at 512 × 512 takes on two CPU cores; the share is of this


def narrow_checkpoint(path: Path) -> Path:
    """A checkpoint in SD 1's layout whose networks are as small as they can be."""
    parts = {
        UNET: UNet(UNetConfig.regular(32, (1, 2), (1, 0), 1, 1, context_width=64)),
        CLIP: ClipText(ClipTextConfig(width=64, layers=2, heads=1, hidden=128)),
        VAE: Autoencoder(AutoencoderConfig(channels=32, multipliers=(1, 1, 1, 1), blocks=1)),
    }
    tensors = {prefix + name: t for prefix, part in parts.items() for name, t in part.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(path, tensors)
    return path


def stub_network(session: Session) -> None:
    """Take the work out of the networks: the engine around them is what is measured."""

    def predict(x: Tensor, *others: object) -> Tensor:
        return x

    session.model.unet.forward = predict  # type: ignore[method-assign, assignment]


def sampling(session: Session, sampler: str, size: int, previews: bool) -> Callable[[], object]:
    """A job of STEPS steps without decoding."""
    step = Pass(width=size, height=size, steps=STEPS, sampler=sampler)
    request = GenerationRequest("a cat", "a dog", seed=1, passes=(step,), save=False)

    def job() -> object:
        session.settings = session.settings.changed({"live_previews": previews, "preview_method": "Latent colours"})
        return run(make_plan(request, session.catalogue), session)

    return job


@BENCHMARKS.register("engine")
def engine(setting: Setting) -> Iterable[Row]:
    """Seconds a step outside the network, plans, and a prompt that is encoded or remembered."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder) / "data", Path(folder) / "models", Path(folder) / "outputs", {}, Path(folder))
        narrow_checkpoint(paths.models / "checkpoints" / "narrow.safetensors")
        settings = Settings(paths)
        session = Session(settings, Catalogue(Library(paths)), device="cpu", precision="float32")
        request = GenerationRequest("a [cat|dog] AND a hat", "mud", seed=1, passes=(Pass(steps=50),), batch_size=4)
        session.load(session.catalogue.find(None))
        cold = {"plan": lambda: make_plan(request, session.catalogue), **encodings(session, request)}
        yield from rows("engine", interleaved(cold, setting.repeats), "text encoded")
        stub_network(session)
        session.decode = lambda latents, lean=False: torch.zeros(len(latents), 3, 8, 8)  # type: ignore[method-assign]
        cases = {
            "Euler": sampling(session, "Euler", setting.size, False),
            "Euler, previews": sampling(session, "Euler", setting.size, True),
            "Euler a": sampling(session, "Euler a", setting.size, False),
            "DPM++ 2M": sampling(session, "DPM++ 2M", setting.size, False),
        }
        for row in rows("engine step", interleaved(cases, setting.repeats)):
            one = row.seconds / STEPS
            facts = {"share of an SD 1.5 step": one / SD15_STEP}
            yield replace(row, seconds=one, low=row.low / STEPS, high=row.high / STEPS, facts=facts)


def encodings(session: Session, request: GenerationRequest) -> dict[str, Callable[[], object]]:
    """Encoding two texts, and finding them in the cache."""
    flags, size, numbers = (False, True), (512, 512), count()

    def encode(number: int) -> object:
        return session.conditionings((f"a cat {number}", "mud"), flags, request, size)

    return {"text encoded": lambda: encode(next(numbers)), "text remembered": lambda: encode(0)}
