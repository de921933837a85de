"""The networks alone: a step of the UNet, the autoencoder, attention, and how far bfloat16 is from float32."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Case, side_by_side
from benchmarks.model import checkpoint, diffusers_unet, diffusers_vae, our_autoencoder, our_unet, tensors_of
from benchmarks.registry import BENCHMARKS, Row, Setting
from webui.nn.attention import attention
from webui.nn.memory import keep_freed_memory
from webui.weights.canonical import UNET, VAE

PEER = "diffusers bf16, as it comes"
EXACT_FILE = "unet-float32-{size}.pt"


def step_inputs(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """What one step with guidance hands the network: both halves in one batch of two."""
    generator = torch.Generator().manual_seed(1)
    cells = size // 8
    x = torch.randn(2, 4, cells, cells, generator=generator)
    return x, torch.tensor([500.0, 500.0]), torch.randn(2, 77, 768, generator=generator)


def our_step(setting: Setting) -> Callable[[], Tensor]:
    """Ours, as the worker runs it."""
    keep_freed_memory()
    unet = our_unet(tensors_of(checkpoint(setting.work), UNET, torch.bfloat16), torch.bfloat16)
    return partial(unet, *step_inputs(setting.size))


def diffusers_step(setting: Setting) -> Callable[[], Tensor]:
    """diffusers in bfloat16 with nothing tuned."""
    unet = diffusers_unet(tensors_of(checkpoint(setting.work), UNET, torch.bfloat16))
    x, timestep, context = step_inputs(setting.size)
    x, context = x.bfloat16(), context.bfloat16()
    return lambda: unet(x, timestep, context).sample


@BENCHMARKS.register("unet", "step")
def unet(setting: Setting) -> Iterable[Row]:
    """One step with guidance of a full-size SD 1.5 UNet."""
    checkpoint(setting.work)
    return side_by_side(f"UNet step {setting.size}", {"ours": our_step, PEER: diffusers_step}, setting, PEER)


@BENCHMARKS.register("numerics")
def numerics(setting: Setting) -> Iterable[Row]:
    """Relative distance of both bfloat16 predictions to diffusers' in float32."""
    path = setting.work / EXACT_FILE.format(size=setting.size)
    if not path.exists():
        exact = diffusers_unet(tensors_of(checkpoint(setting.work), UNET, torch.float32))
        with torch.inference_mode():
            torch.save(exact(*step_inputs(setting.size)).sample, path)
        del exact
    cases: dict[str, Case] = {
        "ours": partial(_distance, our_step, path),
        PEER: partial(_distance, diffusers_step, path),
    }
    single = Setting(setting.work, 1, setting.threads, setting.size)
    return side_by_side(f"UNet numerics {setting.size}", cases, single, PEER, warm_up=False)


def _distance(case: Case, path: Any, setting: Setting) -> Callable[[], dict[str, float]]:
    call, exact = case(setting), torch.load(path, weights_only=True)
    return lambda: {"relative error": relative(call(), exact)}


def relative(value: Tensor, exact: Tensor) -> float:
    """‖value − exact‖ / ‖exact‖."""
    return float((value.float() - exact).norm() / exact.norm())


def latents(size: int) -> Tensor:
    """Latents of one picture."""
    return torch.randn(1, 4, size // 8, size // 8, generator=torch.Generator().manual_seed(2))


def our_decode(setting: Setting) -> Callable[[], Tensor]:
    """Ours, as the worker runs it."""
    keep_freed_memory()
    network = our_autoencoder(tensors_of(checkpoint(setting.work), VAE, torch.bfloat16), torch.bfloat16)
    return partial(network.decode, latents(setting.size))


def diffusers_decode(setting: Setting) -> Callable[[], Tensor]:
    """diffusers in bfloat16 with nothing tuned."""
    network = diffusers_vae(tensors_of(checkpoint(setting.work), VAE, torch.bfloat16))
    z = latents(setting.size).bfloat16()
    return lambda: network.decode(z).sample


@BENCHMARKS.register("vae", "decode")
def vae(setting: Setting) -> Iterable[Row]:
    """Decoding one picture with the full-size autoencoder."""
    checkpoint(setting.work)
    return side_by_side(f"VAE decode {setting.size}", {"ours": our_decode, PEER: diffusers_decode}, setting, PEER)


SHAPES = {  # batch, heads, queries, keys, width of a head
    "SD 1, 64×64 self": (2, 8, 4096, 4096, 40),
    "SD 1, 32×32 self": (2, 8, 1024, 1024, 80),
    "SD 1, 16×16 self": (2, 8, 256, 256, 160),
    "SD 1, 64×64 text": (2, 8, 4096, 77, 40),
    "SD 1, 32×32 text": (2, 8, 1024, 77, 80),
    "SDXL, 32×32 self": (2, 20, 1024, 1024, 64),
    "VAE, 64×64": (1, 1, 4096, 4096, 512),
}


@BENCHMARKS.register("attention")
def attention_calls(setting: Setting) -> Iterable[Row]:
    """Attention by products against torch's fused kernel, bfloat16, with the error of each."""
    for name, shape in SHAPES.items():
        cases: dict[str, Case] = {
            "ours": partial(_attention_case, attention, shape),
            "torch SDPA": partial(_attention_case, F.scaled_dot_product_attention, shape),
        }
        yield from side_by_side(f"attention {name}", cases, setting, "torch SDPA")


def _attention_case(
    function: Callable[..., Tensor], shape: tuple[int, ...], setting: Setting
) -> Callable[[], dict[str, float]]:
    batch, heads, tokens, source, width = shape
    torch.manual_seed(3)
    query, key, value = (
        torch.randn(batch, length, heads * width).bfloat16().unflatten(-1, (heads, width)).transpose(1, 2)
        for length in (tokens, source, source)
    )
    exact = F.scaled_dot_product_attention(query.float(), key.float(), value.float())
    error = relative(function(query, key, value), exact)
    calls = max(1, round(2e10 / (batch * heads * tokens * source * width)))

    def run() -> dict[str, float]:
        for _ in range(calls):
            function(query, key, value)
        return {"calls in one": calls, "relative error": error}

    return run
