"""``/metrics`` for Prometheus: what there is, from the database, and what this process was asked.

No data and no secret, only names and numbers.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import ASGIApp

from bot.world import World
from storage.models import Host, Run, Service
from storage.states import HostState, RunState, ServiceState

ASLEEP = "asleep"
"""Of a host that gave back what it computes with."""


def metrics_router(world: World) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.get("/metrics")
    async def metrics() -> Response:
        async with world.store.reading() as session:
            counted = _Counted(await _count(session))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(counted)
        return Response(
            generate_latest(registry) + generate_latest(world.meters.registry), media_type=CONTENT_TYPE_LATEST
        )

    return router


def metrics_site(world: World) -> ASGIApp:
    """A site of that route alone, for whoever reaches it."""
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    site.include_router(metrics_router(world))
    return site


class _Counted(Collector):
    """Rows by state, of one scrape."""

    def __init__(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for kind, by_state in self._counts.items():
            family = GaugeMetricFamily(f"tunesmith_{kind}", f"How many {kind} are in a state", labels=["state"])
            for state, count in by_state.items():
                family.add_metric([state], count)
            yield family


async def _count(session: AsyncSession) -> Mapping[str, Mapping[str, int]]:
    runs = await session.execute(select(Run.state, func.count()).group_by(Run.state))
    services = await session.execute(select(Service.state, func.count()).group_by(Service.state))
    awake = select(Host.state, func.count()).where(Host.is_asleep.is_(False)).group_by(Host.state)
    asleep = await session.scalar(select(func.count()).select_from(Host).where(Host.is_asleep.is_(True)))
    hosts = await session.execute(awake)
    return {
        "runs": _filled(RunState, runs.all()),
        "hosts": _filled(HostState, hosts.all()) | {ASLEEP: asleep or 0},
        "services": _filled(ServiceState, services.all()),
    }


def _filled(states: Iterable[StrEnum], counts: Iterable[tuple[StrEnum, int]]) -> dict[str, int]:
    """Every state has its line, also one that nothing is in: a line that comes and goes cannot be watched."""
    return {state.value: 0 for state in states} | {state.value: count for state, count in counts}
