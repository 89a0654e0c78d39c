"""Which hosts are wanted: by services, and by runs that will be served when they end; and which may go to rest."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bot.hosting import DEFAULT_LORA_RANK, default_loras, lora_rank_of, loras_of, more_loras
from bot.reconcile.room import has_room_beside, needs_all_gpus
from bot.routing import Routes
from bot.world import World
from serving.vllm_command import vllm_rank
from storage.models import Host, Json, Model, Run, now
from storage.runs import unfinished_runs
from storage.services import all_hosts, get_host, want_host, wanted_services
from storage.states import ModelState, RunState, ServiceState, Wish
from training.checkpoints import CheckpointFacts
from training.machine import Machine, find_machine

log = structlog.get_logger(__name__)

SECONDS_BETWEEN_LOOKS = 5.0
"""At the machine's free memory."""

Key = tuple[str, str]
"""A host: the id of its base model, and its place."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the services and the runs under way need."""

    served: frozenset[Key]
    """The hosts that services need now."""
    unready: frozenset[Key]
    """Those of services that are not ready yet, or not yet compared."""
    ranks: Mapping[Key, int]
    """Host -> the largest rank among the adapters that it serves or will serve."""
    loras: Mapping[Key, int]
    """Host that serves nobody yet -> how many tuned models are coming to it."""
    coming: Mapping[Key, Run]
    """Host -> the run under way whose outcome it will serve."""
    yields_to: Run | None
    """The run that needs every card of this machine."""


class HostWishes:
    """Keeps the hosts' wishes true."""

    def __init__(self, world: World, routes: Routes) -> None:
        self._world = world
        self._routes = routes
        self._machine: tuple[float, Machine] | None = None

    async def update(self) -> Run | None:
        """Wish for hosts that are needed, drop the wish for others, let idle ones rest; returns the run that the hosts
        of this machine have to yield to."""
        async with self._world.store.reading() as session:
            needs = await _find_needs(session, self._world)
            hosts = {(host.base_model_id, host.place): host for host in await all_hosts(session)}
            bases = {key: await session.get_one(Model, key[0]) for key in needs.coming}
        wanted = [key for key, run in needs.coming.items() if await self._may_start(run, bases[key], key, hosts)]
        wanted += [key for key in needs.served if not _is_up(hosts.get(key))]
        wanted += [key for key, host in hosts.items() if _is_up(host) and host.is_pinned and host.is_asleep]
        unneeded = [host.id for key, host in hosts.items() if _is_up(host) and key not in needs.ranks]
        known = {*hosts, *wanted}
        small = [key for key in known if _lacking(self._world, needs, key, hosts.get(key))]
        if wanted or unneeded or small:
            async with self._world.store.transaction() as session:
                await _write(session, self._world, wanted, unneeded)
        for key, host in hosts.items():
            if host.id not in unneeded and self._is_idle(host, is_needed=key in needs.coming or key in needs.unready):
                await self._put_to_rest(host)
        return needs.yields_to

    async def _may_start(self, run: Run, base: Model, key: Key, hosts: Mapping[Key, Host]) -> bool:
        host = hosts.get(key)
        if (host is not None and _is_up(host) and not host.is_asleep) or base.state is not ModelState.READY:
            return False
        if self._world.trains_elsewhere or key[1]:
            return True
        return has_room_beside(await self._look_at_machine(), run, CheckpointFacts.from_json(base.facts))

    async def _look_at_machine(self) -> Machine:
        if self._machine is None or time.monotonic() - self._machine[0] > SECONDS_BETWEEN_LOOKS:
            self._machine = (time.monotonic(), await asyncio.to_thread(find_machine))
        return self._machine[1]

    def _is_idle(self, host: Host, *, is_needed: bool) -> bool:
        """Whether nobody has asked the host anything for long, and nobody is about to."""
        idle = timedelta(minutes=self._world.settings.idle_minutes)
        if not idle or not _is_up(host) or host.is_asleep or host.is_pinned or is_needed:
            return False
        return now() - host.used_at > idle and not self._routes.is_busy(host.id)

    async def _put_to_rest(self, found: Host) -> None:
        async with self._world.store.transaction() as session:
            host = await get_host(session, found.id)
            # Somebody may have asked for it since.
            if host is None or not self._is_idle(host, is_needed=False):
                return
            host.is_asleep = True
        self._routes.sightings.forget(found.id)
        log.info("host.rests", host=found.id)


async def _find_needs(session: AsyncSession, world: World) -> Needs:
    services = await wanted_services(session)
    hosts = [await session.get_one(Host, service.host_id) for service in services]
    keys = [(host.base_model_id, host.place) for host in hosts]
    models = [await session.get_one(Model, service.model_id) for service in services]
    runs = await unfinished_runs(session)
    all_coming = [
        ((run.base_model_id, world.server_place(run.place)), run)
        for run in reversed(runs)
        if run.deploys and _is_coming(run)
    ]
    adapters = [(key, int(model.facts.get("rank", 0))) for key, model in zip(keys, models, strict=True)]
    # What a run will need is there before it ends, but a server that answers others starts anew with a yes alone.
    ahead = [(key, int(run.spec["lora_rank"])) for key, run in all_coming if key not in keys]
    return Needs(
        served=frozenset(keys),
        unready=frozenset(
            key
            for key, service in zip(keys, services, strict=True)
            if service.state in (ServiceState.WAITING, ServiceState.LOADING)
            or (service.state is ServiceState.READY and not service.compared)
        ),
        ranks=_largest([*adapters, *ahead]),
        loras=Counter(key for key, _ in ahead),
        coming=dict(all_coming),
        yields_to=next((run for run in runs if needs_all_gpus(world.trainer(run.place), run)), None),
    )


def _largest(adapters: Sequence[tuple[Key, int]]) -> Mapping[Key, int]:
    ranks: dict[Key, int] = {}
    for key, rank in adapters:
        ranks[key] = max(rank, ranks.get(key, 0))
    return ranks


def _is_coming(run: Run) -> bool:
    is_under_way = run.state in (RunState.PENDING, RunState.RUNNING)
    return is_under_way and run.spec["method"] == "lora" and not run.stop_wanted


def _is_up(host: Host | None) -> bool:
    return host is not None and host.wanted is Wish.UP


def _lacking(world: World, needs: Needs, key: Key, host: Host | None) -> Json:
    """The settings without which a host does not hold what it serves or will serve."""
    lacking: Json = {}
    rank = needs.ranks.get(key, 0)
    if (lora_rank_of(host) if host else DEFAULT_LORA_RANK) < rank:
        lacking["max_lora_rank"] = vllm_rank(rank)
    loras = loras_of(world, host) if host else default_loras(world, key[1])
    more = more_loras(loras, needs.loras.get(key, 0))
    return {**lacking, "max_loras": more} if more > loras else lacking


async def _write(session: AsyncSession, world: World, wanted: Sequence[Key], unneeded: Sequence[str]) -> None:
    """What was found to be wanted or not, where that is still so: somebody may have deployed something since."""
    needs = await _find_needs(session, world)
    for base_id, place in wanted:
        if (base_id, place) in needs.ranks:
            await want_host(session, base_id, place=place)
    for host in await all_hosts(session):
        key = (host.base_model_id, host.place)
        if key not in needs.ranks and host.id in unneeded:
            host.wanted = Wish.DOWN
        if lacking := _lacking(world, needs, key, host):
            host.settings = {**host.settings, **lacking}
