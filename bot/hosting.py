"""Rows -> what a model server is asked to be."""

from bot.world import World
from serving.services import HostSpec
from serving.vllm_command import VLLM_LORA_RANKS
from storage.models import Host, Model
from storage.states import ModelKind
from training.checkpoints import CheckpointFacts

LONGEST_CONTEXT_CPU = 8192
LONGEST_CONTEXT_GPU = 32768
"""In tokens. Longer contexts of a model are left unused: their cache would not fit."""

DEFAULT_LORA_RANK = 16

LARGEST_LORA_RANK = VLLM_LORA_RANKS[-1]
"""What a plan may ask for: a host is started anew where an adapter needs a higher rank than it was started with."""


def host_spec(world: World, host: Host, base: Model) -> HostSpec:
    """The server that ``host`` wishes for."""
    return HostSpec(
        id=host.id,
        base_model=str(world.folder_of(base)),
        base_name=base.name,
        context_tokens=context_tokens(world, base),
        max_lora_rank=lora_rank_of(host),
        gpus=min(1, len(world.machine.gpus)),
    )


def context_tokens(world: World, base: Model) -> int:
    """How many tokens a chat with ``base``, or with what was tuned from it, may have."""
    longest = LONGEST_CONTEXT_GPU if world.machine.gpus else LONGEST_CONTEXT_CPU
    return min(longest, CheckpointFacts.from_json(base.facts).context_tokens)


def lora_rank_of(host: Host) -> int:
    """The rank up to which the host serves adapters."""
    return int(host.settings.get("max_lora_rank", DEFAULT_LORA_RANK))


def is_adapter(model: Model) -> bool:
    """Whether the model is loaded onto its base's server; a whole model has a server of its own."""
    return model.kind is ModelKind.TUNED and "architecture" not in model.facts


def host_model_id(model: Model) -> str:
    """The model that the server of ``model`` is started with: its base, or itself."""
    return model.base_model_id if is_adapter(model) and model.base_model_id else model.id


def served_name(model: Model) -> str:
    """VLLM's name of the model: an adapter's is its id, so that a name never answers with an old adapter."""
    return model.id if is_adapter(model) else model.name
