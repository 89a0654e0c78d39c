"""Rows -> what a model server is asked to be."""

from bot.world import World
from serving.services import AdapterRef, HostSpec
from serving.splitting import fewer_cards
from serving.vllm_command import DEFAULT_LORAS, VLLM_LORA_RANKS, Build, find_build
from storage.models import Host, Model
from storage.states import ModelKind
from training.checkpoints import CheckpointFacts

STREAMS_CPU = 8
STREAMS_GPU = 64
"""Answers that one replica gives at once, where nothing else is set; more only make each other slow."""

LONGEST_CONTEXT_CPU = 8192
LONGEST_CONTEXT_GPU = 32768
"""In tokens. Longer contexts of a model are left unused: their cache would not fit."""

DEFAULT_LORA_RANK = 16

MOST_LORAS = 64
"""Tuned models that a host may be started for."""

LARGEST_LORA_RANK = VLLM_LORA_RANKS[-1]
"""What a plan may ask for: a host is started anew where an adapter needs a higher rank than it was started with."""


async def host_spec(world: World, host: Host, base: Model) -> HostSpec:
    """The server that ``host`` wishes for. Raises ArtifactError."""
    asked = {name: value for name, value in host.settings.items() if value is not None}
    return HostSpec(
        id=host.id,
        base_model=str(await world.folder_of(base)),
        base_name=base.name,
        context_tokens=context_tokens(world, base, host.place),
        max_lora_rank=lora_rank_of(host),
        max_loras=loras_of(world, host),
        gpus=int(asked.get("gpus", default_gpus(world, base, host.place))),
        place=host.place,
        artifact=artifact_of(base),
        weights_bytes=CheckpointFacts.from_json(base.facts).size_bytes,
        cpu=asked.get("cpu"),
        memory_gib=asked.get("memory_gib"),
        gpu_product=asked.get("gpu_product"),
        instances=int(asked.get("instances", 1)),
        queue=asked.get("queue", queue_of(world, host.place)),
        arguments=tuple(asked.get("arguments", ())),
        about={"base": base.name},
    )


def is_cpu_build(world: World, place: str) -> bool:
    """Whether vLLM computes on a CPU there."""
    serving = world.serving(place)
    build = Build(serving.build) if serving is not None else find_build(world.settings.serving_python)
    return build is Build.CPU


def default_loras(world: World, place: str) -> int:
    """Tuned models that a model server in a place is started for, where nothing else is asked for."""
    return DEFAULT_LORAS[Build.CPU if is_cpu_build(world, place) else Build.CUDA]


def gpus_of(world: World, place: str) -> int:
    """Cards of a model server in a place, where nothing else is asked for and any model can be split over them."""
    serving = world.serving(place)
    if serving is None:
        return min(1, len(world.machine.gpus))
    return 0 if serving.build == "cpu" else serving.gpus


def default_gpus(world: World, base: Model, place: str) -> int:
    """Cards of the server of ``base`` in a place, where nothing else is asked for."""
    return fewer_cards(CheckpointFacts.from_json(base.facts), gpus_of(world, place))


def queue_of(world: World, place: str) -> str | None:
    """Kueue's LocalQueue of a model server in a place, where nothing else is asked for."""
    serving = world.serving(place)
    return serving.queue if serving else None


def context_tokens(world: World, base: Model, place: str = "") -> int:
    """How many tokens a chat with ``base``, or with what was tuned from it, may have where it is served."""
    return served_context(CheckpointFacts.from_json(base.facts), gpus=gpus_of(world, place))


def served_context(base: CheckpointFacts, *, gpus: int) -> int:
    """The same, of a base model's facts; ``gpus``: of its server."""
    return min(LONGEST_CONTEXT_GPU if gpus else LONGEST_CONTEXT_CPU, base.context_tokens)


def streams_per_replica(world: World, place: str) -> int:
    """How many answers one replica gives at once; others wait for a place."""
    return world.settings.streams_per_replica or (STREAMS_GPU if gpus_of(world, place) else STREAMS_CPU)


def artifact_of(model: Model) -> str | None:
    """Where a model lies below the artifact root; None: elsewhere on this disk."""
    return model.source.removeprefix("artifact:") if model.source.startswith("artifact:") else None


async def adapter_ref(world: World, model: Model) -> AdapterRef:
    """What is loaded for a tuned model. Raises ArtifactError."""
    return AdapterRef(model_id=model.id, folder=str(await world.folder_of(model)), artifact=artifact_of(model))


def lora_rank_of(host: Host) -> int:
    """The rank up to which the host serves adapters."""
    return int(host.settings.get("max_lora_rank", DEFAULT_LORA_RANK))


def loras_of(world: World, host: Host) -> int:
    """How many tuned models the host is started for."""
    return int(host.settings.get("max_loras") or default_loras(world, host.place))


def more_loras(loras: int, needed: int) -> int:
    """``loras``, doubled until it is enough for ``needed``; at most what a host may be started for."""
    while loras < min(needed, MOST_LORAS):
        loras = min(2 * loras, MOST_LORAS)
    return loras


def is_adapter(model: Model) -> bool:
    """Whether the model is loaded onto its base's server; a whole model has a server of its own."""
    return model.kind is ModelKind.TUNED and "architecture" not in model.facts


def host_model_id(model: Model) -> str:
    """The model that the server of ``model`` is started with: its base, or itself."""
    return model.base_model_id if is_adapter(model) and model.base_model_id else model.id


def served_name(model: Model) -> str:
    """VLLM's name of the model: an adapter's is its id, so that a name never answers with an old adapter."""
    return model.id if is_adapter(model) else model.name
