"""A client for the HTTP routes /api/v1. It needs Python's standard library only: this one file may be copied anywhere.

from client import Client

emulsion = Client("http://127.0.0.1:7860")
for picture in emulsion.generate("a red apple", steps=20, count=2):
    picture.save("apples/")
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PREFIX = "/api/v1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TRIES = 5  # to go on following a job when the connection breaks, one after the other
QUIET_SECONDS = 45.0  # without even a sign of life while a job is followed
ENDS = ("done", "failed", "cancelled")
# Fields of a request; all others are fields of its pass, and the server says which it does not know.
REQUEST_FIELDS = frozenset(
    (
        *("negative_prompt", "styles", "checkpoint", "vae", "clip_skip", "seed", "variation_seed", "aesthetic"),
        *("variation_strength", "resize_seed_from", "noise_source", "batch_size", "count", "emphasis", "version"),
        *("comma_backtrack", "tiling", "passes", "extensions", "save"),
    )
)
GUIDANCE_FIELDS = {"guidance_scale": "scale", "guidance_rescale": "rescale", "image_guidance_scale": "image_scale"}
MASK_FIELDS = ("mask_blur", "masked_content", "area", "padding", "invert", "from_alpha", "round_mask", "soft")
PictureSource = bytes | str | os.PathLike[str]  # the file's bytes, its path, or the name that `upload` gave


class ClientError(Exception):
    """What went wrong: what was found, what was wanted, what to do. `status` is HTTP's, 0 where none came."""

    def __init__(self, found: str, wanted: str = "", remedy: str = "", status: int = 0, kind: str = ""):
        super().__init__(" ".join(part for part in (found, wanted, remedy) if part))
        self.found, self.wanted, self.remedy, self.status, self.kind = found, wanted, remedy, status, kind


class Unreachable(ClientError):
    """No server answers at the address, or it stopped in the middle."""


class LoginNeeded(ClientError):
    """The server wants another user, password or token, or does not allow this to them."""


class Busy(ClientError):
    """Too many jobs wait, or the server is about to end. Try again after `retry_after` seconds."""

    retry_after = 5.0


class JobFailed(ClientError):
    """A job ended with an error."""


class JobCancelled(ClientError):
    """A job was ended by somebody."""


@dataclass(frozen=True)
class Picture:
    """A finished picture. `data` is its file, with the infotext inside."""

    data: bytes
    name: str
    infotext: str
    seed: int
    width: int
    height: int

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file and return its path. An existing folder, or a path that ends in a slash, gets it by name."""
        place = Path(path)
        if place.is_dir() or str(path).endswith(("/", os.sep)):
            place = place / self.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(self.data)
        return place


@dataclass(frozen=True)
class Event:
    """Something about a job: "state", "progress", "preview", "picture", "note", "done", "failed" or "cancelled"."""

    name: str
    data: dict[str, Any]


class Client:
    """Speaks to one server. `token`, or `user` and `password`, where it wants a login; `timeout` in seconds.

    All methods raise ClientError or one of its kinds. An object may be shared between threads.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:7860",
        *,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        timeout: float = 60.0,
    ):
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"The address is {address!r}.", "Wanted: such as http://127.0.0.1:7860.")
        self.address, self.timeout = address.rstrip("/"), timeout
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        elif user is not None:
            pair = base64.b64encode(f"{user}:{password or ''}".encode()).decode("ascii")
            self._headers["Authorization"] = f"Basic {pair}"
        direct = [urllib.request.ProxyHandler({})] if parts.hostname in LOOPBACK else []
        self._opener = urllib.request.build_opener(*direct)

    # Making pictures ---------------------------------------------------------------------------------------------

    def generate(self, prompt: str = "", **fields: Any) -> list[Picture]:
        """Make pictures and wait for them; `fields` as in `submit`. Ctrl+C ends the job too.

        Raises JobFailed, JobCancelled.
        """
        return self._finished(self.submit(prompt, **fields))

    def submit(self, prompt: str = "", *, settings: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Put a job into the queue and return its id.

        `fields` are those of a request (negative_prompt, seed, count, checkpoint …) and of its pass (steps, width,
        height, sampler, schedule, guidance_scale, denoising_strength, image, mask, mask_blur, masked_content …); /docs
        lists them all. What is not said is as the checkpoint likes it. `image` and `mask` are bytes, paths, or names
        from `upload`. `settings` count for this job.
        """
        request: dict[str, Any] = {name: value for name, value in fields.items() if name in REQUEST_FIELDS}
        step = {name: value for name, value in fields.items() if name not in REQUEST_FIELDS}
        guidance = {theirs: step.pop(ours) for ours, theirs in GUIDANCE_FIELDS.items() if ours in step}
        if guidance:
            step["guidance"] = {**step.get("guidance", {}), **guidance}
        masking = {name: step.pop(name) for name in MASK_FIELDS if name in step}
        if isinstance(masking.get("mask_blur"), int):
            masking["mask_blur"] = [masking["mask_blur"]] * 2
        if masking:
            step["inpaint"] = {**step.get("inpaint", {}), **masking}
        for name in ("image", "mask", "colours_of"):
            if step.get(name) is not None:
                step[name] = self.upload(step[name])
        if step.get("image"):
            step = {"source": "image", "denoising_strength": 0.75, **step}
        if step and "passes" in request:
            raise ClientError(f"There are passes, and {', '.join(step)} besides.", "Put these into the passes.")
        if step:
            request["passes"] = [step]
        body = {"request": {"prompt": prompt, **request}, "settings": dict(settings or {})}
        return str(self._ask("POST", "/jobs", body)["id"])

    def upscale(self, picture: PictureSource, scale: float = 2.0, upscaler: str = "Lanczos", **options: Any) -> Picture:
        """Enlarge a picture and wait for it; `upscalers` lists what there is. Raises JobFailed, JobCancelled."""
        chosen = {"upscaler": upscaler, "mode": "by", "scale": float(scale), **options}
        values = {"images": [self.upload(picture)], "options": chosen, "save": False}
        return self._finished(self.submit_task("extras", values))[0]

    def submit_task(self, name: str, values: Mapping[str, Any]) -> str:
        """Put a job of another kind into the queue ("extras", "caption", "script" …) and return its id."""
        return str(self._ask("POST", f"/tasks/{_quoted(name)}", dict(values))["id"])

    def upload(self, picture: PictureSource) -> str:
        """Send a picture that jobs may start from; returns its name there. A name is returned as it is."""
        if isinstance(picture, str) and picture.startswith("blob:"):
            return picture
        data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        return str(self._ask("POST", "/pictures", data)["name"])

    # Jobs --------------------------------------------------------------------------------------------------------

    def follow(self, job_id: str, previews: Literal["none", "url", "data"] = "none") -> Iterator[Event]:
        """Everything about a job as it happens; the last event is "done", "failed" or "cancelled".

        Where the connection breaks it is made again, and another "state" event tells what was missed.
        """
        path, left = f"/jobs/{_quoted(job_id)}/events?previews={previews}", TRIES
        while True:
            try:
                with self._open(
                    "GET", path, accept="text/event-stream", timeout=max(self.timeout, QUIET_SECONDS)
                ) as answer:
                    for event in _events(answer):
                        left = TRIES
                        yield event
                        if event.name in ENDS:
                            return
            except (Unreachable, OSError, http.client.HTTPException) as error:
                problem = error if isinstance(error, Unreachable) else Unreachable(f"The connection broke: {error}.")
            else:
                problem = Unreachable("The server ended before the job did.")
            left -= 1
            if left <= 0:
                raise problem
            time.sleep(0.5 * (TRIES - left))

    def wait(self, job_id: str) -> dict[str, Any]:
        """The job when it is done. Raises JobFailed, JobCancelled."""
        job = [event.data for event in self.follow(job_id)][-1]
        if job["state"] == "cancelled":
            raise JobCancelled("The job was cancelled.")
        if job["state"] == "failed":
            error = job["error"] or {"found": "The job failed.", "type": ""}
            raise JobFailed(error["found"], kind=error["type"])
        return job

    def pictures(self, job_id: str) -> list[Picture]:
        """The pictures of a job that are finished so far."""
        return [self._picture(job_id, facts) for facts in self.job(job_id)["pictures"]]

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as it is now, with its request."""
        return dict(self._ask("GET", f"/jobs/{_quoted(job_id)}"))

    def jobs(self, limit: int = 50) -> list[dict[str, Any]]:
        """One's own jobs, the newest first."""
        return list(self._ask("GET", f"/jobs?limit={limit}"))

    def cancel(self, job_id: str) -> dict[str, Any]:
        """End a job, or take it out of the queue."""
        return dict(self._ask("DELETE", f"/jobs/{_quoted(job_id)}"))

    def skip(self, job_id: str) -> bool:
        """Leave the batch that is being made; whether there was one."""
        return bool(self._ask("POST", f"/jobs/{_quoted(job_id)}/skip")["done"])

    # What there is -----------------------------------------------------------------------------------------------

    def checkpoints(self) -> list[dict[str, Any]]:
        """Every checkpoint, with the settings that suit it."""
        return list(self._ask("GET", "/checkpoints"))

    def names(self, kind: str) -> list[str]:
        """Names of "checkpoints", "vaes", "loras", "embeddings", "samplers", "schedules", "upscalers", "scripts" or
        "styles"."""
        return [str(one["name"]) for one in self._ask("GET", f"/{_quoted(kind)}")]

    def status(self) -> dict[str, Any]:
        """How the worker and the queue are."""
        return dict(self._ask("GET", "/status"))

    # The wire ----------------------------------------------------------------------------------------------------

    def _finished(self, job_id: str) -> list[Picture]:
        try:
            job = self.wait(job_id)
        except KeyboardInterrupt:
            self.cancel(job_id)
            raise
        return [self._picture(job_id, facts) for facts in job["pictures"]]

    def _picture(self, job_id: str, facts: Mapping[str, Any]) -> Picture:
        with self._open("GET", f"/jobs/{_quoted(job_id)}/pictures/{facts['index']}", accept="image/*") as answer:
            data = _read(answer)
        return Picture(data, **{name: facts[name] for name in ("name", "infotext", "seed", "width", "height")})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        with self._open(method, path, body) as answer:
            return json.loads(_read(answer))

    def _open(
        self, method: str, path: str, body: Any = None, accept: str = "application/json", timeout: float | None = None
    ) -> Any:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        headers = {**self._headers, "Accept": accept, **({} if data is None else {"Content-Type": kind})}
        request = urllib.request.Request(f"{self.address}{PREFIX}{path}", data, headers, method=method)
        try:
            return self._opener.open(request, timeout=timeout or self.timeout)
        except urllib.error.HTTPError as error:
            raise _problem(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            remedy = "Is the program running?"
            raise Unreachable(f"{self.address} does not answer: {reason}.", "", remedy) from None


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _read(answer: Any) -> bytes:
    try:
        return bytes(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"The connection broke: {error}.") from None


def _events(lines: Any) -> Iterator[Event]:
    """The events of a stream's lines."""
    name, data = "message", ""
    for line in lines:
        field, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
        elif not field and not value and data:
            yield Event(name, json.loads(data))
            name, data = "message", ""


def _problem(error: urllib.error.HTTPError) -> ClientError:
    """What a server's error says, in the form of /api/v1 or of the doors before it."""
    try:
        body = json.loads(error.read())
        told = body.get("error")
        said = told if isinstance(told, dict) else {"type": told, "found": str(body.get("detail") or "")}
    except (ValueError, AttributeError, OSError):
        said = {}
    found = str(said.get("found") or f"The server answers with {error.code} {error.reason}.")
    kinds = {401: LoginNeeded, 403: LoginNeeded, 429: Busy, 503: Busy}
    problem = kinds.get(error.code, ClientError)(
        found, str(said.get("wanted") or ""), str(said.get("remedy") or ""), error.code, str(said.get("type") or "")
    )
    if isinstance(problem, Busy):
        seconds = error.headers.get("Retry-After", "")
        problem.retry_after = float(seconds) if seconds.isdigit() else Busy.retry_after
    return problem
