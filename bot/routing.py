"""From a service to the replica that answers: waking, waiting, choosing, and a place there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import orjson
import structlog

from bot.hosting import served_name, streams_per_replica
from bot.meters import Meter
from bot.sightings import Known, Sightings
from bot.world import World
from serving.queueing import FairQueue, Ticket, favourite
from serving.services import Address, Replica
from storage.models import Model, Service, now
from storage.services import get_host
from storage.states import HostState, ServiceState, Wish

log = structlog.get_logger(__name__)

LONGEST_WAIT_S = 300.0
"""For a host that is not starting; one that is has a patience of its own, by the size of its model, then it fails."""
SECONDS_BETWEEN_LOOKS = 0.5
MOST_SECONDS_BETWEEN_NOTES = 60.0
"""Of when a host was last used."""

_CODES = {ServiceState.READY: "returning", ServiceState.LOADING: "loading", ServiceState.ASLEEP: "waking"}


class NotReadyError(Exception):
    """The service cannot answer: ``code`` is the id of the sentence that says why, ``params`` fill it."""

    def __init__(self, code: str, **params: str | int | float) -> None:
        super().__init__(code)
        self.code = code
        self.params: Mapping[str, str | int | float] = params


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What a request waits for: ``waking`` or ``starting`` (``host``: the code of what its host waits for, where that
    is known), ``loading``, ``returning``, or ``queue``, where ``place`` requests are served before it."""

    code: str
    params: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asks whom."""

    service_id: str
    asks_base: bool
    sticky: str
    turn: str
    waiting: Callable[[Waiting], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A replica, and the ticket to it."""

    known: Known
    replica: Replica
    queue: FairQueue
    ticket: Ticket


@dataclass(frozen=True, kw_only=True)
class Target:
    """Somebody who can be asked before a service is ready."""

    address: Address
    model: str
    """VLLM's name of whoever is asked."""
    base: Model
    """The model that the host was started with."""
    place: str
    """Of the host."""


class Lease:
    """A place at a replica, held while one answer is given."""

    def __init__(self, routes: "Routes", known: Known, replica: Replica, meter: Meter, *, asks_base: bool) -> None:
        self._routes = routes
        self._meter = meter
        self.address: Address = replica.address
        self.replica: str = replica.name
        self.model: str = known.base.name if asks_base else served_name(known.model)
        """VLLM's name of whoever is asked."""
        self.service: Service = known.service
        self.base: Model = known.base
        """The model that the host was started with."""
        self.place: str = known.host.place

    def saw(self, tokens: int = 1) -> None:
        """A piece of the answer came."""
        self._meter.saw(tokens)
        self._routes.used(self.service.host_id)

    def count(self, tokens: int) -> None:
        """A whole answer came: when its first token was there, nobody saw."""
        self._meter.count(tokens)
        self._routes.used(self.service.host_id)

    def broken(self) -> None:
        """This replica did not answer: whoever asks next goes to another one, if there is one."""
        self._meter.outcome = "failed"
        self._routes.sightings.distrust(self.service.host_id, self.replica)


class Routes:
    """Knows where services answer. One for a process: its queues stand before the replicas."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sightings = Sightings(world)
        self._queues: dict[tuple[str, str], FairQueue] = {}
        """(host, replica) -> who holds a place there, and who waits for one."""
        self._under_way: dict[str, int] = {}
        """Id of a host -> requests that wait for it, or are being answered."""
        self._noted_at: dict[str, float] = {}
        """Id of a host -> when its use was last written down."""
        self._notes: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lease(
        self,
        service_id: str,
        *,
        asks_base: bool,
        sticky: str,
        turn: str = "",
        waiting: Callable[[Waiting], Awaitable[None]],
    ) -> AsyncIterator[Lease]:
        """A place at a replica of the service, as soon as there is one; ``waiting`` is told what keeps it.

        The same ``sticky`` key comes to the same replica while it is there. Those of the same ``turn`` wait behind each
        other and not before others; without one it is the ``sticky`` key. Raises NotReadyError where the service is
        gone, has failed, or does not come in LONGEST_WAIT_S while its host does not start either.
        """
        asked = Asked(service_id=service_id, asks_base=asks_base, sticky=sticky, turn=turn or sticky, waiting=waiting)
        known = _checked(self.sightings.service(service_id) or await self.sightings.read(service_id))
        with self._counted(known) as meter:
            place = await self._find_place(asked, meter)
            try:
                meter.run()
                yield Lease(self, place.known, place.replica, meter, asks_base=asks_base)
            finally:
                self._leave(place)

    @asynccontextmanager
    async def place_at(self, known: Known, replica: Replica, *, turn: str) -> AsyncIterator[None]:
        """A place at just this replica, before the service is ready: whoever puts it to the proof waits like those who
        talk to others there."""
        place = self._enter(turn, known, replica)
        try:
            while not place.ticket.holds:
                place.ticket.changed.clear()
                await place.ticket.changed.wait()
            yield
        finally:
            self._leave(place)

    def is_busy(self, host_id: str) -> bool:
        """Whether a request waits for a host, or is being answered there."""
        return self._under_way.get(host_id, 0) > 0

    def used(self, host_id: str) -> None:
        """The host is asked something: that is written down, at most once a minute."""
        idle_s = self._world.settings.idle_minutes * 60
        pause_s = min(MOST_SECONDS_BETWEEN_NOTES, idle_s / 4) if idle_s else MOST_SECONDS_BETWEEN_NOTES
        if time.monotonic() - self._noted_at.get(host_id, -pause_s) < pause_s:
            return
        self._noted_at[host_id] = time.monotonic()
        task = asyncio.create_task(self._note_use(host_id))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def close(self) -> None:
        """Wait for what is being written and read."""
        await asyncio.gather(*self._notes, return_exceptions=True)
        await self.sightings.close()

    @contextmanager
    def _counted(self, known: Known) -> Iterator[Meter]:
        host_id = known.service.host_id
        self._under_way[host_id] = self._under_way.get(host_id, 0) + 1
        self.used(host_id)
        meter = self._world.meters.begin(known.service.id, known.service.name)
        try:
            yield meter
        except (asyncio.CancelledError, GeneratorExit):
            meter.outcome = "cancelled"
            raise
        except BaseException:
            meter.outcome = "failed"
            raise
        finally:
            meter.end()
            self._under_way[host_id] -= 1

    async def _find_place(self, asked: Asked, meter: Meter) -> _Place:
        deadline, was_asleep = time.monotonic() + LONGEST_WAIT_S, False
        known = self.sightings.service(asked.service_id)
        while True:
            if known is None or not self._replicas(known, asked):
                known = _checked(await self.sightings.read(asked.service_id))
                if not self._replicas(known, asked):
                    await self.sightings.look()
            replicas = self._replicas(known, asked)
            if replicas:
                place = await self._take_turn(asked, known, replicas, meter)
                if place is not None:
                    return place
                deadline = time.monotonic() + LONGEST_WAIT_S
                continue
            if known.host.state is HostState.STARTING:
                deadline = time.monotonic() + LONGEST_WAIT_S
            elif time.monotonic() > deadline:
                raise NotReadyError("chat.not_ready", seconds=LONGEST_WAIT_S)
            was_asleep = await self._wake(known) or was_asleep
            await asked.waiting(_waiting(known, was_asleep=was_asleep))
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            known = None

    def _replicas(self, known: Known, asked: Asked) -> tuple[Replica, ...]:
        if not known.may_answer(asks_base=asked.asks_base):
            return ()
        return self.sightings.replicas(known, asks_base=asked.asks_base)

    async def _take_turn(
        self, asked: Asked, known: Known, replicas: tuple[Replica, ...], meter: Meter
    ) -> _Place | None:
        """A place at the key's own replica; None where that one is gone before there was one."""
        name = favourite(asked.sticky, [one.name for one in replicas])
        place = self._enter(asked.turn, known, next(one for one in replicas if one.name == name))
        if place.ticket.holds:
            return place
        is_taken = False
        try:
            meter.queue()
            is_taken = await self._wait_in_queue(asked, place)
        finally:
            meter.unqueue()
            if not is_taken:
                self._leave(place)
        return place if is_taken else None

    async def _wait_in_queue(self, asked: Asked, place: _Place) -> bool:
        """Wait for the ticket's turn; False where the replica has gone."""
        ticket = place.ticket
        while not ticket.holds:
            ticket.changed.clear()
            await asked.waiting(Waiting(code="queue", params={"place": ticket.ahead}))
            try:
                async with asyncio.timeout(SECONDS_BETWEEN_LOOKS):
                    await ticket.changed.wait()
            except TimeoutError:
                if not await self._is_there(asked, place):
                    return False
        return await self._is_there(asked, place)

    async def _is_there(self, asked: Asked, place: _Place) -> bool:
        if not self.sightings.has_seen(place.known.service.host_id):
            await self.sightings.look()
        known = self.sightings.service(asked.service_id) or place.known
        return any(one.name == place.replica.name for one in self._replicas(known, asked))

    def _enter(self, turn: str, known: Known, replica: Replica) -> _Place:
        queue = self._queue(known, replica)
        return _Place(known=known, replica=replica, queue=queue, ticket=queue.enter(turn))

    def _queue(self, known: Known, replica: Replica) -> FairQueue:
        key = (known.service.host_id, replica.name)
        if key not in self._queues:
            self._queues[key] = FairQueue(streams_per_replica(self._world, known.host.place))
        return self._queues[key]

    def _leave(self, place: _Place) -> None:
        place.queue.leave(place.ticket)
        key = (place.known.service.host_id, place.replica.name)
        if not place.queue.holding and not place.queue.waiting:
            self._queues.pop(key, None)

    async def _wake(self, known: Known) -> bool:
        """Wake the host if it sleeps; returns whether it did."""
        if not known.host.is_asleep:
            return False
        async with self._world.store.transaction() as session:
            host = await get_host(session, known.host.id)
            if host is not None and host.is_asleep:
                host.is_asleep, host.used_at = False, now()
                log.info("host.woken", host=host.id)
        self._world.wake()
        return True

    async def _note_use(self, host_id: str) -> None:
        async with self._world.store.transaction() as session:
            host = await get_host(session, host_id)
            if host is not None:
                host.used_at = now()


def _waiting(known: Known, *, was_asleep: bool) -> Waiting:
    code = _CODES.get(known.service.state, "waking" if was_asleep else "starting")
    waits_for = known.host.found.get("waiting") if code in ("waking", "starting") else None
    return Waiting(code=code, params={"host": str(waits_for)} if waits_for else {})


def _checked(known: Known | None) -> Known:
    """The service, if it may come. Raises NotReadyError."""
    if known is None or known.service.wanted is Wish.DOWN:
        raise NotReadyError("chat.gone")
    if known.service.state is ServiceState.FAILED:
        reason = orjson.loads(known.service.reason or '{"code": "chat.waiting.failed", "params": {}}')
        raise NotReadyError(reason["code"], **reason["params"])
    return known
