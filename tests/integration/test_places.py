"""The life of runs at two places: one is away, one is taken out of the settings, both are away at the start."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.settings import Settings
from bot.stopping import CannotGoOnError
from bot.wiring import build
from storage.models import Run
from storage.states import RunState
from tests.conversing import PLACES, add_base_model, identity
from tests.fakes import FakeRuns
from tests.harness import harness
from tests.living import Living
from training.places import ClusterPlace
from training.runs import AttemptId, BackendUnavailable, Reason
from training.several import SeveralPlaces


@dataclass(kw_only=True)
class LifeAtPlaces(Living):
    """A product whose trainings run at two places."""

    fakes: Mapping[str, FakeRuns]

    async def run(self, run_id: str) -> Run:
        return next(run for run in await self.rows(Run) if run.id == run_id)

    def configure(self, *names: str) -> None:
        """As after a restart with other places in the settings."""
        application = self.house.application
        several = SeveralPlaces({name: self.fakes[name] for name in names}, default=names[0])
        places: dict[str, ClusterPlace] = {place.name: place for place in PLACES if place.name in names}
        world = replace(application.world, runs=several, places=places)
        self.house.application = replace(application, world=world)
        self.restart()


@asynccontextmanager
async def life_at_places(home: Path) -> AsyncIterator[LifeAtPlaces]:
    fakes = {place.name: FakeRuns(home / "artifacts") for place in PLACES}
    several = SeveralPlaces(fakes, default="beijing")
    async with harness(home, backend=several, places=PLACES, artifacts_root=home / "artifacts") as house:
        world = house.application.world
        await add_base_model(world.store, world.settings.models_folder / "tiny-instruct")
        data = identity(home / "identity.jsonl")
        yield LifeAtPlaces(house=house, data=data, loops=house.application.loops, fakes=fakes)
    several.close()


async def test_a_place_that_is_away_holds_up_no_other(tmp_path: Path) -> None:
    async with life_at_places(tmp_path) as life:
        there = await life.begin("place=shanghai-2", thread="thread-1")
        await life.loops.once()
        life.fakes["shanghai-2"].advance()
        await life.loops.once()
        life.fakes["shanghai-2"].is_available = False

        here = await life.begin("place=beijing", thread="thread-2")
        later = await life.begin("place=shanghai-2", thread="thread-3")
        for _ in range(3):
            await life.loops.once()
            life.fakes["beijing"].finish()
        await life.loops.once()
        assert (await life.run(here.id)).state is RunState.SUCCEEDED
        assert (await life.run(there.id)).state is RunState.RUNNING, "not known for now is not gone"
        assert (await life.run(later.id)).state is RunState.QUEUED
        assert life.card("run", "thread-3").status == "waits: shanghai-2 does not answer"

        await life.house.say("/stop", thread="thread-1")
        await life.loops.once()
        assert (await life.run(there.id)).state is RunState.RUNNING

        life.fakes["shanghai-2"].is_available = True
        await life.loops.once()
        life.fakes["shanghai-2"].finish()
        for _ in range(3):
            await life.loops.once()
        assert (await life.run(there.id)).state is RunState.CANCELLED
        assert AttemptId(later.id, 1) in life.fakes["shanghai-2"].attempts
        assert life.fakes["beijing"].attempts.keys() == {AttemptId(here.id, 1)}


async def test_two_places_have_a_queue_each(tmp_path: Path) -> None:
    async with life_at_places(tmp_path) as life:
        for number, place in enumerate(("beijing", "beijing", "shanghai-2"), 1):
            await life.begin(f"place={place}", thread=f"thread-{number}")
        await life.loops.once()
        assert [run.state for run in await life.rows(Run)] == [RunState.PENDING, RunState.QUEUED, RunState.PENDING]


async def test_a_lost_gang_is_submitted_again_where_it_was(tmp_path: Path) -> None:
    async with life_at_places(tmp_path) as life:
        run = await life.begin("place=shanghai-2")
        await life.loops.once()
        life.fakes["shanghai-2"].fail(AttemptId(run.id, 1), Reason.NODE_LOST)
        await life.loops.once()
        await life.loops.once()
        assert list(life.fakes["shanghai-2"].attempts) == [AttemptId(run.id, 1), AttemptId(run.id, 2)]
        assert life.fakes["beijing"].attempts == {}


async def test_a_run_waits_while_its_place_is_not_configured(tmp_path: Path) -> None:
    async with life_at_places(tmp_path) as life:
        under_way = await life.begin("place=shanghai-2", thread="thread-1")
        await life.loops.once()
        life.fakes["shanghai-2"].advance()
        life.fakes["shanghai-2"].advance(4)
        await life.loops.once()
        queued = await life.begin("place=shanghai-2", thread="thread-2")
        stopped = await life.begin("place=shanghai-2", thread="thread-3")

        life.configure("beijing")
        await life.house.say("/stop", thread="thread-3")
        await life.loops.once()
        await life.loops.once()
        for thread in ("thread-1", "thread-2"):
            assert "place shanghai-2 is not configured any more" in life.card("run", thread).status
        assert life.card("run", "thread-1").curves[0].points[-1][0] == 4, "what was learned so far stays in sight"
        assert (await life.run(under_way.id)).state is RunState.RUNNING
        assert (await life.run(stopped.id)).state is RunState.CANCELLED

        life.configure("beijing", "shanghai-2")
        for _ in range(4):
            await life.loops.once()
            life.fakes["shanghai-2"].finish()
        await life.loops.once()
        assert (await life.run(under_way.id)).state is RunState.SUCCEEDED
        assert (await life.run(queued.id)).state is RunState.SUCCEEDED


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: a, user: {token: none}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
"""


def settings_with(home: Path, places: str) -> Settings:
    (home / "kubeconfig").write_text(KUBECONFIG)
    (home / "places.yaml").write_text(places.format(home=home))
    return Settings(
        home=home / "home",
        runs="kubernetes",
        image="trainer:1",
        artifacts_root=home / "artifacts",
        artifacts_claim="files",
        places=home / "places.yaml",
    )


async def test_the_server_starts_while_its_clusters_are_away(tmp_path: Path) -> None:
    places = """
- {{name: beijing, kubeconfig: {home}/kubeconfig, namespace: a}}
- {{name: shanghai, kubeconfig: {home}/kubeconfig, namespace: b}}
"""
    async with build(settings_with(tmp_path, places)) as application:
        assert list(application.world.places) == ["beijing", "shanghai"]
        assert isinstance(application.world.runs, SeveralPlaces)
        with pytest.raises(BackendUnavailable):
            application.world.runs.observe()
        await application.loops.once()


async def test_two_places_of_one_namespace_need_an_instance_each(tmp_path: Path) -> None:
    places = """
- {{name: beijing, kubeconfig: {home}/kubeconfig, namespace: a}}
- {{name: shanghai, kubeconfig: {home}/kubeconfig, namespace: a}}
"""
    with pytest.raises(CannotGoOnError) as caught:
        async with build(settings_with(tmp_path, places)):
            pass
    assert caught.value.code == "place_shared"
    settings = settings_with(tmp_path, places.replace("namespace: a}}", "namespace: a, instance: two}}", 1))
    async with build(settings) as application:
        assert len(application.world.places) == 2
