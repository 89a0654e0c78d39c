"""Killed after any act (a commit, a call of an engine), the next process brings the work to the same end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from bot.replies import Comparison, RunCard
from storage.models import Attempt, Host, Model, Run, Service
from storage.states import HostState, RunState, ServiceState
from tests.living import Living, living


class Killed(BaseException):
    """The process is gone: nothing below catches this."""


class Death:
    """Comes after the ``after``-th act; from then on nothing can be done until the next life."""

    def __init__(self, life: Living, after: int) -> None:
        self.acts = 0
        self.is_dead = False
        self._after = after
        store = life.house.application.world.store
        self._transaction = store.transaction
        store.transaction = self._mortal_transaction  # type: ignore[method-assign]
        for engine, names in ((life.runs, ("submit", "cancel")), (life.servers, ("start", "stop", "load", "unload"))):
            for name in names:
                setattr(engine, name, self._mortal(getattr(engine, name)))

    @asynccontextmanager
    async def _mortal_transaction(self) -> AsyncIterator[AsyncSession]:
        self._live()
        async with self._transaction() as session:
            yield session
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
