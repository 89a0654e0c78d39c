"""What is known of services and hosts: read and looked at ahead of the questions, since that may take a while."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from bot.hosting import is_adapter
from bot.world import World
from serving.services import HostStatus, Replica, ServingError
from storage.models import Host, Model, Service
from storage.states import HostState, ServiceState, Wish

log = structlog.get_logger(__name__)

FRESH_S = 2.0
"""Older knowledge is used, and refreshed meanwhile."""
TRUSTED_S = 60.0
"""Older knowledge is not used."""
BROKEN_S = 10.0
"""For so long another replica is preferred to one that did not answer."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A service with its rows."""

    service: Service
    model: Model
    base: Model
    """The model that the host was started with."""
    host: Host

    def adapter(self, *, asks_base: bool) -> str | None:
        """The adapter that a replica needs in order to answer."""
        return self.model.id if is_adapter(self.model) and not asks_base else None

    def may_answer(self, *, asks_base: bool) -> bool:
        """Whether a replica can be asked, if there is one: for the base model the service need not be ready."""
        is_wanted = self.service.wanted is Wish.UP and not self.host.is_asleep
        return is_wanted and (asks_base or self.service.state is ServiceState.READY)


class Sightings:
    """Services as last read, hosts as last seen, and replicas that did not answer a moment ago."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, tuple[float, Known]] = {}
        """Id of a service -> when it was read, and what was."""
        self._found: dict[str, tuple[float, HostStatus | None]] = {}
        """Id of a host -> when it was looked at, and what was found."""
        self._broken: dict[tuple[str, str], float] = {}
        """(host, replica) -> when it did not answer."""
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def note(self, known: Known, *, read_at: float) -> None:
        """Somebody read a service's rows; ``read_at``: by ``time.monotonic``, before they were read."""
        before = self._known.get(known.service.id)
        if before is None or before[0] <= read_at:
            self._known[known.service.id] = (read_at, known)

    def learn(self, hosts: Mapping[str, HostStatus], *, looked_at: float) -> None:
        """Somebody looked at all hosts, beginning at ``looked_at``."""
        for host_id in {*self._found, *hosts}:
            # What was seen before a replica did not answer says nothing about it.
            broken_at = max((at for (host, _), at in self._broken.items() if host == host_id), default=0.0)
            if looked_at > max(broken_at, self._found.get(host_id, (0.0, None))[0]):
                self._found[host_id] = (looked_at, hosts.get(host_id))

    def distrust(self, host_id: str, replica: str) -> None:
        """It did not answer there: the host is looked at again before anybody else is sent there."""
        self._broken[host_id, replica] = time.monotonic()
        self.forget(host_id)

    def forget(self, host_id: str) -> None:
        """The host is changed: what was seen of it is true no more."""
        self._found.pop(host_id, None)

    def service(self, service_id: str) -> Known | None:
        """The rows as last read; None where nobody has read them lately."""
        read_at, known = self._known.get(service_id, (0.0, None))
        age = time.monotonic() - read_at
        if known is None or age > TRUSTED_S:
            return None
        if age > FRESH_S:
            self._begin(f"service:{service_id}", self._read(service_id))
        return known

    def has_seen(self, host_id: str) -> bool:
        """Whether there is anything to go by."""
        looked_at, _ = self._found.get(host_id, (0.0, None))
        return host_id in self._found and time.monotonic() - looked_at <= TRUSTED_S

    def replicas(self, known: Known, *, asks_base: bool) -> tuple[Replica, ...]:
        """Those that can answer, as last seen; one that did not answer a moment ago only if there is no other."""
        host_id = known.service.host_id
        looked_at, status = self._found.get(host_id, (0.0, None))
        age = time.monotonic() - looked_at
        if status is None or status.state is not HostState.READY or age > TRUSTED_S:
            return ()
        if age > FRESH_S:
            self._begin("hosts", self._look())
        having = status.having(known.adapter(asks_base=asks_base))
        return tuple(one for one in having if not self._is_broken(host_id, one.name)) or having

    async def read(self, service_id: str) -> Known | None:
        """Read the rows now; None where the service is gone."""
        await self._read(service_id)
        return self._known.get(service_id, (0.0, None))[1]

    async def look(self) -> None:
        """Look at all hosts now; whoever comes while somebody looks waits for what that one sees."""
        self._begin("hosts", self._look())
        await asyncio.shield(self._tasks["hosts"])

    async def close(self) -> None:
        """Wait for what is being read."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _read(self, service_id: str) -> None:
        read_at = time.monotonic()
        async with self._world.store.reading() as session:
            service = await session.get(Service, service_id)
            if service is None:
                self._known.pop(service_id, None)
                return
            host = await session.get_one(Host, service.host_id)
            known = Known(
                service=service,
                model=await session.get_one(Model, service.model_id),
                base=await session.get_one(Model, host.base_model_id),
                host=host,
            )
        self.note(known, read_at=read_at)

    async def _look(self) -> None:
        looked_at = time.monotonic()
        try:
            hosts = await asyncio.to_thread(self._world.servers.observe)
        except ServingError as error:
            log.info("hosts.not_seen", error=str(error))
            return
        self.learn(hosts, looked_at=looked_at)

    def _is_broken(self, host_id: str, replica: str) -> bool:
        broken_at = self._broken.get((host_id, replica))
        if broken_at is None:
            return False
        if time.monotonic() - broken_at > BROKEN_S:
            del self._broken[host_id, replica]
            return False
        return True

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if name in self._tasks:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._end(name, task))

    def _end(self, name: str, task: asyncio.Task[None]) -> None:
        del self._tasks[name]
        if not task.cancelled() and task.exception() is not None:
            log.error("sighting.failed", what=name, exc_info=task.exception())
