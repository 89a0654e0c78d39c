"""What this machine has: cores, memory, disk, Nvidia cards and optional packages. Cheap, and without torch."""

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limits stand (cgroup v2)."""

OPTIONAL_PACKAGES = ("bitsandbytes", "eetq", "flash_attn", "hqq", "liger_kernel", "unsloth")
"""Importable names of the packages that some values of the form need."""

QUERY = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free,compute_cap", "--format=csv,noheader,nounits")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One Nvidia card."""

    name: str
    memory_bytes: int
    free_memory_bytes: int
    supports_bf16: bool


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a training can use here."""

    cores: int
    memory_bytes: int
    available_memory_bytes: int
    """What can be had now without swapping."""
    free_disk_bytes: int
    gpus: tuple[Gpu, ...] = ()
    packages: frozenset[str] = frozenset()
    """Which of OPTIONAL_PACKAGES are installed."""
    is_cluster: bool = False
    """Whether this is one node of a cluster, which can give several."""


def find_machine(folder: Path | None = None) -> Machine:
    """This machine, within its container's limits; ``folder`` is on the disk that counts (else the home)."""
    memory = psutil.virtual_memory()
    limit = _container_memory_limit()
    total = min(memory.total, limit) if limit else memory.total
    available = min(memory.available, limit - _container_memory_used()) if limit else memory.available
    return Machine(
        cores=_cores(),
        memory_bytes=total,
        available_memory_bytes=max(0, available),
        free_disk_bytes=shutil.disk_usage(_existing(folder or Path.home())).free,
        gpus=find_gpus(),
        packages=frozenset(name for name in OPTIONAL_PACKAGES if importlib.util.find_spec(name)),
    )


def find_gpus() -> tuple[Gpu, ...]:
    """The Nvidia cards that the driver names; none where there is no driver, or where it fails."""
    if shutil.which(QUERY[0]) is None:
        return ()
    try:
        found = subprocess.run(QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(found.stdout)


def parse_gpus(listing: str) -> tuple[Gpu, ...]:
    """The cards of nvidia-smi's comma-separated listing (memory in MiB); lines that are none are passed over.

    bf16 came with compute capability 8.0 (Ampere).
    """
    gpus = []
    for line in listing.splitlines():
        parts = [part.strip() for part in line.rsplit(",", 3)]
        if len(parts) != 4 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            continue
        major = parts[3].split(".")[0]
        gpus.append(
            Gpu(
                name=parts[0],
                memory_bytes=int(parts[1]) << 20,
                free_memory_bytes=int(parts[2]) << 20,
                supports_bf16=major.isdecimal() and int(major) >= 8,
            )
        )
    return tuple(gpus)


def _cores() -> int:
    usable = len(os.sched_getaffinity(0))
    quota = _read(CGROUP / "cpu.max").split()
    if len(quota) == 2 and quota[0].isdecimal():
        return max(1, min(usable, round(int(quota[0]) / int(quota[1]))))
    return usable


def _container_memory_limit() -> int | None:
    limit = _read(CGROUP / "memory.max")
    return int(limit) if limit.isdecimal() else None


def _container_memory_used() -> int:
    """What the container uses, less the file cache, which gives way."""
    used = _read(CGROUP / "memory.current")
    statistics = dict(line.split() for line in _read(CGROUP / "memory.stat").splitlines())
    return int(used) - int(statistics.get("inactive_file", 0)) if used.isdecimal() else 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _existing(folder: Path) -> Path:
    """The folder, or its nearest parent that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder
