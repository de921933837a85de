"""The straight line: a plan becomes pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from webui.engine.control import BatchSkipped, Control, NobodyAsks, OnEvent, Reporter, heed
from webui.engine.copies import save_and_send_masks, save_source, save_stages
from webui.engine.memory import is_out_of_memory
from webui.engine.output import finish
from webui.engine.pictures import SourcePicture
from webui.engine.plan import PicturePlan, Plan
from webui.engine.sampling import sample
from webui.engine.session import Session
from webui.engine.surroundings import Drawn, Stage, Surroundings, decoded
from webui.errors import OutOfMemory


@dataclass(frozen=True)
class Result:
    """One finished picture. `path` is None when it was not to be saved; `timings` are seconds by stage of the job."""

    image: Image.Image
    infotext: str
    seed: int
    path: Path | None = None
    index: int = 0
    timings: dict[str, float] = field(default_factory=dict)


def ignore(event: dict[str, Any]) -> None:
    """For runs that nobody watches."""


def run(plan: Plan, session: Session, on_event: OnEvent = ignore, control: Control | None = None) -> list[Result]:
    """Make the pictures of a plan and return those that were finished, in order.

    `on_event` gets dicts whose "type" is progress (stage, step, steps, batch, batches, fraction, eta), preview (bytes,
    format), picture (path, infotext, seed, index, image …), copy (path) or note (text). `control` interrupts within one
    network call, skips a batch or stops after one. Same plan, same machine: same bytes, whatever the batch size.

    Raises Cancelled (finished pictures were reported), OutOfMemory (after a second try in a leaner way), ExtensionError
    and what loading raises.
    """
    try:
        with torch.no_grad():
            return _Run(plan, session, on_event, control or NobodyAsks()).everything()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Outside of the handler: its traceback would keep every tensor of the failed try alive.
    session.unload()
    raise OutOfMemory(
        "Memory ran out, even one picture at a time and decoding in tiles.",
        f"About {plan.memory.peak / (1 << 30):.1f} GiB are needed.",
        "Use a smaller size, or close other programs.",
    )


class _Run:
    """One run of one plan."""

    def __init__(self, plan: Plan, session: Session, on_event: OnEvent, control: Control):
        self.plan, self.session, self.control = plan, session, control
        self.told: set[str] = set()
        self.sources: dict[tuple[int, int], SourcePicture] = {}
        self.stages: dict[tuple[int, str], Stage] = {}
        self.lean = False  # pictures one by one and decoding in small tiles, after memory ran out
        self.together = session.batched and not any(step.one_at_a_time for step in plan.passes)
        steps = sum(step.steps for step in plan.passes)
        groups = 1 if self.together else plan.request.batch_size
        self.report = Reporter(on_event, steps * groups, len(plan.batches))

    def everything(self) -> list[Result]:
        """All batches."""
        for warning in self.plan.warnings:
            self.report.note(warning)
        with self.report.stage("load"):
            bases = [base for step in self.plan.passes for base in step.bases]
            # Checkpoints that this job takes turns with may still be there from the last one.
            several = any(base.checkpoint != bases[0].checkpoint for base in bases)
            self.session.load(bases[0].checkpoint, bases[0].vae, keep=several)
        return self._all_batches()

    def _all_batches(self) -> list[Result]:
        results: list[Result] = []
        for number, pictures in enumerate(self.plan.batches):
            if self.control.stopping.is_set():
                break
            self.report.begin_batch(number)
            try:
                results += self._batch(pictures)
            except BatchSkipped:
                self.report.note(f"Batch {number + 1} was skipped.")
        return results

    def _batch(self, pictures: Sequence[PicturePlan]) -> list[Result]:
        decoded: list[Tensor] = []  # [3, H, W] each
        try:
            for group in self._groups(pictures):
                decoded += self._with_retry(group)
        except BaseException:
            for picture in pictures:  # what there is of them is not lost with a later pass
                save_stages(self._given(), picture, None)
            raise
        with self.report.stage("save"):
            return [self._finished(picture, pixels) for picture, pixels in zip(pictures, decoded, strict=True)]

    def _groups(self, pictures: Sequence[PicturePlan]) -> list[list[PicturePlan]]:
        """Pictures that go through the network together."""
        if self.together and not self.lean:
            return [list(same) for _, same in groupby(pictures, key=lambda one: one.pass_adapters)]
        return [[picture] for picture in pictures]

    def _with_retry(self, group: list[PicturePlan]) -> list[Tensor]:
        try:
            return self._pictures(group)
        except Exception as error:
            if self.lean or not is_out_of_memory(error):
                raise
        self.lean = True
        self.session.release()
        self.report.note("Memory ran out; trying again in a leaner way, which is slower.")
        return [pixels for part in self._groups(group) for pixels in self._pictures(part)]

    def _given(self) -> Surroundings:
        known = (self.told, self.sources, self.stages)
        return Surroundings(self.plan, self.session, self.report, self.control, self.lean, *known)

    def _pictures(self, group: list[PicturePlan]) -> list[Tensor]:
        given = self._given()
        drawn: Drawn | None = None
        for number in range(len(self.plan.passes)):
            drawn = sample(given, group, number, drawn)
        assert drawn is not None
        heed(self.control)
        last = self.plan.passes[-1].base
        if drawn.latents is not None and self.session.checkpoint != last.checkpoint:  # a refiner was the last
            self.session.load(last.checkpoint, last.vae, keep=True)
        return decoded(given, drawn)

    def _source_hash(self, picture: PicturePlan) -> str | None:
        """What tells the picture that the first pass started from; None where it started from noise."""
        count = len(self.plan.passes[0].settings.sources)
        source = self.sources.get((0, picture.index % count)) if count else None
        return source.fingerprint if source else None

    def _finished(self, picture: PicturePlan, pixels: Tensor) -> Result:
        array = pixels.permute(1, 2, 0).contiguous().numpy()  # [H, W, 3]
        source = self._source_hash(picture)
        image, infotext, path = finish(self.plan, picture, array, self.session, self.report, source)
        facts = {"infotext": infotext, "seed": picture.seed, "index": picture.index}
        facts |= {"variation_seed": picture.variation_seed, "width": image.width, "height": image.height}
        self.report.picture(path=str(path) if path else None, image=image, **facts)
        given = self._given()
        save_stages(given, picture, path)
        save_and_send_masks(given, picture, image, infotext, path)
        save_source(given, picture)
        return Result(image, infotext, picture.seed, path, picture.index, self.report.timings())
