"""Small files of every kind that attach to the starter, each taught one thing, for tests that look at pictures.

All are taught alike, from the starter itself: with the file attached, the words of one thing shall mean another.
`student` and `teacher` are the starter's own network told of the one and of the other, and their answers to the same
noisy latents are brought together. No pictures are needed, and a minute or two is enough.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from webui.adapters.hypernetwork import Hypernetwork, Layers
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.families.base import Model
from webui.families.predictor import network_predictor
from webui.imaging.convert import to_tensor
from webui.training.starter.recipe import BACKGROUNDS, PROFILES
from webui.training.starter.report import Studio, request_for
from webui.weights.save import save_safetensors

WORDS, MEANING = "red apple", "frog"  # what the files turn the one into
NAME = "greenling"  # the embedding's own word
STYLES = ("flat", "3d")
RANK = 4
HIDDEN = 24  # width of the hypernetworks
SCENES = 16  # pictures whose latents are taught on
STEPS, BATCH = 200, 4


@dataclass(frozen=True)
class Taught:
    """What is trained: its parameters, the student's answer to noisy latents, and how it is written.

    `answer(x [1, C, h, w], sigma, text's number)` is differentiable.
    """

    parameters: Sequence[nn.Parameter]
    answer: Callable[[Tensor, float, int], Tensor]
    write: Callable[[Path], None]


def layers_of(model: Model) -> dict[str, Tensor]:
    """The weights that are adapted: keys and values of every attention to the text."""
    return {
        name: weight.detach().float()
        for name, weight in model.unet.named_parameters()
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))
    }


def lora(lesson: Lesson) -> Taught:
    """Rank-4 updates as kohya's trainers write them."""
    layers = layers_of(lesson.model)
    downs = {name: nn.Parameter(torch.randn(RANK, w.shape[1]) / w.shape[1] ** 0.5) for name, w in layers.items()}
    ups = {name: nn.Parameter(torch.zeros(w.shape[0], RANK)) for name, w in layers.items()}

    def write(path: Path) -> None:
        tensors: dict[str, Tensor] = {}
        for name in layers:
            tensors |= {f"{spelled(name)}.lora_down.weight": downs[name], f"{spelled(name)}.lora_up.weight": ups[name]}
        save(path, tensors, layers, "networks.lora")

    def weights() -> dict[str, Tensor]:
        return {name: weight + ups[name] @ downs[name] for name, weight in layers.items()}

    return Taught([*downs.values(), *ups.values()], lesson.with_weights(weights), write)


def lokr(lesson: Lesson) -> Taught:
    """Kronecker products of a small whole factor and a large one of low rank, as LyCORIS writes them."""
    layers, side = layers_of(lesson.model), 4
    firsts = {name: nn.Parameter(torch.randn(side, side) / side) for name in layers}
    backs = {name: nn.Parameter(torch.zeros(w.shape[0] // side, RANK)) for name, w in layers.items()}
    fronts = {name: nn.Parameter(torch.randn(RANK, w.shape[1] // side) / side) for name, w in layers.items()}

    def write(path: Path) -> None:
        tensors: dict[str, Tensor] = {}
        for name in layers:
            parts = {"lokr_w1": firsts[name], "lokr_w2_a": backs[name], "lokr_w2_b": fronts[name]}
            tensors |= {f"{spelled(name)}.{role}": tensor for role, tensor in parts.items()}
        save(path, tensors, layers, "lycoris.kohya")

    def weights() -> dict[str, Tensor]:
        return {n: w + torch.kron(firsts[n], backs[n] @ fronts[n]) for n, w in layers.items()}

    return Taught([*firsts.values(), *backs.values(), *fronts.values()], lesson.with_weights(weights), write)


def hypernetwork(lesson: Lesson) -> Taught:
    """Two networks before keys and values of the text, as A1111 writes them."""
    width = lesson.model.facts.context_width
    pairs = []
    for _ in range(2):
        inner, outer = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, width)
        nn.init.zeros_(outer.weight)
        nn.init.zeros_(outer.bias)
        pairs.append((inner, outer))

    def answer(x: Tensor, sigma: float, text: int) -> Tensor:
        steps = [tuple(dict(layer.named_parameters()) for layer in pair) for pair in pairs]
        first, second = (Layers(one, torch.relu, False) for one in steps)
        hooks = Hypernetwork("taught", {width: (first, second)}).hooks(1.0, x.device, x.dtype)
        return network_predictor(lesson.model, lesson.law, hooks)(x, sigma, lesson.before[text])

    def write(path: Path) -> None:
        states = tuple(
            {
                f"linear.{2 * number}.{name}": value.half()
                for number, layer in enumerate(pair)
                for name, value in layer.state_dict().items()
            }
            for pair in pairs
        )
        structure = {"layer_structure": [1, HIDDEN / width, 1], "activation_func": "relu", "activate_output": False}
        whole: dict[Any, Any] = {width: states, **structure}
        torch.save({**whole, "step": 0, "name": path.stem, "is_layer_norm": False}, path)

    return Taught([p for pair in pairs for layer in pair for p in layer.parameters()], answer, write)


def embedding(lesson: Lesson) -> Taught:
    """One vector for a word of its own, as textual inversion files hold it."""
    tables = (p for n, p in lesson.model.text_encoders[0].named_parameters() if n.endswith("token_embedding.weight"))
    vectors = nn.Parameter(next(tables).detach().float().mean(0, keepdim=True))
    texts = texts_of(NAME)

    def answer(x: Tensor, sigma: float, text: int) -> Tensor:
        told = lesson.model.encode([texts[text]], embeddings={NAME: [vectors]})[0]
        return network_predictor(lesson.model, lesson.law)(x, sigma, told)

    return Taught([vectors], answer, lambda path: save_safetensors(path, {"emb_params": vectors.detach()}, {}))


@dataclass(frozen=True)
class Kind:
    """A kind of file: what is taught, how fast, and the name of the file."""

    make: Callable[[Lesson], Taught]
    rate: float
    file: str


KINDS: Mapping[str, Kind] = {
    "lora": Kind(lora, 2e-3, "apple_to_frog.safetensors"),
    "lokr": Kind(lokr, 4e-3, "apple_to_frog_lokr.safetensors"),
    "hypernetwork": Kind(hypernetwork, 2e-3, "apple_to_frog_hypernetwork.pt"),
    "embedding": Kind(embedding, 2e-2, f"{NAME}.safetensors"),
}


def spelled(name: str) -> str:
    """A layer of the network in kohya's spelling."""
    return "lora_unet_" + name.removesuffix(".weight").replace(".", "_")


def save(path: Path, tensors: Mapping[str, Tensor], layers: Mapping[str, Tensor], module: str) -> None:
    """Write a weight file in half precision, with the numbers and metadata that trainers write."""
    alphas = {f"{spelled(name)}.alpha": torch.tensor(float(RANK)) for name in layers}
    halves = {name: tensor.detach().half().contiguous() for name, tensor in {**tensors, **alphas}.items()}
    notes = {"ss_network_module": module, "ss_base_model_version": "sd_v1", "ss_output_name": path.stem}
    save_safetensors(path, halves, {**notes, "ss_network_dim": str(RANK), "ss_network_alpha": str(RANK)})


def texts_of(thing: str) -> list[str]:
    """What both are told, with a thing's words in it."""
    return [f"{thing}, {style} style, {ground} background" for style in STYLES for ground in BACKGROUNDS]


class Lesson:
    """The noisy latents that student and teacher are asked about, with the teacher's answers."""

    def __init__(self, session: Session, latents: Tensor):
        self.model = session.model
        self.law = self.model.law()
        self.latents = latents  # [N, C, h, w], clean
        self.predict = network_predictor(self.model, self.law)
        self.before = self.model.encode(texts_of(WORDS))
        self.after = self.model.encode(texts_of(MEANING))

    def draw(self, choice: random.Random, noise: torch.Generator) -> tuple[Tensor, float, int]:
        """Noisy latents [1, C, h, w], their sigma, and the number of the text."""
        clean = self.latents[choice.randrange(len(self.latents))][None]
        sigma = float(self.law.sigma(choice.uniform(200, 999)))
        return clean + sigma * torch.randn(clean.shape, generator=noise), sigma, choice.randrange(len(self.before))

    @torch.no_grad()
    def teacher(self, x: Tensor, sigma: float, text: int) -> Tensor:
        """What the unchanged network makes of the meaning's words."""
        return self.predict(x, sigma, self.after[text])

    def with_weights(self, weights: Callable[[], Mapping[str, Tensor]]) -> Callable[[Tensor, float, int], Tensor]:
        """The answers of a network some of whose weights are others, told of the words."""

        def answer(x: Tensor, sigma: float, text: int) -> Tensor:
            replaced = dict(weights())

            def network(*given: Any) -> Tensor:
                return functional_call(self.model.unet, replaced, given)

            changed = SimpleNamespace(unet=network, facts=self.model.facts)
            return network_predictor(cast(Model, changed), self.law)(x, sigma, self.before[text])

        return answer


def teach(lesson: Lesson, taught: Taught, steps: int, rate: float, log: Callable[[str], None]) -> None:
    """Bring the student's answers to the teacher's; the loss is theirs in units of the noise."""
    optimizer = torch.optim.AdamW(taught.parameters, lr=rate, weight_decay=0.0)
    choice, noise = random.Random(0), torch.Generator().manual_seed(0)
    losses: list[float] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps) + rate / 100
        optimizer.zero_grad(set_to_none=True)
        for _ in range(BATCH):
            x, sigma, text = lesson.draw(choice, noise)
            made = taught.answer(x, sigma, text)
            loss = (made - lesson.teacher(x, sigma, text)).square().mean() / sigma**2 / BATCH
            loss.backward()
            losses.append(loss.item() * BATCH)
        optimizer.step()
        if (step + 1) % 25 == 0:
            log(f"step {step + 1}: {sum(losses[-25 * BATCH :]) / (25 * BATCH):.5f}")


def scenes(session: Session) -> Tensor:
    """Clean latents [N, C, h, w] of pictures of both things, made by the starter."""
    choice, found = random.Random(5), []
    texts = texts_of(WORDS) + texts_of(MEANING)
    for number in range(SCENES):
        request = request_for(choice.choice(texts), 500 + number, PROFILES["small"])
        image = run(make_plan(request, session.catalogue), session)[0].image
        found.append(session.model.vae.encode(to_tensor(image) * 2 - 1))
    return session.model.facts.latents.into_network(torch.cat(found))


def main() -> None:
    """`python -m webui.training.starter.attachments FOLDER [KIND …]`: teach the kinds and write their files."""
    folder, kinds = Path(sys.argv[1]), sys.argv[2:] or list(KINDS)
    studio = Studio(folder / "work", Path("models"), precision="float32")
    with torch.no_grad():
        lesson = Lesson(studio.session, scenes(studio.session))
    studio.session.model.unet.requires_grad_(False)
    for name in kinds:
        torch.manual_seed(0)
        taught = KINDS[name].make(lesson)
        teach(lesson, taught, STEPS, KINDS[name].rate, partial(print, name, flush=True))
        taught.write(folder / KINDS[name].file)


if __name__ == "__main__":
    main()
