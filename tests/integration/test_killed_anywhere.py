"""Killed after any act (a commit, a call of an engine), the next process brings the work to the same end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from bot.replies import Comparison, RunCard, Text
from storage.files import ArtifactFiles
from storage.models import Attempt, Host, Model, Run, Service
from storage.states import HostState, RunState, ServiceState
from tests.living import Living, left_of, living
from tests.recording import words
from training.runs import AttemptId, Reason


class Killed(BaseException):
    """The process is gone: nothing below catches this."""


class Death:
    """Comes after the ``after``-th act; from then on nothing can be done until the next life."""

    def __init__(self, life: Living, after: int) -> None:
        self.acts = 0
        self.is_dead = False
        self._after = after
        world = life.house.application.world
        self._transaction = world.store.transaction
        world.store.transaction = self._mortal_transaction  # type: ignore[method-assign]
        self._delete = world.artifacts.delete
        world.artifacts.delete = self._mortal_delete  # type: ignore[method-assign]
        engines = (
            (life.runs, ("submit", "cancel", "delete")),
            (life.servers, ("start", "stop", "load", "unload")),
        )
        for engine, names in engines:
            for name in names:
                setattr(engine, name, self._mortal(getattr(engine, name)))

    @asynccontextmanager
    async def _mortal_transaction(self) -> AsyncIterator[AsyncSession]:
        self._live()
        async with self._transaction() as session:
            yield session
        self._act()

    async def _mortal_delete(self, key: str) -> None:
        self._live()
        await self._delete(key)
        self._act()

    def _mortal(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*arguments: Any, **named: Any) -> Any:
            self._live()
            result = call(*arguments, **named)
            self._act()
            return result

        return mortal

    def _live(self) -> None:
        if self.is_dead:
            raise Killed

    def _act(self) -> None:
        self.acts += 1
        if self.acts == self._after:
            self.is_dead = True
            raise Killed


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("after", range(1, 27, 2))
async def test_killed_after_any_act_it_comes_to_the_same_end(tmp_path: Path, after: int) -> None:
    async with living(tmp_path) as life:
        run = await life.begin("deploy")
        death = Death(life, after)
        for _ in range(12):
            with suppress(Killed):
                await life.loops.once()
            if death.is_dead:
                death.is_dead = False
                life.restart()
            life.runs.advance(4)
        assert death.acts > after, "it died in the middle"

        assert not await life.is_busy()
        assert [(row.id, row.state) for row in await life.rows(Run)] == [(run.id, RunState.SUCCEEDED)]
        assert [row.number for row in await life.rows(Attempt)] == [1]
        assert [row.id for row in await life.rows(Model)][1:] == [run.id]
        assert [row.state for row in await life.rows(Host)] == [HostState.READY]
        assert [(row.state, row.compared) for row in await life.rows(Service)] == [(ServiceState.READY, True)]
        assert len(life.shown(Comparison)) == 1
        assert [card.tone for card in life.shown(RunCard)] == ["good", "good"]
        assert life.notices() == [f"You are talking to {run.name}"]


@pytest.mark.parametrize("after", range(1, 6))
async def test_killed_after_any_act_of_a_deletion_it_comes_to_the_same_end(tmp_path: Path, after: int) -> None:
    async with living(tmp_path) as life:
        other, run = await life.begin("deploy=no"), await life.begin("deploy=no", thread="thread-2")
        for number in (1, 2):
            for _ in range(2):
                await life.loops.once()
            life.runs.finish(AttemptId(other.id, 1))
            await life.loops.once()
            life.runs.advance(3)
            if number == 1:
                life.runs.fail(AttemptId(run.id, 1), Reason.LOST_PEER)
        life.runs.finish()
        await life.loops.once()
        files = ArtifactFiles(tmp_path / "artifacts")
        files.write(f"runs/{run.id}/checkpoints/checkpoint-3/weights", b"w")
        assert (await life.row(Run)).state is RunState.SUCCEEDED
        assert [row.number for row in await life.rows(Attempt) if row.run_id == run.id] == [1, 2]
        await life.house.say(f"/delete {run.name} yes")

        death = Death(life, after)
        with pytest.raises(Killed):
            await life.loops.once()
        death.is_dead = False
        life.restart()
        await life.loops.once()

        assert [row.id for row in await life.rows(Run)] == [other.id]
        assert [row.id for row in await life.rows(Model)][1:] == [other.id]
        assert {row.run_id for row in await life.rows(Attempt)} == {other.id}
        assert list(life.runs.attempts) == [AttemptId(other.id, 1)]
        assert left_of(run, tmp_path) == []
        assert files.is_complete(f"models/{other.id}")
        assert "is deleted, with all that it left" in words(life.shown(Text)[-1])
        assert not await life.is_busy()
