"""File names for pictures from patterns such as `[date]/[number]-[seed]`, with A1111's tokens."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from webui.request import GenerationRequest

MAX_CHARACTERS = 128
_MAX_BYTES = 200  # file systems allow 255; room for the suffix and for "-12" where a name is taken
_WORDS = 8

_TOKEN = re.compile(r"\[([^\[\]]+)\]")
_SLASH = re.compile(r"[/\\](?![^\[\]]*\])")  # not those inside of tokens
_ARGUMENT = re.compile(r"<([^<>]*)>")
_SEPARATORS = re.compile(rf"[\s{re.escape(string.punctuation)}]+")
# What some system forbids, controls, and marks that turn text around so that one name looks like another.
_FORBIDDEN = re.compile(
    '[#<>:"/\\\\|?*\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]'
)
_DEVICES = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|COM[0-9¹²³]|LPT[0-9¹²³])(?:\.|$)", re.IGNORECASE)


@dataclass(frozen=True)
class NameFacts:
    """What tokens stand for. Numbers of pictures count from 1; None leaves a token out."""

    prompt: str = ""
    prompt_no_styles: str | None = None  # None: the same as the prompt
    negative_prompt: str = ""
    styles: tuple[str, ...] = ()
    seed: int = 0
    seed_first: int | None = None  # of the job's pictures; None: the same as the seed
    seed_last: int | None = None
    steps: int = 0
    cfg: float = 0.0
    width: int = 0
    height: int = 0
    sampler: str = ""
    schedule: str = ""
    clip_skip: int = 1
    denoising: float | None = None
    model_name: str = ""
    model_hash: str = ""
    vae_filename: str = ""
    batch_number: int | None = None  # place in its batch, where a batch has several
    batch_size: int = 1
    generation_number: int | None = None  # place in the job, where the job has several
    user: str = ""
    basename: str = ""  # of the file that the picture was made from
    image_hash: str = ""  # SHA-256 of the picture, in hexadecimal digits
    time: datetime = field(default_factory=lambda: datetime.now().astimezone())
    job_time: datetime | None = None  # when the job began; None: the same as `time`


def request_facts(request: GenerationRequest, index: int = 0, **others: object) -> NameFacts:
    """The facts of a job's picture number `index` (from 0) with seeds that count up; `others` are added or win."""
    last = request.passes[-1]
    pictures = request.batch_size * request.count
    facts: dict[str, object] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "styles": request.styles,
        "seed": request.seed + index,
        "seed_first": request.seed,
        "seed_last": request.seed + pictures - 1,
        "steps": request.passes[0].steps,
        "cfg": request.passes[0].guidance.scale,
        "width": last.width,
        "height": last.height,
        "sampler": request.passes[0].sampler,
        "schedule": request.passes[0].schedule,
        "clip_skip": request.clip_skip,
        "denoising": last.denoising_strength if last.source != "noise" else None,
        "model_name": request.checkpoint or "",
        "vae_filename": request.vae,
        "batch_number": index % request.batch_size + 1 if request.batch_size > 1 else None,
        "batch_size": request.batch_size,
        "generation_number": index + 1 if pictures > 1 else None,
    }
    return NameFacts(**{**facts, **others})  # type: ignore[arg-type]  # the caller's names and types are checked here


def output_path(folder: Path, pattern: str, facts: NameFacts, suffix: str = ".png") -> Path:
    """Where a picture goes: `pattern`'s parts between slashes are folders and the last one is the name.

    `[number]` is one more than the largest number that names in that folder begin with, five digits long. Values never
    make folders, and the result is always inside `folder`. Nothing is created; `save_picture` steps aside if the name
    is taken meanwhile.
    """
    *folders, name = [part for part in _SLASH.split(pattern) if part.strip()] or ["[number]"]
    for part in folders:
        expanded = expand(part, facts)
        if expanded.strip(" ."):
            folder = folder / safe_name(expanded)
    expanded = expand(name, facts, lambda: next_number(folder))
    return folder / (safe_name(expanded or f"{next_number(folder):05}") + suffix)


def next_number(folder: Path) -> int:
    """One more than the largest number that file names in a folder begin with, 0 in an empty one."""
    if not folder.is_dir():
        return 0
    heads = (path.name.partition("-")[0].partition(".")[0] for path in folder.iterdir())
    return max((int(head) for head in heads if re.fullmatch("[0-9]{1,18}", head)), default=-1) + 1


def expand(pattern: str, facts: NameFacts, number: Callable[[], int] | None = None) -> str:
    """A pattern with its tokens replaced; unknown tokens stay as they are.

    A token without a value takes the text before it along: `[seed]-[batch_number]` is the seed alone for a batch of 1.
    """
    result, position = "", 0
    for match in _TOKEN.finditer(pattern):
        before = pattern[position : match.start()]
        position = match.end()
        name = match.group(1).partition("<")[0].strip().lower()
        arguments = _ARGUMENT.findall(match.group(1))
        if name == "number":
            result += before + (f"{number():05}" if number else match.group())
        elif name in _TOKENS:
            value = _TOKENS[name](facts, arguments)
            result += "" if value is None else before + value
        else:
            result += before + match.group()
    return result + pattern[position:]


def safe_name(name: str) -> str:
    """The name in a form that every system takes: no separators, controls or device names, at most 128 characters."""
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).lstrip(" .")[:MAX_CHARACTERS]
    name = name.encode("utf-8")[:_MAX_BYTES].decode("utf-8", "ignore").rstrip(" .")
    return f"_{name}" if not name or _DEVICES.match(name) else name


def _part(text: str, underscores: bool = False) -> str:
    """A value as part of a name."""
    text = _FORBIDDEN.sub("_", text.replace(" ", "_") if underscores else text)
    return text.strip(" ")[:MAX_CHARACTERS].rstrip(" .")


def _hash(text: str, arguments: list[str], digits: int = 8) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: _integer(arguments, digits)]


def _integer(arguments: list[str], default: int) -> int:
    return int(arguments[0]) if arguments and re.fullmatch("[0-9]{1,2}", arguments[0]) else default


def _words(text: str) -> str:
    return " ".join([word for word in _SEPARATORS.split(text) if word][:_WORDS] or ["empty"])


def _time(facts: NameFacts, arguments: list[str]) -> str:
    """`[datetime<format><time zone>]`, both optional; what cannot be used is as if it were not there."""
    moment = facts.time
    if len(arguments) > 1:
        try:
            moment = moment.astimezone(zoneinfo.ZoneInfo(arguments[1]))
        except (KeyError, ValueError, OSError):  # no such zone
            moment = facts.time
    try:
        return _part(moment.strftime((arguments[:1] or [""])[0] or "%Y%m%d%H%M%S"))
    except ValueError:
        return moment.strftime("%Y%m%d%H%M%S")


def _has_prompt(facts: NameFacts, arguments: list[str]) -> str | None:
    """`[hasprompt<cat|none><dog>]`: the words that the prompt has, and defaults for those that it has not."""
    found = ""
    for argument in arguments:
        word, _, default = argument.partition("|")
        found += word if word.lower() in facts.prompt.lower() else default
    return _part(found) if arguments else None


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _sampler_and_schedule(facts: NameFacts) -> str:
    return facts.sampler if facts.schedule in ("", "Automatic") else f"{facts.sampler} {facts.schedule}"


_TOKENS: dict[str, Callable[[NameFacts, list[str]], str | None]] = {
    "seed": lambda f, _: str(f.seed),
    "seed_first": lambda f, _: str(f.seed if f.seed_first is None else f.seed_first),
    "seed_last": lambda f, _: str(f.seed if f.seed_last is None else f.seed_last),
    "steps": lambda f, _: str(f.steps),
    "cfg": lambda f, _: _number(f.cfg),
    "width": lambda f, _: str(f.width),
    "height": lambda f, _: str(f.height),
    "styles": lambda f, _: _part(", ".join(f.styles) or "None"),
    "sampler": lambda f, _: _part(f.sampler),
    "scheduler": lambda f, _: _part(f.schedule),
    "sampler_scheduler": lambda f, _: _part(_sampler_and_schedule(f)),
    "model_hash": lambda f, _: _part(f.model_hash),
    "model_name": lambda f, _: _part(f.model_name),
    "vae_filename": lambda f, _: _part(f.vae_filename),
    "date": lambda f, _: f.time.strftime("%Y-%m-%d"),
    "datetime": _time,
    "job_timestamp": lambda f, _: (f.job_time or f.time).strftime("%Y%m%d%H%M%S"),
    "prompt": lambda f, _: _part(f.prompt, underscores=True),
    "prompt_no_styles": lambda f, _: _part(f.prompt if f.prompt_no_styles is None else f.prompt_no_styles, True),
    "prompt_spaces": lambda f, _: _part(f.prompt),
    "prompt_words": lambda f, _: _part(_words(f.prompt)),
    "prompt_hash": lambda f, a: _hash(f.prompt, a),
    "negative_prompt_hash": lambda f, a: _hash(f.negative_prompt, a),
    "full_prompt_hash": lambda f, a: _hash(f"{f.prompt} {f.negative_prompt}", a),
    "batch_number": lambda f, _: _number(f.batch_number),
    "batch_size": lambda f, _: str(f.batch_size),
    "generation_number": lambda f, _: _number(f.generation_number),
    "hasprompt": _has_prompt,
    "clip_skip": lambda f, _: str(f.clip_skip),
    "denoising": lambda f, _: _number(f.denoising),
    "user": lambda f, _: _part(f.user),
    "basename": lambda f, _: _part(f.basename),
    "image_hash": lambda f, a: f.image_hash[: _integer(a, 64)],
    "none": lambda f, _: None,
}
