"""What the assistant and the loops act upon, built once in :mod:`bot.wiring`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.meters import Meters
from bot.places import machine_of
from bot.settings import Settings
from serving.services import ModelServer
from storage.artifacts import Artifacts
from storage.models import Model
from storage.store import Store
from training.machine import Machine
from training.places import ClusterPlace, ServingPlace
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
    """This one, where models are served."""
    wake: Callable[[], None]
    """Tell the loops that something is to do; they would see it within a second anyway."""
    places: Mapping[str, ClusterPlace] = field(default_factory=dict)
    """Where trainings run, by name, the default first; empty: on this machine."""
    meters: Meters = field(default_factory=Meters)
    """Of the requests that this process passes on."""

    @property
    def trains_elsewhere(self) -> bool:
        """Whether trainings leave this machine alone."""
        return bool(self.places)

    @property
    def serves_elsewhere(self) -> bool:
        """Whether models are served in a cluster, and leave this machine alone."""
        return any(place.serving for place in self.places.values())

    def serving(self, place: str) -> ServingPlace | None:
        """How models are served in a place; None: on this machine."""
        chosen = self.places.get(place)
        return chosen.serving if chosen else None

    def server_place(self, place: str | None) -> str:
        """Where what was trained in ``place`` is served, if nothing else is asked for; empty: on this machine."""
        names = [name for name, one in self.places.items() if one.serving]
        return place if place in names and place is not None else next(iter(names), "")

    def trainer(self, place: str | None) -> Machine:
        """The machine that a training of a place runs on: a node there (of the default, for None), or this one."""
        chosen = self.places.get(place or "") or next(iter(self.places.values()), None)
        return machine_of(chosen) if chosen else self.machine

    def lacks(self, place: str | None) -> bool:
        """Whether a run's place is none of the configured ones any more."""
        return place is not None and place not in self.places

    async def folder_of(self, model: Model) -> Path:
        """Where a model of the catalogue lies on this disk; it is fetched where it does not. Raises ArtifactError."""
        if model.source.startswith("artifact:"):
            return await self.artifacts.fetch(model.source.removeprefix("artifact:"))
        return Path(model.source)
