"""What the assistant and the loops act upon, built once in :mod:`bot.wiring`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.settings import Settings
from serving.services import ModelServer
from storage.artifacts import Artifacts
from storage.models import Model
from storage.store import Store
from training.machine import Machine
from training.runs import RunBackend


@dataclass(frozen=True, kw_only=True)
class World:
    """The database, the files, and the engines behind their ports."""

    settings: Settings
    store: Store
    artifacts: Artifacts
    runs: RunBackend
    servers: ModelServer
    machine: Machine
    wake: Callable[[], None]
    """Tell the loops that something is to do; they would see it within a second anyway."""

    def folder_of(self, model: Model) -> Path:
        """Where a model of the catalogue lies on this disk."""
        if model.source.startswith("artifact:"):
            return self.artifacts.local_path(model.source.removeprefix("artifact:"))
        return Path(model.source)
