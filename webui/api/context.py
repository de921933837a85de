"""What every group of routes is given: the service, the settings and the catalogue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from webui.api.task_ids import TaskIds
from webui.engine.catalogue import Catalogue
from webui.engine.extensions import Extensions
from webui.identity import client_of as client_of_scope
from webui.limits import limits_of
from webui.metrics import Metrics
from webui.paths import StartOptions
from webui.settings import Settings, SettingsStore
from webui.workers.service import JobService


@dataclass(frozen=True)
class Context:
    """Shared by the routes. `for_worker` turns settings into the plain data that the worker's engine understands."""

    service: JobService
    store: SettingsStore
    catalogue: Catalogue
    for_worker: Callable[[Settings], Mapping[str, Any]]
    offline: bool = False  # never use the network
    options: StartOptions = field(default_factory=StartOptions)  # what the command line said
    extensions: Extensions = field(default_factory=Extensions)
    task_ids: TaskIds = field(default_factory=TaskIds)
    metrics: Metrics = field(default_factory=Metrics)
    changing: Any = field(default_factory=threading.RLock)  # one change of settings at a time

    def change_settings(self, changes: Mapping[str, Any]) -> Settings:
        """Check and keep changes, and tell the worker. Raises SettingsError."""
        with self.changing:
            settings = self.store.change(changes)
            self.catalogue.default = settings["checkpoint"]
            self.catalogue.vae_choices = settings["vae_choices"]
            self.service.limit_waiting(settings["queue_limit"], settings["queue_limit_per_client"])
            self.service.watch(settings["job_silence"], settings["interrupt_patience"])
            self.service.limits = limits_of(settings)
            self.service.change_settings(self.for_worker(settings))
            return settings


def client_of(request: Request) -> str:
    """Who is asking: the user's name, or the address."""
    return client_of_scope(request.scope)
