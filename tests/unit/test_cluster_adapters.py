"""What is known of the adapters of a host in a cluster, while several threads load, unload and look at once."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.one_pod import Stage, one_pod


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with one_pod(tmp_path, tmp_path) as stage:
        yield stage


def test_adapters_that_are_loaded_at_once_are_all_known(stage: Stage) -> None:
    adapters = [stage.adapter(name) for name in ("a", "b", "c")]
    assert stage.known() == frozenset()
    stage.vllm.meeting = threading.Barrier(len(adapters))
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda adapter: stage.server.load("h1", adapter), adapters))
    assert stage.known() == stage.vllm.loaded == {"a", "b", "c"}


def test_what_is_unloaded_beside_what_is_loaded_is_gone(stage: Stage) -> None:
    stage.server.load("h1", stage.adapter("old"))
    new = stage.adapter("new")
    stage.vllm.meeting = threading.Barrier(2)
    with ThreadPoolExecutor() as threads:
        unloading = threads.submit(stage.server.unload, "h1", "old")
        threads.submit(stage.server.load, "h1", new).result()
        unloading.result()
    assert stage.known() == stage.vllm.loaded == {"new"}


def test_an_answer_from_before_an_adapter_was_loaded_does_not_hide_it(stage: Stage) -> None:
    adapter = stage.adapter("a")
    stage.vllm.late = late = threading.Event()
    with ThreadPoolExecutor() as threads:
        looking = threads.submit(stage.known)
        while stage.vllm.late is not None:
            time.sleep(0.01)
        stage.server.load("h1", adapter)
        late.set()
        assert looking.result() == {"a"}
    assert stage.known() == {"a"}


def test_a_replica_of_an_older_template_is_told_from_one_that_stays(stage: Stage) -> None:
    (replica,) = stage.server.observe()["h1"].replicas
    assert replica.template
    assert replica.is_current
    stage.server.start(replace(stage.spec, arguments=("--enforce-eager",)))
    assert stage.server.observe()["h1"].replicas == (replace(replica, is_current=False),)
