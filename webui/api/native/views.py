"""Jobs as /api/v1 tells of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from webui.api.native.models import JobDetails, JobError, JobFacts, PictureFacts
from webui.workers.tasks import GENERATE
from webui.workers.views import JobView, ResultView

PREFIX = "/api/v1"
PLAIN = (
    *("id", "task", "tab", "client", "state", "position", "progress", "eta", "stage", "step", "steps"),
    *("batch", "batches", "created", "started", "finished"),
)


def address(root: str, job_id: str, rest: str = "") -> str:
    """The path of a job, or of something below it; `root` is where a proxy has put the program."""
    return f"{root}{PREFIX}/jobs/{job_id}{rest}"


def picture(root: str, job_id: str, index: int, result: ResultView) -> PictureFacts:
    """One picture of a job."""
    return PictureFacts(
        index=index,
        url=address(root, job_id, f"/pictures/{index}"),
        name=Path(result.path).name,
        infotext=result.infotext,
        seed=result.seed,
        width=result.width,
        height=result.height,
        saved=result.saved,
        facts=dict(result.facts),
    )


def facts(root: str, job: JobView) -> JobFacts:
    """A job without its request."""
    return JobFacts(**_plain(root, job))


def details(root: str, job: JobView) -> JobDetails:
    """A job with its request or values."""
    is_request = job.task == GENERATE
    return JobDetails(
        **_plain(root, job),
        request=dataclasses.asdict(job.request) if is_request else None,
        values=None if is_request else dict(job.values),
    )


def _plain(root: str, job: JobView) -> dict[str, Any]:
    preview = None if job.preview is None else address(root, job.id, f"/preview?number={job.preview_id}")
    return {
        **{name: getattr(job, name) for name in PLAIN},
        "preview": preview,
        "pictures": [picture(root, job.id, index, result) for index, result in enumerate(job.results)],
        "notes": list(job.notes),
        "outcome": dict(job.outcome),
        "error": JobError(type=job.error_type or "", found=job.error) if job.error else None,
    }
