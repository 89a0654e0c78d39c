"""Which hosts are wanted: by services, and by runs that will be served when they end."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from bot.hosting import DEFAULT_LORA_RANK, host_model_id, lora_rank_of
from bot.reconcile.room import has_room_beside, needs_all_gpus
from bot.world import World
from storage.models import Host, Model, Run
from storage.runs import unfinished_runs
from storage.services import all_hosts, want_host, wanted_services
from storage.states import ModelState, RunState, Wish
from training.checkpoints import CheckpointFacts
from training.machine import Machine, find_machine

SECONDS_BETWEEN_LOOKS = 5.0
"""At the machine's free memory."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the services and the runs under way need."""

    served: frozenset[str]
    """Ids of the base models whose hosts services need now."""
    ranks: Mapping[str, int]
    """Base model id -> the largest rank among the adapters that its host serves or will serve."""
    coming: Mapping[str, Run]
    """Base model id -> the run under way whose outcome it will serve."""
    yields_to: Run | None
    """The run that needs every card of the machine."""


class HostWishes:
    """Keeps the hosts' wishes true."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._machine: tuple[float, Machine] | None = None

    async def update(self) -> Run | None:
        """Wish for hosts that are needed, drop the wish for others; returns the run that all hosts have to yield to."""
        async with self._world.store.reading() as session:
            needs = await _find_needs(session, self._world.machine)
            hosts = {host.base_model_id: host for host in await all_hosts(session)}
            bases = {base_id: await session.get_one(Model, base_id) for base_id in needs.coming}
        wanted = [base_id for base_id, run in needs.coming.items() if await self._may_start(run, bases[base_id], hosts)]
        wanted += [base_id for base_id in needs.served if not _is_up(hosts.get(base_id))]
        unneeded = [base_id for base_id, host in hosts.items() if _is_up(host) and base_id not in needs.ranks]
        known = {*hosts, *wanted}
        small = [
            base_id for base_id in known & needs.ranks.keys() if _is_too_small(hosts.get(base_id), needs.ranks[base_id])
        ]
        if wanted or unneeded or small:
            async with self._world.store.transaction() as session:
                await _write(session, wanted, unneeded, {base_id: needs.ranks[base_id] for base_id in small})
        return needs.yields_to

    async def _may_start(self, run: Run, base: Model, hosts: Mapping[str, Host]) -> bool:
        if _is_up(hosts.get(base.id)) or base.state is not ModelState.READY:
            return False
        return has_room_beside(await self._look_at_machine(), run, CheckpointFacts.from_json(base.facts))

    async def _look_at_machine(self) -> Machine:
        if self._machine is None or time.monotonic() - self._machine[0] > SECONDS_BETWEEN_LOOKS:
            self._machine = (time.monotonic(), await asyncio.to_thread(find_machine))
        return self._machine[1]


async def _find_needs(session: AsyncSession, machine: Machine) -> Needs:
    models = [await session.get_one(Model, service.model_id) for service in await wanted_services(session)]
    runs = await unfinished_runs(session)
    coming = {run.base_model_id: run for run in reversed(runs) if run.deploys and _is_coming(run)}
    adapters = [(host_model_id(model), int(model.facts.get("rank", 0))) for model in models]
    adapters += [(base_id, int(run.spec["lora_rank"])) for base_id, run in coming.items()]
    ranks: dict[str, int] = {}
    for base_id, rank in adapters:
        ranks[base_id] = max(rank, ranks.get(base_id, 0))
    yields_to = next((run for run in runs if needs_all_gpus(machine, run)), None)
    served = frozenset(host_model_id(model) for model in models)
    return Needs(served=served, ranks=ranks, coming=coming, yields_to=yields_to)


def _is_coming(run: Run) -> bool:
    is_under_way = run.state in (RunState.PENDING, RunState.RUNNING)
    return is_under_way and run.spec["method"] == "lora" and not run.stop_wanted


def _is_up(host: Host | None) -> bool:
    return host is not None and host.wanted is Wish.UP


def _is_too_small(host: Host | None, rank: int) -> bool:
    return (lora_rank_of(host) if host else DEFAULT_LORA_RANK) < rank


async def _write(session: AsyncSession, wanted: list[str], unneeded: list[str], ranks: Mapping[str, int]) -> None:
    for base_id in wanted:
        await want_host(session, base_id)
    for host in await all_hosts(session):
        if host.base_model_id in unneeded:
            host.wanted = Wish.DOWN
        if host.base_model_id in ranks:
            host.settings = {**host.settings, "max_lora_rank": ranks[host.base_model_id]}
