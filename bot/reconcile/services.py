"""Services: adapters are loaded, warmed up and announced, and unloaded when nobody wants them."""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bot.cards import service_card
from bot.delivery import Delivery
from bot.hosting import adapter_ref, is_adapter
from bot.reconcile.announcing import announce
from bot.reconcile.comparing import Comparing
from bot.reconcile.live import say_if_changed
from bot.reconcile.proving import Proving
from bot.serving_problems import packed, packed_host, problem_code
from bot.sightings import Known
from bot.speaking import Speaking
from bot.texts import texts
from bot.world import World
from serving.services import AdapterRefused, ChatRefused, HostStatus, NotProven, Replica, ServingError
from storage.artifact_errors import ArtifactError, Incomplete
from storage.models import Host, Model, Service, Thread, now
from storage.services import all_services, change_service, get_service
from storage.states import HostState, ServiceState, Wish

log = structlog.get_logger(__name__)

SECONDS_BEFORE_NEXT_TRY = 0.2


@dataclass(frozen=True, kw_only=True)
class _Served:
    """A service with its rows, and its host as found."""

    service: Service
    model: Model
    base: Model
    host: Host
    status: HostStatus | None

    @property
    def known(self) -> Known:
        """The rows alone."""
        return Known(service=self.service, model=self.model, base=self.base, host=self.host)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those that answer."""
        return self.status.replicas if self.status and self.status.state is HostState.READY else ()

    @property
    def having(self) -> tuple[Replica, ...]:
        """Those that have the model."""
        return tuple(one for one in self.replicas if not is_adapter(self.model) or self.model.id in one.adapters)

    @property
    def current(self) -> tuple[Replica, ...]:
        """Those of them that are made as the host now is: the others answer until they are replaced."""
        return tuple(one for one in self.having if one.is_current)


class ServicesLoop:
    """One pass after the other. What takes long (loading, warming up, comparing) goes on between the passes."""

    def __init__(self, world: World, delivery: Delivery, speaking: Speaking) -> None:
        self._world = world
        self._delivery = delivery
        self._speaking = speaking
        self._comparing = Comparing(world, delivery, speaking)
        self._proving = Proving(world, speaking)
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._proven: dict[str, str] = {}
        """Id of a service -> the template of the replicas that it was put to the proof on."""

    async def once(self, hosts: Mapping[str, HostStatus]) -> None:
        """Act on every service; ``hosts`` are those that are not being changed just now."""
        read_at = time.monotonic()
        async with self._world.store.reading() as session:
            services = await all_services(session)
            served = [await _load(session, service, hosts) for service in services]
        self._sweep(served, hosts)
        for one in served:
            self._speaking.routes.sightings.note(one.known, read_at=read_at)
            if one.service.wanted is Wish.DOWN:
                if one.service.state is not ServiceState.STOPPED:
                    await self._change(one, ServiceState.STOPPED)
            elif one.service.state is not ServiceState.FAILED:
                await self._bring_up(one)

    async def settle(self) -> None:
        """Wait for what goes on between the passes."""
        while self._jobs:
            await asyncio.gather(*self._jobs.values(), return_exceptions=True)
            await asyncio.sleep(0)

    async def cancel(self) -> None:
        """End what goes on between the passes; the next start begins it anew."""
        for job in self._jobs.values():
            job.cancel()
        await self.settle()

    async def _bring_up(self, one: _Served) -> None:
        service = one.service
        if one.host.state is HostState.FAILED:
            await self._change(one, ServiceState.FAILED, reason=packed_host(one.host.reason))
        elif one.host.is_asleep:
            await self._change(one, ServiceState.ASLEEP)
        elif not one.replicas:
            await self._change(one, ServiceState.WAITING)
        elif service.state is not ServiceState.READY or not one.having:
            self._begin(f"prepare:{service.id}", self._prepare(one))
        else:
            if len(one.having) < len(one.replicas):
                self._begin(f"spread:{service.id}", self._spread(one))
            if not self._is_proven(one):
                self._begin(f"prepare:{service.id}", self._prove(one))
            if not service.compared:
                self._begin(f"compare:{service.id}", self._comparing.compare(service.id))

    def _is_proven(self, one: _Served) -> bool:
        """Whether the replicas that stay are made alike those of the proof: others may have another vLLM, or read other
        arguments. A new process takes what it finds for proven, unless replicas are being replaced just then."""
        found = {replica.template for replica in one.having}
        proven = self._proven.setdefault(one.service.id, next(iter(found)) if len(found) == 1 else "")
        return all(replica.template == proven for replica in one.current)

    def _sweep(self, served: Sequence[_Served], hosts: Mapping[str, HostStatus]) -> None:
        """Unload the adapters that no service wants any more."""
        for host_id, status in hosts.items():
            wanted = {one.model.id for one in served if one.host.id == host_id and one.service.wanted is Wish.UP}
            unwanted = frozenset(name for replica in status.replicas for name in replica.adapters) - wanted
            if unwanted:
                self._begin(f"sweep:{host_id}", self._unload(host_id, unwanted))

    async def _wait_for_sweep(self, host_id: str) -> None:
        """What goes makes room for what comes: a service's new model may need the place of its old one."""
        sweep = self._jobs.get(f"sweep:{host_id}")
        if sweep is not None:
            await asyncio.wait([sweep])

    async def _unload(self, host_id: str, model_ids: Iterable[str]) -> None:
        for model_id in sorted(model_ids):
            try:
                await asyncio.to_thread(self._world.servers.unload, host_id, model_id)
            except ServingError as error:
                log.info("adapter.not_unloaded", host=host_id, model=model_id, error=str(error))
                await asyncio.sleep(SECONDS_BEFORE_NEXT_TRY)
            else:
                log.info("adapter.unloaded", host=host_id, model=model_id)

    async def _spread(self, one: _Served) -> None:
        """Load the adapter where it is missing: on new replicas, while the others answer."""
        try:
            adapter = await adapter_ref(self._world, one.model)
            await asyncio.to_thread(self._world.servers.load, one.host.id, adapter)
        except (ServingError, ArtifactError) as error:
            log.info("adapter.not_everywhere", service=one.service.id, host=one.host.id, error=str(error))
            await asyncio.sleep(SECONDS_BEFORE_NEXT_TRY)

    def _begin(self, name: str, job: Coroutine[Any, Any, None]) -> None:
        if name in self._jobs:
            job.close()
            return
        task = asyncio.create_task(job, name=name)
        self._jobs[name] = task
        task.add_done_callback(lambda _: self._end(name, task))

    def _end(self, name: str, task: asyncio.Task[None]) -> None:
        del self._jobs[name]
        if not task.cancelled() and task.exception() is not None:
            log.error("service.job_failed", job=name, exc_info=task.exception())
        self._world.wake()

    async def _prepare(self, one: _Served) -> None:
        """Load and put to the proof; what fails for now is begun anew by the next pass."""
        await self._change(one, ServiceState.LOADING)
        if await self._succeeds(one, self._load_and_prove(one)):
            await self._change(one, ServiceState.READY)

    async def _prove(self, one: _Served) -> None:
        """Put a service that answers to the proof once more: its replicas are replaced by others."""
        await self._succeeds(one, self._prove_on(one, one.current[0]))

    async def _succeeds(self, one: _Served, work: Coroutine[Any, Any, None]) -> bool:
        """Whether that is done; where it never can be, the service has failed."""
        try:
            await work
        except (AdapterRefused, ChatRefused, NotProven, Incomplete) as error:
            await self._change(one, ServiceState.FAILED, reason=packed(error))
            return False
        except (ServingError, ArtifactError) as error:
            log.info("service.not_ready", service=one.service.id, error=str(error))
            await asyncio.sleep(SECONDS_BEFORE_NEXT_TRY)
            return False
        return True

    async def _load_and_prove(self, one: _Served) -> None:
        if is_adapter(one.model) and not one.current:
            await self._wait_for_sweep(one.host.id)
            adapter = await adapter_ref(self._world, one.model)
            await asyncio.to_thread(self._world.servers.load, one.host.id, adapter)
        staying = [replica for replica in one.replicas if replica.is_current]
        await self._prove_on(one, (one.current or staying or one.replicas)[0])

    async def _prove_on(self, one: _Served, replica: Replica) -> None:
        await self._proving.prove(one.known, replica)
        self._proven[one.service.id] = replica.template

    async def _change(self, one: _Served, state: ServiceState, *, reason: str | None = None) -> None:
        service_id = one.service.id
        async with self._world.store.transaction() as session:
            service = await get_service(session, service_id)
            if service is None or (service.wanted is Wish.DOWN and state is not ServiceState.STOPPED):
                return
            if service.model_id != one.model.id:
                return  # what was found is true of the model that it had
            is_new = change_service(service, state, reason=reason)
            if is_new and state is ServiceState.READY:
                # Nobody could ask before: its host's time of rest begins to count now.
                (await session.get_one(Host, service.host_id)).used_at = now()
            shown = await _say(session, service)
        if is_new:
            log.info("service.changed", service=service_id, state=state, reason=problem_code(reason))
        await self._delivery.deliver(shown)


async def _load(session: AsyncSession, service: Service, hosts: Mapping[str, HostStatus]) -> _Served:
    host = await session.get_one(Host, service.host_id)
    return _Served(
        service=service,
        model=await session.get_one(Model, service.model_id),
        host=host,
        base=await session.get_one(Model, host.base_model_id),
        status=hosts.get(service.host_id),
    )


async def _say(session: AsyncSession, service: Service) -> list[str]:
    """The service's card in its thread; once it is ready, the invitation to talk."""
    thread = await session.get(Thread, service.thread_id) if service.thread_id else None
    if thread is None:
        return []
    host = await session.get_one(Host, service.host_id)
    model = await session.get_one(Model, service.model_id)
    shown = await say_if_changed(session, thread, service_card(texts(thread.language), service, host, model))
    if service.state is ServiceState.READY:
        shown += await announce(session, thread, service, model)
    return shown
