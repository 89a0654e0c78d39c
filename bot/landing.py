"""Where a model that is deployed comes to stand: its host, who else is there, and what it would mean for them."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from bot.hosting import (
    DEFAULT_LORA_RANK,
    MOST_LORAS,
    default_loras,
    host_model_id,
    is_adapter,
    is_cpu_build,
    loras_of,
    more_loras,
)
from bot.world import World
from serving.vllm_command import vllm_rank
from storage.models import Host, Json, Model, Service
from storage.services import find_host, services_on, want_host, want_service
from storage.states import Wish
from training.places import ClusterPlace

WITHOUT_RESTART = frozenset({"instances"})
"""Settings of a host that change while it runs."""

WISHED = ("gpus", "cpu", "memory_gib", "gpu_product", "instances", "queue", "arguments", "max_lora_rank", "max_loras")
"""The settings of a host that people ask for; others are the loops' own notes."""


@dataclass(frozen=True, kw_only=True)
class Landing:
    """What deploying a model would do to the host that it goes onto."""

    base_id: str
    """Of the model that the host is started with."""
    place: str
    host: Host | None
    """None: it would be the first there."""
    others: tuple[Service, ...]
    """The other services that are to be up on it."""
    settings: Json
    """The host's, afterwards."""
    changed: frozenset[str]
    """Names of the settings that would be others than now."""
    raises_rank: tuple[int, int] | None
    """The rank that the host serves up to now, and the one that the model needs, where that is more."""
    is_cpu: bool
    """Whether the host computes on a CPU, where it holds no more tuned models than it is started for."""
    loras: int
    """How many tuned models the host is started for up to now."""
    adapters: int
    """How many are to be up on it, this one among them."""
    raises_loras: bool
    """Whether the host would be started for more of them, without anybody having asked for a number."""
    is_short: bool
    """Whether the number that was asked for does not do."""
    is_full: bool
    """Whether the host can hold no adapter more."""
    can_keep: bool
    """Whether the host could take the model as it is."""

    @property
    def disturbs(self) -> bool:
        """Whether a server that answers others would start anew."""
        is_up = self.host is not None and self.host.wanted is Wish.UP and not self.host.is_asleep
        return is_up and bool(self.others) and bool(self.changed - WITHOUT_RESTART)

    @property
    def instances(self) -> int:
        """How many replicas the host has now."""
        return int(self.host.settings.get("instances") or 1) if self.host else 1


async def find_landing(
    session: AsyncSession,
    world: World,
    model: Model,
    *,
    place: str,
    service: Service | None = None,
    changes: Mapping[str, object] | None = None,
) -> Landing:
    """Look where ``model`` would go, as ``service`` (None: a new one), with ``changes`` of the host's settings.

    A change to None takes the setting back to its default.
    """
    base_id = host_model_id(model)
    changes = changes or {}
    host = await find_host(session, base_id, place)
    present = await services_on(session, host.id) if host is not None else ()
    others = tuple(other for other in present if service is None or other.id != service.id)
    before = dict(host.settings) if host is not None else {}
    settings = {name: value for name, value in {**before, **changes}.items() if value is not None}
    rank = int(model.facts.get("rank", 0)) if is_adapter(model) else 0
    served = _rank(settings)
    if rank > served:
        settings["max_lora_rank"] = vllm_rank(rank)
    is_cpu, default = is_cpu_build(world, place), default_loras(world, place)
    loras = loras_of(world, host) if host is not None else default
    adapters = len(({other.model_id for other in others} | {model.id}) - {base_id})
    # On a GPU they would take turns: that one more comes is the occasion to ask, and no other change of a service is.
    is_cause = is_adapter(model) and (is_cpu or model.id not in {one.model_id for one in present})
    raises_loras = is_cause and "max_loras" not in changes and more_loras(loras, adapters) > loras
    if raises_loras:
        settings["max_loras"] = more_loras(loras, adapters)
    return Landing(
        base_id=base_id,
        place=place,
        host=host,
        others=others,
        settings=settings,
        changed=frozenset(name for name in WISHED if before.get(name) != settings.get(name)),
        raises_rank=(served, rank) if rank > served else None,
        is_cpu=is_cpu,
        loras=loras,
        adapters=adapters,
        raises_loras=raises_loras,
        is_short=is_cpu and int(settings.get("max_loras", default)) < min(adapters, MOST_LORAS),
        is_full=is_adapter(model) and is_cpu and adapters > MOST_LORAS,
        can_keep=rank <= _rank(before) and not (is_cpu and adapters > loras),
    )


def _rank(settings: Json) -> int:
    """Up to which a host of these settings serves adapters."""
    return vllm_rank(int(settings.get("max_lora_rank", DEFAULT_LORA_RANK)))


async def land(
    session: AsyncSession,
    model: Model,
    landing: Landing,
    *,
    thread_id: str | None,
    service: Service | None = None,
    name: str | None = None,
    user_id: str | None = None,
    is_pinned: bool | None = None,
) -> Service:
    """Write the wish: the host as foreseen, and the service on it."""
    host = await want_host(session, landing.base_id, place=landing.place)
    kept = {key: value for key, value in host.settings.items() if key not in WISHED}
    host.settings = {**kept, **{key: value for key, value in landing.settings.items() if key in WISHED}}
    if is_pinned is not None:
        host.is_pinned = is_pinned
    return await want_service(
        session, model, host=host, thread_id=thread_id, service=service, name=name, user_id=user_id
    )


def serving_places(world: World) -> tuple[ClusterPlace, ...]:
    """The places of a cluster that models are served in; none where they are served on this machine."""
    return tuple(place for place in world.places.values() if place.serving is not None)


def serving_place(world: World, place: str) -> ClusterPlace | None:
    """The place of that name, where models are served; None: on this machine."""
    return next((one for one in serving_places(world) if one.name == place), None)
