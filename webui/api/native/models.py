"""What /api/v1 takes and answers. Times are seconds since 1970; addresses are paths on this server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from webui.request import GenerationRequest

# Read by webui/request.py, whose errors name what was wanted; here for the description only.
RequestFields = Annotated[Any, PlainValidator(lambda value: value, json_schema_input_type=GenerationRequest)]
State = Literal["waiting", "running", "done", "failed", "cancelled"]


class JobFields(BaseModel):
    """What is to be made."""

    model_config = ConfigDict(extra="forbid")

    request: RequestFields = Field(
        description="A GenerationRequest. What it leaves out of itself and of its first pass is as the settings and "
        "the checkpoint have it: its native size, steps, sampler, schedule and guidance. Pictures are names from POST "
        "/api/v1/pictures, or base64."
    )
    settings: dict[str, Any] = Field({}, description="Settings for this job alone, by their names or A1111's.")


class Accepted(BaseModel):
    """A job that waits for its turn, or runs already."""

    id: str
    position: int = Field(description="1 is the next to run, 0 runs.")


class PictureFacts(BaseModel):
    """One finished picture."""

    index: int
    url: str = Field(description="Where its file is; the infotext is inside of it too.")
    name: str = Field(description="The name of its file.")
    infotext: str
    seed: int
    width: int
    height: int
    saved: bool = Field(description="False: it is cleared away after some hours.")
    facts: dict[str, Any] = {}


class JobError(BaseModel):
    """Why a job failed."""

    type: str = Field(description="InvalidRequest, OutOfMemory, WorkerLost …")
    found: str


class JobFacts(BaseModel):
    """A job as it is now."""

    id: str
    task: str = Field(description='"generate", or the name of another task')
    tab: str
    client: str
    state: State
    position: int = Field(description="1 is the next to run, 0 does not wait.")
    progress: float = Field(description="0 to 1")
    eta: float | None = Field(description="Seconds to go, where that is known.")
    stage: str = Field(description='"load", "encode", "sample", "decode" …')
    step: int
    steps: int
    batch: int = Field(description="Counts from 0.")
    batches: int
    preview: str | None = Field(description="Where the newest preview is; its end changes with every new one.")
    pictures: list[PictureFacts]
    notes: list[str]
    outcome: dict[str, Any] = Field(description="What came of it besides pictures.")
    error: JobError | None
    created: float
    started: float | None
    finished: float | None


class JobDetails(JobFacts):
    """A job with what was asked for."""

    request: dict[str, Any] | None = Field(description="The complete GenerationRequest; null for another task.")
    values: dict[str, Any] | None = Field(description="The values of another task.")


class Wish(BaseModel):
    """Whether there was something to do."""

    done: bool


class Uploaded(BaseModel):
    """A picture that jobs may start from."""

    name: str = Field(description="For the fields image, images and mask. Kept for some days.")
    width: int
    height: int


class Habits(BaseModel):
    """Good first settings of a checkpoint."""

    steps: int
    sampler: str
    schedule: str
    guidance_scale: float
    guidance_rescale: float
    clip_skip: int


class FileFacts(BaseModel):
    """A model file."""

    name: str = Field(description="By which requests name it.")
    title: str
    sha256: str | None = Field(description="Null until it was needed.")


class CheckpointFacts(FileFacts):
    """A checkpoint. `problem` says why it cannot be used, and then the rest is null."""

    family: str | None = None
    variant: str | None = Field(None, description='"text", "inpaint" or "edit"')
    native_size: int | None = Field(None, description="Side in pixels of the square that it was trained on.")
    defaults: Habits | None = None
    problem: str | None = None


class Choice(BaseModel):
    """A sampler or a schedule."""

    name: str
    aliases: list[str]


class UpscalerFacts(BaseModel):
    """What enlarges pictures."""

    name: str
    scale: float | None = Field(description="The factor that it was trained for; null: any.")


class OptionFacts(BaseModel):
    """An argument of a script."""

    key: str
    label: str
    default: Any
    minimum: float | None
    maximum: float | None
    step: float | None
    choices: list[str]


class ScriptFacts(BaseModel):
    """A script, for the task "script": {script, arguments, request}."""

    name: str
    tabs: list[str]
    options: list[OptionFacts]


class StyleFacts(BaseModel):
    """A style of the user's."""

    name: str
    prompt: str
    negative_prompt: str


class Status(BaseModel):
    """How the program is."""

    version: str
    worker: Literal["starting", "idle", "busy", "broken", "stopped"]
    waiting: int
    current: str | None = Field(description="The running job, where it is one's own.")
    checkpoint: str | None
    device: str
    memory: int = Field(description="Bytes held by the worker.")
    graphics: dict[str, Any] = Field(description="The graphics card's memory; empty without one.")
    error: str | None
    restarts: int
