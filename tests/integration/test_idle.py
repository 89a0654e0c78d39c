"""A host that nobody asks anything rests, and wakes with the next message."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from bot.reconcile.wishes import HostWishes
from storage.models import Host, Run, Service
from storage.states import HostState, RunState, ServiceState, Wish
from storage.store import Store
from tests.living import Living, living, serve, until

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Living]:
    """A thread that talks to a tuned model."""
    async with living(tmp_path) as life:
        await serve(life)
        yield life


async def make_idle(life: Living, *, is_pinned: bool = False) -> None:
    """As if nobody had asked anything for years."""
    await life.house.application.routes.close()
    async with life.house.application.world.store.transaction() as session:
        host = await session.get_one(Host, (await life.row(Host)).id)
        host.used_at, host.is_pinned = LONG_AGO, is_pinned


async def test_an_idle_host_rests_and_the_next_message_wakes_it(life: Living) -> None:
    await life.loops.once()
    assert not (await life.row(Host)).is_asleep, "it was used a moment ago"
    await make_idle(life)
    await life.loops.once()
    host = await life.row(Host)
    assert (host.is_asleep, host.state, host.wanted) == (True, HostState.STOPPED, Wish.UP)
    assert life.servers.hosts == {}
    assert (await life.row(Service)).state is ServiceState.ASLEEP
    card = life.card("service")
    assert (card.status, card.is_live) == ("Resting: it wakes when somebody asks it something", False)
    assert not await life.is_busy()
    await life.house.converse([("/services", "Resting"), ("/chat", "wakes when you ask")])

    life.restart()
    await life.loops.once()
    assert life.servers.hosts == {}, "it sleeps on when the server is started again"

    starts = life.servers.starts
    waiting = asyncio.create_task(life.house.say("Hello"))
    await until(lambda: "is waking up" in life.answers()[-1].note if life.answers() else False)
    for _ in range(4):
        await life.loops.once()
    await waiting
    answer = life.answers()[-1]
    assert (answer.state, answer.note) == ("complete", "")
    assert answer.markdown.endswith("heard: Hello")
    assert life.servers.starts == starts + 1
    host = await life.row(Host)
    assert (host.is_asleep, host.state) == (False, HostState.READY)
    assert host.used_at > LONG_AGO
    assert life.card("service").status == "Ready"
    await life.loops.once()
    assert not (await life.row(Host)).is_asleep


async def test_a_pinned_host_stays(life: Living) -> None:
    await make_idle(life, is_pinned=True)
    await life.loops.once()
    host = await life.row(Host)
    assert (host.is_asleep, host.state) == (False, HostState.READY)
    async with life.house.application.world.store.transaction() as session:
        (await session.get_one(Host, host.id)).is_asleep = True
    for _ in range(3):
        await life.loops.once()
    assert (await life.row(Service)).state is ServiceState.READY, "one that is pinned wakes by itself"


async def test_a_host_with_a_run_coming_stays(life: Living) -> None:
    await life.begin("deploy", thread="thread-2")
    await life.loops.once()
    await life.loops.once()
    assert (await life.row(Run)).state in (RunState.PENDING, RunState.RUNNING)
    await make_idle(life)
    await life.loops.once()
    assert not (await life.row(Host)).is_asleep


async def test_a_host_with_a_request_under_way_stays(life: Living) -> None:
    replica = life.servers.hosts[(await life.row(Host)).id]
    replica.is_held = True
    speaking = asyncio.create_task(life.house.say("Hello"))
    await until(lambda: replica.running == 1)
    await make_idle(life)
    await life.loops.once()
    assert not (await life.row(Host)).is_asleep
    replica.is_held = False
    await speaking
    assert life.answers()[-1].state == "complete"
    await life.loops.once()
    assert (await life.row(Host)).is_asleep


async def test_a_question_that_comes_while_a_host_is_put_to_rest_keeps_it_up(life: Living) -> None:
    replica = life.servers.hosts[(await life.row(Host)).id]
    replica.is_held = True
    speaking = asyncio.create_task(life.house.say("Hello"))
    await until(lambda: replica.running == 1)
    async with life.house.application.world.store.transaction() as session:
        (await session.get_one(Host, (await life.row(Host)).id)).is_asleep = True
    starts = life.servers.starts
    await life.loops.once()
    assert not (await life.row(Host)).is_asleep
    assert (await life.row(Service)).state is ServiceState.READY
    replica.is_held = False
    await speaking
    assert (life.answers()[-1].state, life.servers.starts) == ("complete", starts)


class SlowWriter(Store):
    """Others write before it does."""

    def __init__(self, url: str, others: Callable[[], Awaitable[None]]) -> None:
        super().__init__(url)
        self._others = others

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        await self._others()
        async with super().transaction() as session:
            yield session


async def test_a_host_that_is_wanted_again_in_the_moment_when_it_is_given_back_stays(life: Living) -> None:
    application = life.house.application
    await life.house.say("/undeploy nova")

    async def deploy() -> None:
        async with application.world.store.transaction() as session:
            (await session.get_one(Service, (await life.row(Service)).id)).wanted = Wish.UP

    store = SlowWriter(application.world.settings.database_url, deploy)
    try:
        await HostWishes(replace(application.world, store=store), application.routes).update()
    finally:
        await store.close()
    assert (await life.row(Host)).wanted is Wish.UP


async def test_nothing_rests_where_that_is_switched_off(tmp_path: Path) -> None:
    async with living(tmp_path, idle_minutes=0) as life:
        await serve(life)
        await make_idle(life)
        await life.loops.once()
        assert not (await life.row(Host)).is_asleep
