"""What a replica of a host computes with, where nobody said it: by the size of its model.

For GPUs the customer recommends requests of 16 cores and 32 GiB; what is not known gets that. Smaller models get less,
so that several fit a node, and larger ones more.
"""

from dataclasses import dataclass

from serving.vllm_command import DEFAULT_LORAS, Build, slots

GIB = 2**30
RECOMMENDED_CPU, RECOMMENDED_MEMORY_GIB = 16, 32

CPU_PROCESS_BYTES = 3 * GIB
"""What vLLM on a CPU takes besides weights, cache and adapters: 4 GB in all were seen with a model of 135 M."""
GPU_PROCESS_BYTES, GPU_WORKER_BYTES = 8 * GIB, 4 * GIB
"""Main memory of the server with its engine, and of each card's worker: libraries, staging buffers, adapters."""
START_S = 600
"""A model of 135 M is ready after 57 s in a pod on two cores, compiled in three minutes; nodes are busy and cold."""
READ_BYTES_A_SECOND = 50_000_000
"""From a slow shared volume."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of one replica."""

    cpu: int
    """Cores."""
    memory_gib: int
    """Main memory, with what is in ``/dev/shm``."""
    shared_memory_gib: int
    """Of ``/dev/shm``."""
    start_s: float
    """How long the model may load, in seconds, before the replica is given up."""


def defaults(
    weights_bytes: int,
    *,
    build: Build,
    gpus: int = 0,
    max_lora_rank: int = 16,
    max_loras: int = DEFAULT_LORAS[Build.CPU],
    cache_bytes: int | None = None,
) -> Size:
    """What suits a model whose files have ``weights_bytes``, at two bytes a number; 0: not known.

    On a CPU adapters (``max_lora_rank``, ``max_loras``) count, and ``cache_bytes``: of the key-value cache in main
    memory; None: a GiB, or a quarter of the weights.
    """
    is_cpu = build is Build.CPU
    if weights_bytes == 0:
        cpu, memory_gib = (4, 8) if is_cpu else (RECOMMENDED_CPU, RECOMMENDED_MEMORY_GIB)
    elif is_cpu:
        cpu = _cores_on_cpu(weights_bytes)
        adapters = _slots_bytes(weights_bytes, max_lora_rank, max_loras)
        memory_gib = _up(_memory_on_cpu(weights_bytes, adapters, cache_bytes), 1)
    else:
        cpu = _cores_beside_gpus(weights_bytes, gpus)
        memory_gib = _up(weights_bytes + GPU_PROCESS_BYTES + gpus * GPU_WORKER_BYTES, 4)
    return Size(
        cpu=cpu,
        memory_gib=memory_gib,
        # The workers of one replica pass messages there: 2 GiB in vLLM's own example of a Deployment.
        shared_memory_gib=2 * gpus if gpus > 1 else 1,
        start_s=float(START_S + weights_bytes // READ_BYTES_A_SECOND),
    )


def _cores_on_cpu(weights_bytes: int) -> int:
    """It answers as fast as it has cores; two do for what fits a laptop."""
    return next((cores for limit, cores in ((1, 2), (4, 4), (12, 8)) if weights_bytes <= limit * GIB), 16)


def _memory_on_cpu(weights_bytes: int, adapters_bytes: int, cache_bytes: int | None) -> int:
    """Float32 weights are twice the files; adapters have their slots from the start."""
    cache = max(GIB, weights_bytes // 4) if cache_bytes is None else cache_bytes
    return 2 * weights_bytes + cache + adapters_bytes + CPU_PROCESS_BYTES


def _slots_bytes(weights_bytes: int, max_lora_rank: int, max_loras: int) -> int:
    """All slots for adapters on a CPU: one of rank 16 takes 20 MB for 269 MB of weights.

    An adapter has rank x width numbers a matrix where the model has width x width: with depth and width growing alike
    it grows like the weights to the power of two thirds.
    """
    one: float = 20e6 * (max_lora_rank / 16) * (weights_bytes / 269e6) ** (2 / 3)
    return round(one * slots(max_loras, Build.CPU))


def _cores_beside_gpus(weights_bytes: int, gpus: int) -> int:
    """By size up to what is recommended; vLLM wants two cores (server, engine) and one for each card's worker, at
    least, and twice that is not tight.
    """
    by_size = next((cores for limit, cores in ((4, 4), (12, 8)) if weights_bytes <= limit * GIB), RECOMMENDED_CPU)
    return max(by_size, 2 * (2 + gpus))


def _up(amount_bytes: float, step_gib: int) -> int:
    """In GiB, the next multiple of ``step_gib``."""
    return int(-(-amount_bytes // (step_gib * GIB))) * step_gib
