"""What a replica gets by the size of its model."""

from itertools import pairwise

import pytest

from serving.sizing import Size, defaults
from serving.vllm_command import Build

SMALL, ONE_B, EIGHT_B, SEVENTY_B = 269_000_000, 2_500_000_000, 16_100_000_000, 141_000_000_000


@pytest.mark.parametrize(
    ("weights_bytes", "gpus", "size"),
    [
        (SMALL, 0, Size(cpu=2, memory_gib=5, shared_memory_gib=1, start_s=605)),
        (ONE_B, 0, Size(cpu=4, memory_gib=11, shared_memory_gib=1, start_s=650)),
        (EIGHT_B, 0, Size(cpu=16, memory_gib=42, shared_memory_gib=1, start_s=922)),
        (0, 0, Size(cpu=4, memory_gib=8, shared_memory_gib=1, start_s=600)),
    ],
)
def test_on_a_cpu(weights_bytes: int, gpus: int, size: Size) -> None:
    assert defaults(weights_bytes, build=Build.CPU, gpus=gpus) == size


@pytest.mark.parametrize(
    ("weights_bytes", "gpus", "size"),
    [
        (SMALL, 1, Size(cpu=6, memory_gib=16, shared_memory_gib=1, start_s=605)),
        (ONE_B, 1, Size(cpu=6, memory_gib=16, shared_memory_gib=1, start_s=650)),
        (EIGHT_B, 1, Size(cpu=16, memory_gib=28, shared_memory_gib=1, start_s=922)),
        (SEVENTY_B, 4, Size(cpu=16, memory_gib=156, shared_memory_gib=8, start_s=3420)),
        (SEVENTY_B, 8, Size(cpu=20, memory_gib=172, shared_memory_gib=16, start_s=3420)),
        (0, 1, Size(cpu=16, memory_gib=32, shared_memory_gib=1, start_s=600)),
    ],
)
def test_beside_gpus(weights_bytes: int, gpus: int, size: Size) -> None:
    assert defaults(weights_bytes, build=Build.CUDA, gpus=gpus) == size


@pytest.mark.parametrize("build", Build)
def test_a_larger_model_never_gets_less(build: Build) -> None:
    sizes = [defaults(2**power, build=build, gpus=1) for power in range(20, 42)]
    for smaller, larger in pairwise(sizes):
        assert smaller.cpu <= larger.cpu
        assert smaller.memory_gib <= larger.memory_gib
        assert smaller.start_s <= larger.start_s


def test_ranks_adapters_and_a_known_cache_count_on_a_cpu() -> None:
    assert defaults(ONE_B, build=Build.CPU, max_loras=64).memory_gib == 15
    assert defaults(ONE_B, build=Build.CPU, max_loras=4).memory_gib == 10
    assert defaults(ONE_B, build=Build.CPU, max_lora_rank=64).memory_gib == 15
    assert defaults(ONE_B, build=Build.CPU, cache_bytes=4 * 2**30).memory_gib == 14
