"""Hosts: model servers are started, stopped, and started again when they fail."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from bot.hosting import host_spec
from bot.reconcile.wishes import HostWishes
from bot.routing import Routes
from bot.world import World
from serving.services import HostSpec, HostStatus, ServingError
from storage.artifact_errors import ArtifactError
from storage.models import Host, Json, Model, now
from storage.services import all_hosts, change_host, get_host
from storage.states import HostState, Wish

log = structlog.get_logger(__name__)

MOST_FAILURES = 3
"""In a row, before a host is given up until somebody asks for it again."""

FORGOTTEN_AFTER = timedelta(minutes=5)
"""Failures further apart than this are not in a row."""

RETRY_AFTER = (timedelta(seconds=1), timedelta(seconds=10))
"""How long to wait after the first failure in a row, after the second."""


class HostsLoop:
    """One pass after the other; what it remembers only saves work."""

    def __init__(self, world: World, routes: Routes) -> None:
        self._world = world
        self._routes = routes
        self._wishes = HostWishes(world, routes)
        self._started: dict[str, HostSpec] = {}
        """What this process asked for: the first pass of a new process asks again, which changes nothing."""

    async def once(self) -> Mapping[str, HostStatus]:
        """Act on every host; returns those that are starting or ready, with what was found of them."""
        yields_to = await self._wishes.update()
        async with self._world.store.reading() as session:
            hosts = await all_hosts(session)
            bases = {host.id: await session.get_one(Model, host.base_model_id) for host in hosts}
        if not hosts:
            return {}
        looked_at = time.monotonic()
        observed = await asyncio.to_thread(self._world.servers.observe)
        self._routes.sightings.learn(observed, looked_at=looked_at)
        settled = {}
        for host in hosts:
            status = observed.get(host.id)
            yields = yields_to is not None and not host.place
            if host.wanted is Wish.DOWN or (yields and not host.is_asleep):
                await self._stop(host, status)
            elif host.is_asleep and (yields or not await self._is_asked(host)):
                await self._rest(host, status)
            else:
                status = await self._bring_up(host, bases[host.id], status)
                if status is not None:
                    settled[host.id] = status
        return settled

    async def stop_all(self) -> None:
        """Stop every server of this machine; the wishes stay, so that the next start brings them back. Those in a
        cluster go on."""
        async with self._world.store.reading() as session:
            elsewhere = {host.id for host in await all_hosts(session) if host.place}
        for host_id in await asyncio.to_thread(self._world.servers.observe):
            if host_id not in elsewhere:
                try:
                    await asyncio.to_thread(self._world.servers.stop, host_id)
                except ServingError as error:
                    log.warning("host.not_stopped", host=host_id, error=str(error))
        self._started.clear()

    async def _stop(self, host: Host, status: HostStatus | None) -> None:
        # One that is not seen may be at a place that does not answer: it is gone when it was stopped, not before.
        is_gone = status is None and host.state is HostState.STOPPED and not host.is_asleep
        if is_gone or await self._ends(host, self._world.servers.stop):
            await self._note_stopped(host)

    async def _rest(self, host: Host, status: HostStatus | None) -> None:
        is_up = status is not None and status.state is not HostState.STOPPED
        if is_up:
            # Nobody is sent to a server that is about to end.
            self._routes.sightings.forget(host.id)
        if not is_up or await self._ends(host, self._world.servers.rest):
            await self._note_stopped(host)

    async def _is_asked(self, host: Host) -> bool:
        """Whether somebody asks a host that is to rest, from the very moment in which that was decided: it wakes."""
        if not self._routes.is_busy(host.id):
            return False
        async with self._world.store.transaction() as session:
            row = await get_host(session, host.id)
            if row is not None:
                row.is_asleep, row.used_at = False, now()
        log.info("host.woken", host=host.id)
        return True

    async def _ends(self, host: Host, end: Callable[[str], None]) -> bool:
        """Whether it ended; where it did not, the next pass tries again."""
        try:
            await asyncio.to_thread(end, host.id)
        except ServingError as error:
            log.warning("host.not_stopped", host=host.id, error=str(error))
            return False
        log.info("host.stopped", host=host.id, is_asleep=host.is_asleep)
        return True

    async def _note_stopped(self, host: Host) -> None:
        self._routes.sightings.forget(host.id)
        self._started.pop(host.id, None)
        await self._record(host, HostState.STOPPED, found={})

    async def _bring_up(self, host: Host, base: Model, status: HostStatus | None) -> HostStatus | None:
        try:
            spec = await host_spec(self._world, host, base)
        except ArtifactError as error:
            # Its files are asked for again by the next pass; a server that is up already has read them.
            log.warning("host.without_files", host=host.id, error=str(error))
            return status if status is not None and status.state is HostState.READY else None
        return await self._keep_up(host, spec, status)

    async def _keep_up(self, host: Host, spec: HostSpec, status: HostStatus | None) -> HostStatus | None:
        """What was found of a host that is well; None of one that is not."""
        if host.state is HostState.FAILED and (status is None or status.state is not HostState.READY):
            return None  # given up
        if self._started.get(host.id) != spec and not _is_waiting(host):
            refusal = await self._start(spec)
            if refusal is not None:
                await self._count_failure(host, refusal)
                return None
            # One that was up already is left as it was, so that a new process goes on at once where the last one ended.
            status = (await asyncio.to_thread(self._world.servers.observe)).get(host.id)
        if status is None or status.state is HostState.FAILED:
            await self._mend(host, spec, status)
            return None
        settings = _asked(host.settings) if status.state is HostState.READY and _is_steady(host) else None
        await self._record(host, status.state, settings=settings, found=_found(status))
        return status

    async def _start(self, spec: HostSpec) -> str | None:
        """None where it was started; else why it was not."""
        try:
            await asyncio.to_thread(self._world.servers.start, spec)
        except ServingError as error:
            log.warning("host.not_started", host=spec.id, error=str(error))
            # On this machine vLLM is missing; a cluster says what it refuses.
            return str(error.params.get("detail", "")) if spec.place else "not_started"
        self._started[spec.id] = spec
        log.info("host.started", host=spec.id, base=spec.base_name)
        return None

    async def _mend(self, host: Host, spec: HostSpec, status: HostStatus | None) -> None:
        """Start a failed server again, a while after its failure, and not for ever."""
        if "retry_at" not in host.settings:
            await self._count_failure(host, _reason(status))
        elif not _is_waiting(host):
            settings = {name: value for name, value in host.settings.items() if name != "retry_at"}
            await self._record(host, HostState.STARTING, settings=settings)
            await self._start(spec)

    async def _count_failure(self, host: Host, reason: str) -> None:
        failures = int(host.settings.get("failures", 0)) + 1
        log.warning("host.failed", host=host.id, failures=failures, reason=reason)
        if failures >= MOST_FAILURES:
            self._started.pop(host.id, None)
            await self._record(host, HostState.FAILED, reason=reason, settings=_asked(host.settings))
            return
        failed_at = now()
        later = (failed_at + RETRY_AFTER[failures - 1]).isoformat()
        settings = {
            **host.settings,
            "failures": failures,
            "failed_at": failed_at.isoformat(),
            "retry_at": later,
        }
        await self._record(host, HostState.STARTING, reason=reason, settings=settings)

    async def _record(
        self,
        host: Host,
        state: HostState,
        *,
        reason: str | None = None,
        settings: Json | None = None,
        found: Json | None = None,
    ) -> None:
        is_same = (host.state, host.reason) == (state, reason) and settings in (None, host.settings)
        is_same = is_same and found in (None, host.found) and not (host.is_asleep and host.wanted is Wish.DOWN)
        if is_same:
            return
        async with self._world.store.transaction() as session:
            row = await get_host(session, host.id)
            if row is not None:
                change_host(row, state, reason=reason)
                # What people asked for may have changed since the host was read.
                row.settings = row.settings if settings is None else {**_asked(row.settings), **_noted(settings)}
                row.found = row.found if found is None else found
                # Who is not wanted does not rest: it has something left until it is stopped.
                row.is_asleep = row.is_asleep and row.wanted is Wish.UP


_NOTES = frozenset(("failures", "failed_at", "retry_at"))
"""What this loop keeps among a host's settings; all others are asked for by people."""


def _found(status: HostStatus) -> Json:
    """What people are told of a host: how many replicas answer, and what the others wait for."""
    told = {"waiting": status.waiting, "words": status.words, "ready": len(status.replicas)}
    return {name: value for name, value in told.items() if value}


def _asked(settings: Json) -> Json:
    return {name: value for name, value in settings.items() if name not in _NOTES}


def _noted(settings: Json) -> Json:
    return {name: value for name, value in settings.items() if name in _NOTES}


def _reason(status: HostStatus | None) -> str:
    """Why a host failed, with the cluster's own words below."""
    if status is None or not status.reason:
        return "killed"
    return f"{status.reason}\n{status.words}" if status.words else status.reason


def _is_steady(host: Host) -> bool:
    """Whether its last failure is long ago: one that answers, and dies of every first request, is not well."""
    failed_at = host.settings.get("failed_at")
    return failed_at is None or now() - datetime.fromisoformat(failed_at) > FORGOTTEN_AFTER


def _is_waiting(host: Host) -> bool:
    """Whether it failed just now and is started again later."""
    retry_at = host.settings.get("retry_at")
    return retry_at is not None and datetime.fromisoformat(retry_at) > now()
