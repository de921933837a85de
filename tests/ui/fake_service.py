"""A job service without a queue file or a worker process: it draws gradients, one step at a time, in a thread."""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from tests.ui.fake_tasks import perform
from webui.engine.catalogue import CheckpointFile
from webui.engine.extensions import Extensions
from webui.errors import NotFound, UnknownModel
from webui.families.base import Defaults
from webui.infotext import request_to_infotext
from webui.request import GenerationRequest, check, from_dict
from webui.scripts import SCRIPTS, Made, planned
from webui.text.style_files import StyleFiles
from webui.text.styles import Style
from webui.workers.blobs import Blobs
from webui.workers.tasks import task
from webui.workers.views import JobView, ResultView, ServiceStatus

SAMPLERS = ("Euler a", "Euler", "DPM++ 2M", "DPM++ SDE", "UniPC", "DDIM", "LCM")
SCHEDULES = ("Automatic", "Karras", "Exponential", "SGM Uniform")
LASTING = "takes long"  # in a prompt: each last step goes on until somebody wishes an end
NATIVE = {
    "starter.safetensors": 128,
    "painter-xl.safetensors": 1024,
    "portrait.safetensors": 512,
    "broken.safetensors": 0,
}


class FakeCatalogue:
    """Three checkpoints of different native sizes, one that cannot be used, and one VAE.

    With a library, its files have cards; those of the same names are chosen by them.
    """

    def __init__(self, library=None):
        self.refreshed = 0
        self.library, self.vae_choices, self.default = library, {}, ""

    def refresh(self):
        self.refreshed += 1
        if self.library is not None:
            self.library.refresh()
            self.library.read_pending()

    def checkpoints(self):
        return [CheckpointFile(name, Path(name), 1, 1, "0123456789abcdef" * 4) for name in NATIVE]

    def vaes(self):
        return [CheckpointFile("soft.safetensors", Path("soft.safetensors"), 1, 1)]

    def files(self, kind):
        return []

    def find_file(self, kind, name, label):
        raise NotFound(f"There is no {label} named {name!r}.")

    def styles(self):
        if self.library is not None:
            return StyleFiles(self.library.paths.data).styles()
        return {"Soft light": Style("Soft light", "{prompt}, soft light", "harsh")}

    def find(self, name):
        return self._match(name, self.checkpoints())

    def find_vae(self, name):
        return self._match(name, self.vaes())

    def facts(self, file):
        if file.name == "broken.safetensors":
            raise UnknownModel("broken.safetensors holds no network that is known.")
        large = NATIVE[file.name] == 1024
        return SimpleNamespace(
            native_size=NATIVE[file.name],
            defaults=Defaults(steps=8, guidance_scale=5.0),
            concepts=("red apple", "panda") if file.name == "starter.safetensors" else (),
            label="Stable Diffusion XL" if large else "Stable Diffusion 1",
            context_width=2048 if large else 768,
            latent_channels=4,
        )

    def _match(self, name, files):
        for file in files:
            if name is None or name.split(" [")[0] in (file.name, file.stem):
                return file
        raise NotFound(f"There is no model named {name!r}.")


class FakeService:
    """The parts of JobService that the page uses."""

    def __init__(self, folder: Path, step_seconds: float = 0.05, catalogue: FakeCatalogue | None = None):
        self.folder, self.step_seconds = folder, step_seconds
        self.catalogue = catalogue or FakeCatalogue()
        self.blobs = Blobs(folder / "blobs")
        self.history = None
        self.extensions = Extensions()
        self.restorers: tuple[str, ...] = ()
        self.submitted: list[GenerationRequest] = []
        self._views: dict[str, JobView] = {}
        self._wishes: dict[str, set[str]] = {}
        self._turn = threading.Lock()
        self._numbers = itertools.count(1)

    def checkpoints(self):
        return self.catalogue.checkpoints()

    def vaes(self):
        return self.catalogue.vaes()

    def upscalers(self):
        return ["Lanczos", "Nearest"]

    def captioners(self):
        return ["blip", "tagger"]

    def names(self, kind, timeout=30.0):
        known = {"samplers": SAMPLERS, "schedules": SCHEDULES, "restorers": self.restorers}
        return [{"name": name} for name in known.get(kind, ())]

    def status(self):
        running = [view.id for view in self._views.values() if view.state == "running"]
        return ServiceStatus("busy" if running else "idle", 0, running[0] if running else None)

    def submit(self, request, client="", tab="txt2img", priority=0):
        check(request)
        job_id = f"fake-{time.time_ns()}-{next(self._numbers)}"
        self.submitted.append(request)
        self._wishes[job_id] = set()
        self._views[job_id] = JobView(job_id, "waiting", tab, client, request, time.time(), position=1)
        threading.Thread(target=self._run, args=(job_id,), daemon=True).start()
        return job_id

    def submit_task(self, name, values, client="", tab="", priority=0):
        """Merges, which come out as a copy of the first model, scripts, and what needs no checkpoint as it is."""
        request, values = GenerationRequest(), task(name).check(values)
        work = {"script": self._script, "merge": self._merge}.get(name, functools.partial(perform, self))
        job_id = f"fake-{time.time_ns()}-{next(self._numbers)}"
        self._wishes[job_id] = set()
        view = JobView(job_id, "waiting", name, client, request, time.time(), task=name, values=values)
        self._views[job_id] = view
        threading.Thread(target=work, args=(job_id, values), daemon=True).start()
        return job_id

    def jobs(self, limit=50, client=None):
        return list(self._views.values())[::-1][:limit]

    def _script(self, job_id, values):
        """The cells one after the other, then the sheets; as the task does, without an engine."""
        script = SCRIPTS[values["script"]]
        request = from_dict(values["request"])
        cells = planned(values["script"], request, values["arguments"], lambda: 77, self.blobs.path)
        self._set(job_id, state="running", started=time.time(), batches=len(cells))
        made = []
        for number, cell in enumerate(cells):
            if not self._batch(job_id, dataclasses.replace(cell.request, count=len(cells)), number):
                return self._set(job_id, state="cancelled", finished=time.time())
            made.append(Made(cell, Path(self._views[job_id].results[-1].path)))
        for sheet in script.assemble(made, values["arguments"]) if script.assemble else ():
            path = self.folder / f"{job_id}-{sheet.name}.png"
            sheet.picture.save(path)
            text = f"{self._views[job_id].results[0].infotext}, Script: {values['script']}"
            result = ResultView(str(path), text, 77, *sheet.picture.size)
            self._set(job_id, results=(*self._views[job_id].results, result))
        return self._set(job_id, state="done", finished=time.time(), progress=1.0, preview=None)

    def change_settings(self, values):
        pass

    def watch(self, silence, interrupt):
        pass

    def limit_waiting(self, limit, per_client):
        pass

    def _merge(self, job_id, values):
        for step in range(1, 11):
            time.sleep(self.step_seconds)
            self._set(job_id, state="running", stage="merging", progress=step / 10)
        folder = self.catalogue.library.paths.new_folder("checkpoints")
        made = folder / f"{values['name']}.safetensors"
        _copy_sparsely(folder / values["models"][0], made)
        self.catalogue.refresh()
        self._set(job_id, state="done", outcome={"path": str(made), "name": made.name}, finished=time.time())

    def job(self, job_id):
        if job_id not in self._views:
            raise NotFound("There is no such job.")
        return self._views[job_id]

    def interrupt(self, job_id=None, client=None):
        return self._wish(job_id, "interrupt")

    def skip(self, job_id=None, client=None):
        return self._wish(job_id, "skip")

    def stop_after(self, job_id=None, client=None):
        self._set(job_id, stopping=True)
        return self._wish(job_id, "stop_after")

    def wishes(self, job_id):
        """What was asked of a job."""
        return self._wishes[job_id]

    def change(self, job_id, **changes):
        """Other facts of a job's view."""
        self._set(job_id, **changes)

    def _wish(self, job_id, name):
        self._wishes[self.job(job_id).id].add(name)
        return True

    def _set(self, job_id, **changes):
        self._views[job_id] = dataclasses.replace(self._views[job_id], **changes)

    def _run(self, job_id):
        with self._turn:
            request = self._views[job_id].request
            if "interrupt" in self._wishes[job_id]:
                return self._set(job_id, state="cancelled", finished=time.time(), position=0)
            self._set(job_id, state="running", started=time.time(), position=0, stage="load", batches=request.count)
            if "fail" in request.prompt:
                time.sleep(3 * self.step_seconds)
                error = "The VAE returned numbers that are not finite. Choose another VAE."
                return self._set(job_id, state="failed", finished=time.time(), error=error)
            for batch in range(request.count):
                if not self._batch(job_id, request, batch) or "stop_after" in self._wishes[job_id]:
                    break
            ended = "cancelled" if self._wishes[job_id] & {"interrupt", "stop_after"} else "done"
            return self._set(job_id, state=ended, finished=time.time(), progress=1.0, preview=None)

    def _batch(self, job_id, request, batch):
        steps = request.passes[0].steps
        began = time.monotonic()
        for step in range(1, steps + 1):
            time.sleep(self.step_seconds)
            for _ in range(1000 if LASTING in request.prompt and step == steps else 0):
                if self._wishes[job_id]:
                    break
                time.sleep(self.step_seconds)
            if "interrupt" in self._wishes[job_id]:
                return False
            if "skip" in self._wishes[job_id]:
                self._wishes[job_id].discard("skip")
                return True
            done = (batch + step / steps) / request.count
            left = (time.monotonic() - began) / step * (steps - step + (request.count - batch - 1) * steps)
            self._set(
                job_id,
                stage="sample",
                step=step,
                steps=steps,
                batch=batch,
                progress=done,
                eta=left,
                preview=_jpeg(_drawing(request, batch, step / steps, 96)),
                preview_id=self._views[job_id].preview_id + 1,
            )
        self._set(job_id, results=(*self._views[job_id].results, *self._pictures(job_id, request, batch)))
        return True

    def _pictures(self, job_id, request, batch):
        results = []
        for index in range(request.batch_size):
            seed = (1234567 if request.seed < 0 else request.seed) + batch * request.batch_size + index
            first = request.passes[0]
            infotext = request_to_infotext(dataclasses.replace(request, seed=seed), {"Model hash": "0123456789"})
            path = self.folder / "outputs" / f"{job_id}-{batch}-{index}.png"
            path.parent.mkdir(exist_ok=True)
            info = PngInfo()
            info.add_text("parameters", infotext)
            _drawing(request, seed, 1.0, first.width).resize((first.width, first.height)).save(path, pnginfo=info)
            results.append(ResultView(str(path), infotext, seed, first.width, first.height))
            if self.history is not None:
                self.history.add(path)
        return results


def _drawing(request, seed, share, size):
    """A round apple on a soft ground that gains form as `share` goes to 1."""
    size = max(32, min(size, 512))
    hue = (len(request.prompt) * 23 + seed * 37) % 255
    ground = Image.linear_gradient("L").resize((size, size))
    picture = Image.merge(
        "HSV",
        (Image.new("L", (size, size), hue), Image.new("L", (size, size), 70), ground.point(lambda v: 255 - v // 5)),
    )
    picture = picture.convert("RGB")
    pen = ImageDraw.Draw(picture)
    radius = size * 0.3
    centre = (size / 2, size * 0.54)
    pen.ellipse((centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius), fill=(205, 48, 44))
    pen.ellipse(
        (centre[0] - radius * 0.6, centre[1] - radius * 0.7, centre[0] - radius * 0.1, centre[1] - radius * 0.3),
        fill=(232, 104, 92),
    )
    pen.line(
        (centre[0], centre[1] - radius * 0.9, centre[0] + radius * 0.2, centre[1] - radius * 1.4),
        fill=(96, 62, 40),
        width=max(2, size // 40),
    )
    if share < 1.0:
        noise = Image.effect_noise((size, size), 90).convert("RGB")
        picture = Image.blend(noise, picture, share)
    return picture


def _jpeg(picture):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=75)
    return stream.getvalue()


def _copy_sparsely(source, target):
    """A safetensors file that is header and holes, without writing gigabytes of zeros."""
    with source.open("rb") as file:
        length = file.read(8)
        header = length + file.read(int.from_bytes(length, "little"))
    with target.open("wb") as file:
        file.write(header)
        file.truncate(source.stat().st_size)
