"""Our server killed at any point around a submission: the attempt is there once, with its Service, and goes on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from bot.wiring import Application
from storage.models import Attempt, Model, Run
from storage.states import ModelKind, RunState
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import NAMESPACE
from tests.cluster.house import PLAN, data, newest_run
from tests.cluster.stage import DEADLINE_S, look, make_owned, place_for
from tests.harness import Harness, harness
from training.checkpoints import inspect_checkpoint
from training.kubernetes import KubernetesRuns
from training.places import Cards, ClusterPlace

POINTS = 20


class Killed(BaseException):
    """The process is gone: nothing below catches this."""


class Death:
    """Comes before or after one of the acts of a submission: a request, a file, a commit."""

    def __init__(self, application: Application, runs: KubernetesRuns, at: int) -> None:
        self._at = at
        self.points = 0
        store = application.world.store
        self._transaction = store.transaction
        store.transaction = self._mortal_transaction  # type: ignore[method-assign]
        for owner, names in ((runs.cluster, ("create", "get")), (runs._files, ("write", "keep_folder"))):
            for name in names:
                setattr(owner, name, self._mortal(getattr(owner, name)))

    @asynccontextmanager
    async def _mortal_transaction(self) -> AsyncIterator[AsyncSession]:
        self._pass()
        async with self._transaction() as session:
            yield session
        self._pass()

    def _mortal(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*arguments: Any, **named: Any) -> Any:
            self._pass()
            result = call(*arguments, **named)
            self._pass()
            return result

        return mortal

    def _pass(self) -> None:
        self.points += 1
        if self.points == self._at:
            raise Killed


@pytest.fixture
def place(account: Path, volume: Path) -> ClusterPlace:
    """Pods that do nothing: what is looked at is what is made."""
    make_owned(volume / "killed")
    place = place_for(account, NAMESPACE, "killed", cards=Cards(per_node=0))
    overlay = {"spec": {"containers": [{"name": "trainer", "command": ["sleep", "600"]}]}}
    return place.model_copy(update={"pod_overlay": overlay, "grace_s": 1})


@pytest.fixture
def backends(place: ClusterPlace, volume: Path) -> Iterator[Callable[[], KubernetesRuns]]:
    made: list[KubernetesRuns] = []

    def make() -> KubernetesRuns:
        made.append(KubernetesRuns(place, volume / "killed"))
        return made[-1]

    yield make
    for attempt in look(made[-1]):
        made[-1].delete(attempt)
    for backend in made:
        backend.close()


async def queue_run(house: Harness, base: Path, file: Path) -> Run:
    async with house.application.world.store.transaction() as session:
        facts = inspect_checkpoint(base).to_json()
        session.add(Model(name="tiny", kind=ModelKind.BASE, source=str(base), facts=facts))
    await house.say(f"/finetune base_model=tiny preset=custom {PLAN} start", files=[file])
    return await newest_run(house)


async def live(house: Harness) -> Run:
    """A process after the death of the one before: passes of the loops until the run is with the cluster."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        await house.application.loops.once()
        run = await newest_run(house)
        if run.state is not RunState.QUEUED:
            return run
        # Its base model is being copied.
        assert time.monotonic() < deadline, "it was never submitted"
        await asyncio.sleep(0.02)


async def test_killed_at_any_point_of_a_submission(
    cluster: Cluster,
    place: ClusterPlace,
    volume: Path,
    tiny_model: Path,
    tmp_path: Path,
    backends: Callable[[], KubernetesRuns],
) -> None:
    file, root = data(tmp_path, "once"), volume / "killed"
    submitted: set[str] = set()
    for at in range(1, POINTS + 1):
        home = tmp_path / f"home-{at}"
        first = backends()
        async with harness(home, backend=first, places=[place], artifacts_root=root) as house:
            run = await queue_run(house, tiny_model, file)
            death = Death(house.application, first, at)
            with suppress(Killed):
                while True:
                    await house.application.loops.once()
            assert death.points == at
        second = backends()
        async with harness(home, backend=second, places=[place], artifacts_root=root) as house:
            run = await live(house)
            async with house.application.world.store.reading() as session:
                assert await session.get(Attempt, (run.id, 1)) is not None
                assert await session.get(Attempt, (run.id, 2)) is None
            assert (run.state, run.reason) == (RunState.PENDING, None), at
        submitted.add(run.id)

    for kind in ("jobs", "services"):
        listed = cluster.kubectl("get", kind, "-n", NAMESPACE, "-l", "app.kubernetes.io/instance=killed", "-o", "json")
        found = [item["metadata"]["labels"]["tunesmith/run"] for item in json.loads(listed)["items"]]
        assert sorted(found) == sorted(submitted), kind
