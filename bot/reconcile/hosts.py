"""Hosts: model servers are started, stopped, and started again when they fail."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from bot.hosting import host_spec
from bot.reconcile.wishes import HostWishes
from bot.world import World
from serving.services import HostSpec, HostStatus, ServingError
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

    def __init__(self, world: World) -> None:
        self._world = world
        self._wishes = HostWishes(world)
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
        observed = await asyncio.to_thread(self._world.servers.observe)
        settled = {}
        for host in hosts:
            status = observed.get(host.id)
            if host.wanted is Wish.DOWN or yields_to is not None:
                await self._stop(host, status)
            else:
                status = await self._keep_up(host, host_spec(self._world, host, bases[host.id]), status)
                if status is not None:
                    settled[host.id] = status
        return settled

    async def stop_all(self) -> None:
        """Stop every server; the wishes stay, so that the next start brings them back."""
        for host_id in await asyncio.to_thread(self._world.servers.observe):
            await asyncio.to_thread(self._world.servers.stop, host_id)
        self._started.clear()

    async def _stop(self, host: Host, status: HostStatus | None) -> None:
        if status is not None:
            await asyncio.to_thread(self._world.servers.stop, host.id)
            log.info("host.stopped", host=host.id)
        self._started.pop(host.id, None)
        await self._record(host, HostState.STOPPED)

    async def _keep_up(self, host: Host, spec: HostSpec, status: HostStatus | None) -> HostStatus | None:
        """What was found of a host that is well; None of one that is not."""
        if host.state is HostState.FAILED and (status is None or status.state is not HostState.READY):
            return None  # given up
        if self._started.get(host.id) != spec and not _is_waiting(host):
            if not await self._start(spec):
                await self._count_failure(host, "not_started")
                return None
            # One that was up already is left as it was, so that a new process goes on at once where the last one ended.
            status = (await asyncio.to_thread(self._world.servers.observe)).get(host.id)
        if status is None or status.state is HostState.FAILED:
            await self._mend(host, spec, status)
            return None
        settings = _without_failures(host.settings) if status.state is HostState.READY and _is_steady(host) else None
        await self._record(host, status.state, settings=settings)
        return status

    async def _start(self, spec: HostSpec) -> bool:
        try:
            await asyncio.to_thread(self._world.servers.start, spec)
        except ServingError as error:
            log.warning("host.not_started", host=spec.id, error=str(error))
            return False
        self._started[spec.id] = spec
        log.info("host.started", host=spec.id, base=spec.base_name)
        return True

    async def _mend(self, host: Host, spec: HostSpec, status: HostStatus | None) -> None:
        """Start a failed server again, a while after its failure, and not for ever."""
        if "retry_at" not in host.settings:
            await self._count_failure(host, (status.reason if status else None) or "killed")
        elif not _is_waiting(host):
            settings = {name: value for name, value in host.settings.items() if name != "retry_at"}
            await self._record(host, HostState.STARTING, settings=settings)
            await self._start(spec)

    async def _count_failure(self, host: Host, reason: str) -> None:
        failures = int(host.settings.get("failures", 0)) + 1
        log.warning("host.failed", host=host.id, failures=failures, reason=reason)
        if failures >= MOST_FAILURES:
            self._started.pop(host.id, None)
            await self._record(host, HostState.FAILED, reason=reason, settings=_without_failures(host.settings))
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
        self, host: Host, state: HostState, *, reason: str | None = None, settings: Json | None = None
    ) -> None:
        is_same = (host.state, host.reason) == (state, reason) and settings in (None, host.settings)
        if is_same:
            return
        async with self._world.store.transaction() as session:
            row = await get_host(session, host.id)
            if row is not None:
                change_host(row, state, reason=reason)
                row.settings = row.settings if settings is None else settings


def _without_failures(settings: Json) -> Json:
    return {name: value for name, value in settings.items() if name not in ("failures", "failed_at", "retry_at")}


def _is_steady(host: Host) -> bool:
    """Whether its last failure is long ago: one that answers, and dies of every first request, is not well."""
    failed_at = host.settings.get("failed_at")
    return failed_at is None or now() - datetime.fromisoformat(failed_at) > FORGOTTEN_AFTER


def _is_waiting(host: Host) -> bool:
    """Whether it failed just now and is started again later."""
    retry_at = host.settings.get("retry_at")
    return retry_at is not None and datetime.fromisoformat(retry_at) > now()
