"""Every error a user can meet. Each says what was found, what was wanted, and what to do."""

from __future__ import annotations


class EmulsionError(Exception):
    """Base of all errors that are shown to people. `status` is the HTTP status that tells it best."""

    status = 500

    def __init__(self, found: str, wanted: str = "", remedy: str = ""):
        super().__init__(found, wanted, remedy)
        self.found, self.wanted, self.remedy = found, wanted, remedy

    def __str__(self) -> str:
        return " ".join(part.strip() for part in (self.found, self.wanted, self.remedy) if part.strip())


class InvalidRequest(EmulsionError):
    """A request names something impossible: an unknown sampler, a size of zero, a wrong type."""

    status = 422


class NotFound(EmulsionError):
    """A checkpoint, job, file or setting that is not there."""

    status = 404


class Forbidden(EmulsionError):
    """Something that the role of who is asking does not allow."""

    status = 403


class QueueFull(EmulsionError):
    """Too many jobs are waiting. `retry_after`: seconds until there is likely to be room."""

    status = 429
    retry_after = 5


class FileError(EmulsionError):
    """A model or picture file that cannot be used."""

    status = 422


class DamagedFile(FileError):
    """Truncated, inconsistent or otherwise unreadable bytes."""


class UnsafeFile(FileError):
    """A pickle that wants more than tensors, a zip with foreign members, a bomb."""


class UnknownModel(FileError):
    """A readable file that no family or adapter kind recognises, or that two of them do."""


class IncompatibleModel(FileError):
    """Two files that do not belong together, such as an SD 1 VAE and an SDXL checkpoint."""


class DownloadFailed(EmulsionError):
    """A file that could not be fetched: the server, the line, or what came is not what was wanted."""

    status = 502


class OutOfMemory(EmulsionError):
    """The job did not fit, even in the leaner mode."""

    status = 507


class Cancelled(EmulsionError):
    """The job was interrupted by its owner. Not a failure."""

    status = 499


class WorkerLost(EmulsionError):
    """The worker process ended while it ran the job."""

    status = 503


class ExtensionError(EmulsionError):
    """An extension could not be loaded, or failed inside a job."""


class SettingsError(EmulsionError):
    """A setting with an unknown name or a value out of range."""

    status = 422
