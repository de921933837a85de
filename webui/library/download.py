"""Fetching a model file: resumed where the line broke, checked, and put among the others in one step.

What comes is looked at before it gets its name: a web page, an archive or a truncated file never becomes a model.
Nothing in it is executed.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from webui.errors import Cancelled, DamagedFile, DownloadFailed, FileError, InvalidRequest, UnsafeFile
from webui.library.connection import Answer, open_url
from webui.library.files import SUFFIXES
from webui.library.partial import BLOCK, Partial
from webui.library.placing import checked_header, file_name, model_name, put
from webui.library.recognise import recognise
from webui.library.sources import Source, find_source, hub_endpoint, raise_for_status, token_for
from webui.paths import MODEL_FOLDERS, Paths

LARGEST = 200 << 30  # bytes of one file
TRIES, TRIES_TO_REACH = 6, 2  # in a row that bring nothing; as long as the server has never answered
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between tries
NO_MODELS = re.compile(
    r"\.(zip|rar|7z|tar|gz|xz|exe|msi|bat|sh|py|ipynb|html?|json|ya?ml|txt|md|png|jpe?g|webp|gif|mp4|onnx|pdf)$", re.I
)
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
DIGITS = re.compile(r"[0-9a-f]{64}")
NAMES = {"checkpoint": "checkpoints", "lora": "loras", "embedding": "embeddings", "hypernetwork": "hypernetworks"}
NAMES |= {"upscaler": "upscalers", "text_encoder": "text_encoders", "diffusion_model": "diffusion_models"}
NAMES |= {"lyco": "loras", "preview_decoder": "preview_decoders", "ip_adapter": "ip_adapters"}
NAMES |= {"motion_module": "motion_modules", "image_encoder": "image_encoders"}

Progress = Callable[[int, int | None], None]  # bytes that are there, bytes of the whole where that is known


@dataclass(frozen=True)
class Wish:
    """What somebody asks for: an address or hub id, the kind of folder ("": what the file turns out to be), and the
    SHA-256 that it should have ("": not known)."""

    source: str
    kind: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Place:
    """Where files go and how other machines are asked. `private`: addresses of private networks may be asked, because
    who asks sits at this machine."""

    paths: Paths
    endpoint: str = ""  # of the hub; empty: HF_ENDPOINT, or the hub itself
    private: bool = False
    largest: int = LARGEST
    pause: float = FIRST_PAUSE


@dataclass(frozen=True)
class Downloaded:
    """A file that is there now. `notes` say what a user should know."""

    path: Path
    kind: str
    sha256: str
    size: int
    notes: tuple[str, ...] = ()


def read_wish(source: str, kind: str = "", sha256: str = "") -> Wish:
    """A wish with its kind's full name. Raises InvalidRequest for an unknown kind or a hash that is none."""
    name = kind.strip().lower().replace("-", "_")
    folder = NAMES.get(name, name)
    if folder and folder not in MODEL_FOLDERS:
        raise InvalidRequest(f"There is no kind of model called {kind!r:.60}.", f"Known: {', '.join(MODEL_FOLDERS)}.")
    digits = sha256.strip().lower().removeprefix("sha256:")
    if digits and not DIGITS.fullmatch(digits):
        raise InvalidRequest(f"{sha256!r:.80} is no SHA-256.", "64 hexadecimal digits were wanted.")
    if not source.strip():
        raise InvalidRequest("No address was given.", "Wanted: an address, or owner/name of a model hub.")
    return Wish(source.strip(), folder, digits)


def download(
    wish: Wish,
    place: Place,
    progress: Progress = lambda done, whole: None,
    cancel: threading.Event | None = None,
    keep: Callable[[], bool] = lambda: True,
) -> Downloaded:
    """Fetch a file into the folder of its kind. Blocks; `cancel` ends it, and `keep` says whether what has arrived
    stays for another time.

    Raises InvalidRequest, NotFound, DownloadFailed, DamagedFile (a wrong checksum, or no model file), UnsafeFile,
    FileError (the disk), Cancelled.
    """
    return _Download(wish, place, progress, cancel or threading.Event(), keep).run()


class _Download:
    """One download under way."""

    def __init__(self, wish: Wish, place: Place, progress: Progress, cancel: threading.Event, keep: Callable[[], bool]):
        self._wish, self._place, self._progress, self._cancel, self._keep = wish, place, progress, cancel, keep
        self._expected = wish.sha256
        self._name = ""
        self._whole: int | None = None
        self._answered = False

    def run(self) -> Downloaded:
        paths, kind = self._place.paths, self._wish.kind
        self._endpoint = hub_endpoint(self._place.endpoint)
        source = self._tried(lambda: find_source(self._wish.source, self._endpoint, self._open))
        folder = paths.new_folder(kind) if kind else paths.models
        with Partial(folder, f"{kind}|{source.url}") as partial:
            try:
                self._fetch(source, partial)
                return self._placed(source, partial)
            except (DamagedFile, UnsafeFile, InvalidRequest):
                partial.forget()  # more of the same would not mend it
                raise
            except Cancelled:
                if not self._keep():
                    partial.forget()
                raise

    # Fetching ---------------------------------------------------------------------------------------------------

    def _open(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        place, endpoint = self._place, self._endpoint
        return open_url(url, headers, place.private, lambda host: token_for(host, endpoint, place.paths.data))

    def _tried(self, work: Callable[[], Source]) -> Source:
        """Something short, once more if the line is bad."""
        try:
            return work()
        except (OSError, http.client.HTTPException):
            self._pause(self._place.pause)
        try:
            return work()
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self._wish.source, error) from None

    def _fetch(self, source: Source, partial: Partial) -> None:
        """Try until everything is there; only tries that bring nothing count."""
        failed = 0
        while True:
            before = partial.size
            problem: Exception
            try:
                if self._transfer(source, partial):
                    return
                problem = DownloadFailed(f"The line broke after {partial.size} of {self._whole} bytes.")
            except ssl.SSLCertVerificationError as error:
                raise _unreachable(source.label, error) from None
            except (OSError, http.client.HTTPException) as error:
                problem = _unreachable(source.label, error)
            except _Busy as error:
                problem = error.answer
            failed = 1 if partial.size > before else failed + 1
            if failed >= (TRIES if self._answered else TRIES_TO_REACH):
                raise problem
            self._pause(min(self._place.pause * 2 ** (failed - 1), LONGEST_PAUSE))

    def _pause(self, seconds: float) -> None:
        if self._cancel.wait(seconds):
            raise Cancelled("The download was stopped.")

    def _transfer(self, source: Source, partial: Partial) -> bool:
        """One request; whether everything is there now."""
        headers = {}
        if partial.size:
            headers = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
        with self._open(source.url, headers) as answer:
            self._answered = True
            if answer.status == 416 and partial.size:  # there is no more, or it is another file by now
                self._whole = _whole_of(answer)
                if self._whole == partial.size:
                    self._name = partial.name
                    self._note_hash(answer)
                    return True
                partial.forget()
                return False
            if answer.status == 429 or answer.status >= 500:
                raise _Busy(answer, source.label)
            raise_for_status(answer, source.label)
            self._look_at(answer, source)
            resumed = answer.status == 206
            if resumed and not _continues(answer, partial):
                partial.forget()
                return False
            if not resumed:
                partial.forget()  # the server has another file by now, or cannot begin in the middle
            length = answer.header("Content-Length")
            left = int(length) if length.isdecimal() else None
            self._whole = None if left is None else partial.size + left
            self._check_size(partial, left or 0)
            partial.begin(_validator(answer), self._name)
            self._receive(answer, partial, left)
        partial.finish()
        return self._whole is None or partial.size == self._whole

    def _receive(self, answer: Answer, partial: Partial, left: int | None) -> None:
        while left is None or left > 0:
            data = answer.read(BLOCK if left is None else min(BLOCK, left))
            if self._cancel.is_set():
                raise Cancelled("The download was stopped.")
            if not data:
                return
            if partial.size == 0 and data.lstrip()[:16].lower().startswith(PAGES):
                raise _page(answer)
            partial.write(data)
            if left is None:
                self._check_size(partial, 0)
            else:
                left -= len(data)
            self._progress(partial.size, self._whole)

    def _look_at(self, answer: Answer, source: Source) -> None:
        """What the headers say: a name, a checksum, or that this is no file at all."""
        if answer.header("Content-Type").lower().startswith(("text/html", "application/xhtml")):
            raise _page(answer)
        if answer.header("Content-Encoding").lower() not in ("", "identity"):
            raise DownloadFailed(f"The server packs {source.label}.", "The file as it is was wanted.")
        self._name = file_name(answer.said.get("content-disposition", "")) or source.name
        if NO_MODELS.search(self._name):
            raise InvalidRequest(f"{self._name!r:.120} is no model file.", f"Known: {', '.join(SUFFIXES)}.")
        self._note_hash(answer)

    def _note_hash(self, answer: Answer) -> None:
        """The SHA-256 that a hub says before it leads on to the file."""
        stated = answer.said.get("x-linked-etag", "").removeprefix("W/").strip('"').lower()
        if DIGITS.fullmatch(stated):
            if self._expected and self._expected != stated:
                raise _other_hash(self._name or self._wish.source, stated, self._expected)
            self._expected = stated

    def _check_size(self, partial: Partial, left: int) -> None:
        if partial.size + left > self._place.largest:
            raise InvalidRequest(
                f"The file has {(partial.size + left) / 2**30:.1f} GB.",
                f"At most {self._place.largest / 2**30:.1f} GB are fetched.",
            )
        if left:
            partial.check_space(left)

    # Placing ----------------------------------------------------------------------------------------------------

    def _placed(self, source: Source, partial: Partial) -> Downloaded:
        """Check what has come and give it its name."""
        if self._expected and partial.sha256 != self._expected:
            raise _other_hash(self._name or source.label, partial.sha256, self._expected)
        name = self._name or source.name
        header = checked_header(partial.path, name or source.label)
        found = recognise(partial.path, self._wish.kind)
        kind = self._wish.kind or (found.kind if found.kind in MODEL_FOLDERS else "checkpoints")
        notes = []
        if found.kind and self._wish.kind and found.kind != self._wish.kind:
            notes.append(f"By its contents this file belongs to {found.kind}, not to {self._wish.kind}.")
        if not found.kind and not self._wish.kind:
            notes.append("What this file is could not be told; it was put among the checkpoints.")
        folder = self._place.paths.new_folder(kind)
        final = model_name(name, header)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = put(partial.path, folder, final, partial.sha256)
        except OSError as error:
            raise FileError(f"{folder / final} cannot be written: {error.strerror or error}.") from None
        if path.name != final:
            notes.append(f"Another file is called {final}, so this one is called {path.name}.")
        done = Downloaded(path, kind, partial.sha256, partial.size, tuple(notes))
        partial.forget()
        return done


class _Busy(Exception):
    """The server has no time just now."""

    def __init__(self, answer: Answer, label: str):
        super().__init__(label)
        self.answer = DownloadFailed(
            f"The server of {label} is busy or broken (status {answer.status}).", "", "Try again."
        )


def _unreachable(label: str, error: Exception) -> DownloadFailed:
    why = str(error) or type(error).__name__
    return DownloadFailed(f"{label} cannot be fetched: {why}.", "", "Check address and network, then try again.")


def _page(answer: Answer) -> DamagedFile:
    return DamagedFile(
        "The address answers with a web page.",
        "A model file was wanted.",
        "Take the address of the download itself; it may want a token or that its terms are accepted.",
    )


def _other_hash(name: str, found: str, wanted: str) -> DamagedFile:
    return DamagedFile(
        f"{name} has the SHA-256 {found}.", f"{wanted} was wanted.", "It is another file, or was damaged on its way."
    )


def _validator(answer: Answer) -> str:
    """A name for exactly these bytes: a strong ETag, or the time of the last change."""
    tag = answer.header("ETag")
    return tag if tag and not tag.startswith("W/") else answer.header("Last-Modified")


def _continues(answer: Answer, partial: Partial) -> bool:
    """Whether the answer goes on where the part ends."""
    match = RANGE.fullmatch(answer.header("Content-Range").strip())
    return match is not None and int(match[1]) == partial.size and _validator(answer) in ("", partial.validator)


def _whole_of(answer: Answer) -> int | None:
    match = re.fullmatch(r"bytes \*/(\d+)", answer.header("Content-Range").strip())
    return int(match[1]) if match else None
