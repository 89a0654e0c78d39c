"""Services: adapters are loaded, warmed up and announced, and unloaded when nobody wants them."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bot.cards import service_card
from bot.delivery import Delivery
from bot.hosting import is_adapter, served_name
from bot.reconcile.announcing import announce
from bot.reconcile.comparing import Comparing
from bot.reconcile.live import say_if_changed
from bot.serving_problems import packed, packed_host
from bot.speaking import Speaking
from bot.texts import texts
from bot.world import World
from serving.chat import warm_up
from serving.services import AdapterRef, AdapterRefused, Address, ChatRefused, HostStatus, ServingError
from storage.models import Host, Model, Service, Thread
from storage.services import all_services, change_service, get_service
from storage.states import HostState, ServiceState, Wish

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Served:
    """A service with its rows, and its host as found."""

    service: Service
    model: Model
    host: Host
    status: HostStatus | None

    @property
    def address(self) -> Address | None:
        return self.status.address if self.status and self.status.state is HostState.READY else None

    @property
    def is_loaded(self) -> bool:
        return self.status is not None and (not is_adapter(self.model) or self.model.id in self.status.adapters)


class ServicesLoop:
    """One pass after the other. What takes long (loading, warming up, comparing) goes on between the passes."""

    def __init__(self, world: World, delivery: Delivery, speaking: Speaking) -> None:
        self._world = world
        self._delivery = delivery
        self._comparing = Comparing(world, delivery, speaking)
        self._jobs: dict[str, asyncio.Task[None]] = {}

    async def once(self, hosts: Mapping[str, HostStatus]) -> None:
        """Act on every service; ``hosts`` are those that are not being changed just now."""
        async with self._world.store.reading() as session:
            services = await all_services(session)
            served = [await _load(session, service, hosts) for service in services]
        for one in served:
            if one.service.wanted is Wish.DOWN:
                await self._take_down(one)
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

    async def _take_down(self, one: _Served) -> None:
        if one.service.state is ServiceState.STOPPED:
            return
        if one.address and is_adapter(one.model) and one.is_loaded:
            try:
                await asyncio.to_thread(self._world.servers.unload, one.host.id, one.model.id)
            except ServingError as error:
                log.info("service.not_unloaded", service=one.service.id, error=str(error))
        await self._change(one.service.id, ServiceState.STOPPED)

    async def _bring_up(self, one: _Served) -> None:
        service = one.service
        if one.host.state is HostState.FAILED:
            await self._change(service.id, ServiceState.FAILED, reason=packed_host(one.host.reason))
        elif one.address is None:
            await self._change(service.id, ServiceState.WAITING)
        elif service.state is not ServiceState.READY or not one.is_loaded:
            self._begin(f"prepare:{service.id}", self._prepare(one, one.address))
        elif not service.compared:
            self._begin(f"compare:{service.id}", self._comparing.compare(service.id, one.address))

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

    async def _prepare(self, one: _Served, address: Address) -> None:
        """Load and warm up; what fails for now is begun anew by the next pass."""
        service_id = one.service.id
        await self._change(service_id, ServiceState.LOADING)
        try:
            if not one.is_loaded:
                adapter = AdapterRef(model_id=one.model.id, folder=str(self._world.folder_of(one.model)))
                await asyncio.to_thread(self._world.servers.load, one.host.id, adapter)
            await warm_up(address, served_name(one.model))
        except (AdapterRefused, ChatRefused) as error:
            await self._change(service_id, ServiceState.FAILED, reason=packed(error))
            return
        except ServingError as error:
            log.info("service.not_ready", service=service_id, error=str(error))
            await asyncio.sleep(0.2)
            return
        await self._change(service_id, ServiceState.READY)

    async def _change(self, service_id: str, state: ServiceState, *, reason: str | None = None) -> None:
        async with self._world.store.transaction() as session:
            service = await get_service(session, service_id)
            if service is None or (service.wanted is Wish.DOWN and state is not ServiceState.STOPPED):
                return
            is_new = change_service(service, state, reason=reason)
            shown = await _say(session, service)
        if is_new:
            log.info("service.changed", service=service_id, state=state, reason=reason)
        await self._delivery.deliver(shown)


async def _load(session: AsyncSession, service: Service, hosts: Mapping[str, HostStatus]) -> _Served:
    return _Served(
        service=service,
        model=await session.get_one(Model, service.model_id),
        host=await session.get_one(Host, service.host_id),
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
