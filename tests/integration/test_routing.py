"""Several replicas of a host: which one answers, what happens when one goes, and what becomes of adapters."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import pytest

from bot.routing import NotReadyError, Routes, Waiting
from serving.vllm_command import Build
from storage.models import Host, Model, Service
from storage.services import change_host, change_service
from storage.states import HostState, ServiceState, Wish
from tests.fake_vllm import FakeVllm
from tests.living import Living, living, serve, until


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Living]:
    """A thread that talks to a tuned model on two replicas."""
    async with living(tmp_path) as life:
        await serve(life, instances=2, max_loras=1)
        yield life


async def replicas_of(life: Living) -> dict[str, FakeVllm]:
    return life.servers.replicas[(await life.row(Host)).id]


async def asked(life: Living, word: str) -> str:
    """The replica that was asked something with a word in it."""
    [name] = [
        name
        for name, replica in (await replicas_of(life)).items()
        if any(word in request["messages"][-1]["content"] for request in replica.requests)
    ]
    return name


async def be_patient(_: Waiting) -> None:
    pass


async def test_a_thread_keeps_its_replica_and_moves_when_that_one_goes(life: Living) -> None:
    for word in ("one", "two", "three"):
        await life.house.say(word)
    home = await asked(life, "one")
    assert {await asked(life, word) for word in ("two", "three")} == {home}
    host = await life.row(Host)
    life.servers.lose(host.id, home)
    await life.house.say("four")
    answer = life.answers()[-1]
    assert (answer.state, answer.note) == ("complete", "")
    assert await asked(life, "four") != home
    # A new one comes under the old name: the thread goes home once it has its adapter.
    life.servers.add(host.id, home)
    life.house.application.routes.sightings.forget(host.id)
    life.restart()
    await life.loops.once()
    assert (await life.row(Service)).state is ServiceState.READY
    model = (await life.rows(Model))[-1]
    assert model.id in (await replicas_of(life))[home].loaded


async def test_a_replica_that_dies_in_the_middle_fails_that_answer_alone(life: Living) -> None:
    await life.house.say("one")
    home = await asked(life, "one")
    replica = (await replicas_of(life))[home]
    replica.answer, replica.breaks_after = lambda *_: "a b c d", 2
    await life.house.say("two")
    answer = life.answers()[-1]
    assert (answer.state, answer.markdown, answer.choices[0].say) == ("failed", "a b", "two")
    await life.house.say("three")
    assert life.answers()[-1].state == "complete"
    assert await asked(life, "three") != home, "it is left alone for a while"
    counted = life.house.application.world.meters.of((await life.row(Service)).id)
    assert (counted.running, counted.queued) == (0, 0)


async def test_an_adapter_reaches_a_new_replica_while_the_service_answers(life: Living) -> None:
    host, model = await life.row(Host), (await life.rows(Model))[-1]
    new = life.servers.add(host.id, "replica-9")
    await life.loops.once()
    assert model.id in new.loaded
    changed_at = (await life.row(Service)).updated_at
    await life.loops.once()
    service = await life.row(Service)
    assert (service.state, service.updated_at) == (ServiceState.READY, changed_at)


async def test_what_no_service_wants_is_unloaded_everywhere(life: Living) -> None:
    replicas = await replicas_of(life)
    for replica in replicas.values():
        replica.loaded["an-old-one"] = "/nowhere"
    await life.loops.once()
    model = (await life.rows(Model))[-1]
    assert [set(replica.loaded) for replica in replicas.values()] == [{model.id}, {model.id}]


async def test_a_service_with_another_model_loads_it_and_drops_the_old_one(life: Living) -> None:
    old = (await life.rows(Model))[-1]
    async with life.house.application.world.store.transaction() as session:
        new = Model(
            name="newer",
            kind=old.kind,
            source=old.source,
            facts=old.facts,
            base_model_id=old.base_model_id,
        )
        session.add(new)
        await session.flush()
        service = await session.get_one(Service, (await life.row(Service)).id)
        service.model_id = new.id
    life.servers.build = Build.CPU  # the old one has to make room
    states = []
    for _ in range(2):
        await life.loops.once()
        states.append((await life.row(Service)).state)
    assert states[-1] is ServiceState.READY
    assert [set(replica.loaded) for replica in (await replicas_of(life)).values()] == [{new.id}, {new.id}]
    await life.house.say("Who are you?")
    assert life.answers()[-1].markdown == f"{new.id} heard: Who are you?"


async def test_who_waits_in_the_queue_and_goes_leaves_no_trace(life: Living) -> None:
    routes, service = life.house.application.routes, await life.row(Service)
    host = await life.row(Host)
    told: list[Waiting] = []

    async def hold(sticky: str, entered: asyncio.Event, leave: asyncio.Event) -> None:
        async def tell(waiting: Waiting) -> None:
            told.append(waiting)

        async with routes.lease(service.id, asks_base=False, sticky=sticky, waiting=tell):
            entered.set()
            await leave.wait()

    leave = asyncio.Event()
    entered = [asyncio.Event() for _ in range(8)]
    holding = [asyncio.create_task(hold("same", one, leave)) for one in entered]
    await asyncio.gather(*(one.wait() for one in entered))
    late = asyncio.Event()
    waiting = asyncio.create_task(hold("same", late, leave))
    await until(lambda: told == [Waiting(code="queue", params={"place": 0})])
    meters = life.house.application.world.meters
    assert (meters.of(service.id).running, meters.of(service.id).queued) == (8, 1)
    assert routes.is_busy(host.id)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert meters.of(service.id).queued == 0
    leave.set()
    await asyncio.gather(*holding)
    assert not routes.is_busy(host.id)
    assert not late.is_set()


async def test_what_cannot_come_is_said_as_a_code(life: Living) -> None:
    routes, service = life.house.application.routes, await life.row(Service)

    async def problem(service_id: str) -> NotReadyError:
        with pytest.raises(NotReadyError) as caught:
            async with routes.lease(service_id, asks_base=False, sticky="x", waiting=be_patient):
                pass
        return caught.value

    assert (await problem("nobody")).code == "chat.gone"
    async with life.house.application.world.store.transaction() as session:
        row = await session.get_one(Service, service.id)
        change_service(row, ServiceState.FAILED, reason='{"code": "host", "params": {"reason": "killed"}}')
    await life.loops.once()
    error = await problem(service.id)
    assert (error.code, dict(error.params)) == ("host", {"reason": "killed"})
    await life.house.say("Hello")
    assert "three times in a row" in life.answers()[-1].note
    async with life.house.application.world.store.transaction() as session:
        (await session.get_one(Service, service.id)).wanted = Wish.DOWN
    await life.loops.once()
    assert (await problem(service.id)).code == "chat.gone"


async def test_a_host_that_starts_is_waited_for_as_long_as_it_takes(
    life: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.routing.LONGEST_WAIT_S", 0.0)
    monkeypatch.setattr("bot.routing.SECONDS_BETWEEN_LOOKS", 0.01)
    routes, service = life.house.application.routes, await life.row(Service)

    async def put(state: HostState) -> None:
        async with life.house.application.world.store.transaction() as session:
            change_service(await session.get_one(Service, service.id), ServiceState.WAITING)
            change_host(await session.get_one(Host, service.host_id), state)
        await routes.sightings.read(service.id)

    await put(HostState.STARTING)
    told: list[str] = []

    async def tell(waiting: Waiting) -> None:
        told.append(waiting.code)

    async def ask() -> None:
        async with routes.lease(service.id, asks_base=False, sticky="x", waiting=tell):
            pass

    asking = asyncio.create_task(ask())
    await until(lambda: len(told) > 5 or asking.done())
    assert set(told) == {"starting"}
    assert not asking.done()
    await put(HostState.STOPPED)
    with pytest.raises(NotReadyError) as caught:
        await asking
    assert caught.value.code == "chat.not_ready"


async def test_a_warm_lease_asks_nobody_and_costs_next_to_nothing(life: Living) -> None:
    routes, service = life.house.application.routes, await life.row(Service)
    took = []
    for _ in range(100):
        # Of the processor: what others do meanwhile on a busy machine costs nobody anything.
        looks, began_at = life.servers.looks, time.thread_time()
        async with routes.lease(service.id, asks_base=False, sticky="thread", waiting=be_patient) as lease:
            took.append(time.thread_time() - began_at)
        assert life.servers.looks - looks <= 1
    assert lease.service.id == service.id
    assert median(took) < 0.001


async def test_the_use_of_a_host_is_written_down_once_a_minute(life: Living) -> None:
    await life.house.application.routes.close()
    routes, host = Routes(life.house.application.world), await life.row(Host)
    routes.used(host.id)
    await routes.close()
    used_at = (await life.row(Host)).used_at
    assert used_at > host.used_at
    routes.used(host.id)
    await routes.close()
    assert (await life.row(Host)).used_at == used_at
