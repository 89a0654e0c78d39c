"""Whether a model server has room on this machine beside a training."""

from datetime import timedelta

from storage.models import Run, now
from storage.states import RunState
from training.checkpoints import CheckpointFacts
from training.machine import Machine

SERVER_BYTES = 3_000_000_000
"""What vLLM takes on a CPU besides the weights: its libraries and 1 GB of cache (4 GB were seen with 0.5 of them)."""

SETTLED = timedelta(seconds=30)
"""After this long in training, the machine's free memory is what the training leaves."""


def needs_all_gpus(machine: Machine, run: Run) -> bool:
    """Whether a run takes every card of the machine it runs on, so that no model server has one beside it there."""
    return not machine.is_cluster and bool(machine.gpus) and int(run.spec.get("gpus_per_node", 0)) >= len(machine.gpus)


def has_room_beside(machine: Machine, run: Run, base: CheckpointFacts) -> bool:
    """Whether the model server of ``base`` can start while ``run`` is under way."""
    if machine.gpus:
        return not needs_all_gpus(machine, run)
    wanted = SERVER_BYTES + 4 * base.parameters
    if not _has_settled(run):
        wanted += int(run.estimate.get("memory_bytes", 0))
    return machine.available_memory_bytes > wanted


def _has_settled(run: Run) -> bool:
    is_running = run.state is RunState.RUNNING and run.started_at is not None
    return is_running and now() - (run.started_at or now()) > SETTLED
