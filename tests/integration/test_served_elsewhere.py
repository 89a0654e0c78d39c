"""Models that are served in places of a cluster: each base has a host there, whatever this machine is like."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bot.reconcile.hosts import HostsLoop
from serving.services import HostStatus, ServerUnavailable
from storage.deletion import is_served
from storage.models import Host, Service
from storage.services import want_host
from storage.states import HostState, ServiceState, Wish
from tests.conversing import PLACES, add_base_model, identity
from tests.fake_vllm import FakeModelServer
from tests.harness import harness
from tests.living import Living
from tests.planning import SMALL
from training.places import ServingPlace

GPU, CPU = (
    PLACES[0].model_copy(update={"serving": ServingPlace(image="vllm:1", gpus=2)}),
    PLACES[1].model_copy(update={"serving": ServingPlace(image="vllm:1", build="cpu")}),
)


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Living]:
    """Two places, both of which serve models."""
    async with harness(tmp_path, places=(GPU, CPU), artifacts_root=tmp_path / "artifacts") as house:
        world = house.application.world
        await add_base_model(world.store, world.settings.models_folder / "tiny-instruct")
        yield Living(house=house, data=identity(tmp_path / "identity.jsonl"), loops=house.application.loops)


async def test_a_run_is_served_where_it_was_trained_and_the_server_there_goes_on_without_us(life: Living) -> None:
    run = await life.begin(f"place={CPU.name} deploy")
    await life.finish()
    host, service = await life.row(Host), await life.row(Service)
    assert (host.place, host.base_model_id, service.state) == (CPU.name, run.base_model_id, ServiceState.READY)
    spec = life.servers.specs[host.id]
    assert (spec.place, spec.gpus, spec.context_tokens, spec.instances) == (CPU.name, 0, 8192, 1)
    assert (spec.weights_bytes, spec.artifact) == (SMALL.size_bytes, None)
    await life.house.say("Hello")
    assert life.answers()[-1].state == "complete"
    await life.loops.shut_down()
    assert list(life.servers.hosts) == [host.id]
    life.restart()
    await life.loops.once()
    assert life.servers.starts == 1
    assert (await life.row(Service)).state is ServiceState.READY


async def test_a_base_has_a_host_in_each_place(life: Living) -> None:
    run = await life.begin(f"place={CPU.name} deploy")
    await life.finish()
    async with life.house.application.world.store.transaction() as session:
        other = await want_host(session, run.base_model_id, place=GPU.name)
        service = await session.get_one(Service, (await life.row(Service)).id)
        settings = {"gpus": 4, "cpu": 16, "memory_gib": 32, "gpu_product": "L40S", "instances": 2, "max_loras": 8}
        other.settings = {**settings, "queue": "serving", "arguments": ["--enforce-eager"]}
        first, service.host_id = service.host_id, other.id
    for _ in range(4):
        await life.loops.once()
    hosts = {host.place: host for host in await life.rows(Host)}
    assert (hosts[GPU.name].state, hosts[CPU.name].wanted) == (HostState.READY, Wish.DOWN)
    assert first not in life.servers.hosts
    spec = life.servers.specs[hosts[GPU.name].id]
    assert (spec.gpus, spec.cpu, spec.memory_gib, spec.gpu_product) == (4, 16, 32, "L40S")
    assert (spec.instances, spec.max_loras, spec.queue, spec.arguments) == (2, 8, "serving", ("--enforce-eager",))
    assert (await life.row(Service)).state is ServiceState.READY


async def test_what_trains_at_once_finds_a_server_with_room_for_all_of_it(life: Living) -> None:
    life.runs.max_running = 5
    for number in range(5):
        await life.begin(f"place={GPU.name} deploy", thread=f"thread-{number}")
    await life.loops.once()
    await life.loops.once()
    (host,) = await life.rows(Host)
    assert life.servers.specs[host.id].max_loras == 8
    starts = life.servers.starts
    await life.finish()
    assert [service.state for service in await life.rows(Service)] == [ServiceState.READY] * 5
    assert life.servers.starts == starts


class Away(FakeModelServer):
    """Of a place that does not answer, as a new program finds it."""

    asked_to_stop = 0

    def observe(self) -> Mapping[str, HostStatus]:
        return {}

    def stop(self, host: str) -> None:
        self.asked_to_stop += 1
        raise ServerUnavailable("serving.not_stopped", detail="no answer")


@pytest.mark.parametrize("is_asleep", [False, True])
async def test_what_is_not_seen_is_not_taken_for_stopped(life: Living, is_asleep: bool) -> None:
    await life.begin(f"place={CPU.name} deploy")
    await life.finish()
    await life.house.say("/undeploy")
    if is_asleep:
        async with life.house.application.world.store.transaction() as session:
            host = await session.get_one(Host, (await life.row(Host)).id)
            host.is_asleep, host.state = True, HostState.STOPPED
    application, away = life.house.application, Away()
    loop = HostsLoop(replace(application.world, servers=away), application.routes)
    for asked in (1, 2):
        await loop.once()
        host = await life.row(Host)
        assert (away.asked_to_stop, host.wanted) == (asked, Wish.DOWN)
        async with life.house.application.world.store.reading() as session:
            assert await is_served(session, host.base_model_id)
    await life.loops.once()
    assert life.servers.hosts == {}
    async with life.house.application.world.store.reading() as session:
        assert not await is_served(session, host.base_model_id)


async def test_what_was_stopped_is_not_stopped_again_and_again(life: Living) -> None:
    await life.begin(f"place={CPU.name} deploy")
    await life.finish()
    await life.house.say("/undeploy")
    await life.loops.once()
    application, away = life.house.application, Away()
    await HostsLoop(replace(application.world, servers=away), application.routes).once()
    assert away.asked_to_stop == 0
