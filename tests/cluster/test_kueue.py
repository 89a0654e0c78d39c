"""The real Kueue: who waits for what, and a run that has to give its place back goes on from its checkpoint."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.doctor_cluster import diagnose_place
from storage.states import RunState
from tests.cluster import charts, kueue
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.conftest import NAMESPACE
from tests.cluster.stage import ClusterStage, apply, make_owned, place_for
from tests.contracts.run_backend import Seen, has_ended
from training.places import Cards
from training.runs import AttemptStatus, Reason

QUEUE = "research"
API = "kueue.x-k8s.io/v1beta2"
QUOTA = [{"name": "cpu", "nominalQuota": 1}, {"name": "memory", "nominalQuota": "2Gi"}]


@pytest.fixture(scope="module")
def queue(cluster: Cluster, volume: Path) -> str:
    """A queue with room for one run; an urgent one pushes others out."""
    kueue.install(cluster)
    metadata = {"name": "any"}

    def is_taken() -> bool:
        apply(cluster, {"apiVersion": API, "kind": "ResourceFlavor", "metadata": metadata})
        return True

    # Its pod is ready a moment before the API server reaches the webhooks in it.
    wait_for("Kueue's webhooks", is_taken, 60)
    flavor = {"name": "any", "resources": QUOTA}
    group = {"coveredResources": ["cpu", "memory"], "flavors": [flavor]}
    preemption = {"withinClusterQueue": "LowerPriority"}
    all_queues = {"namespaceSelector": {}, "resourceGroups": [group], "preemption": preemption}
    apply(
        cluster,
        {"apiVersion": API, "kind": "ClusterQueue", "metadata": {"name": "all"}, "spec": all_queues},
        {
            "apiVersion": API,
            "kind": "LocalQueue",
            "metadata": {"name": QUEUE, "namespace": NAMESPACE},
            "spec": {"clusterQueue": "all"},
        },
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "urgent"},
            "value": 1000,
            "preemptionPolicy": "Never",
        },
    )
    for queue in ("clusterqueue/all", f"localqueue/{QUEUE}"):
        cluster.kubectl("wait", "--for=condition=Active", queue, f"--namespace={NAMESPACE}", "--timeout=60s")
    return QUEUE


@pytest.fixture(scope="module")
def reader(cluster: Cluster, account: Path) -> Path:
    """The chart's account of a place with a queue."""
    assert account.exists()
    return charts.install_account(cluster, NAMESPACE, training={"queue": QUEUE}, rbac={"proxyPods": True})


@pytest.fixture
def make_stage(
    reader: Path, volume: Path, tiny_model: Path, queue: str, request: pytest.FixtureRequest
) -> Iterator[Callable[..., ClusterStage]]:
    made: list[ClusterStage] = []

    def make(**more: Any) -> ClusterStage:
        instance = f"k{abs(hash(request.node.nodeid)) % 10**10}-{len(made)}"
        make_owned(volume / instance)
        stage = ClusterStage(place_for(reader, NAMESPACE, instance, queue=queue, **more), volume, tiny_model)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.close()


def is_held(status: AttemptStatus) -> bool:
    return status.state is RunState.SUSPENDED and status.waiting is not None and "quota" in status.waiting.words


def test_the_second_waits_for_the_first(make_stage: Callable[..., ClusterStage]) -> None:
    stage = make_stage()
    # The first is still there when the queue is asked about the second, which is done every five seconds.
    first, second = stage.make("first", epochs=60, save_steps=1000), stage.make("second")
    stage.backend.submit(first)
    stage.wait(first.id, lambda status: status.state is not RunState.SUSPENDED)
    stage.backend.submit(second)
    waiting = stage.wait(second.id, is_held).waiting
    assert waiting is not None
    assert (waiting.code, waiting.params) == ("queue", {"queue": QUEUE})
    assert stage.wait(first.id, has_ended).state is RunState.SUCCEEDED, stage.log(first.id)
    third = stage.make("third")
    stage.backend.submit(third)
    stage.backend.cancel(third.id)
    stopped = stage.wait(third.id, has_ended)
    assert (stopped.state, stopped.reason, stopped.has_model) == (RunState.CANCELLED, Reason.STOPPED, False)
    stage.backend.release(third.id)
    assert stage.wait(second.id, has_ended).state is RunState.SUCCEEDED, stage.log(second.id)


def test_one_that_is_pushed_out_goes_on_from_its_checkpoint(make_stage: Callable[..., ClusterStage]) -> None:
    patient, urgent = make_stage(), make_stage(priority_class="urgent")
    long, short = patient.make("long", epochs=60, save_steps=1000), urgent.make("short", epochs=1)
    patient.backend.submit(long)
    patient.wait(long.id, Seen(5))
    urgent.backend.submit(short)
    held = patient.wait(long.id, lambda status: status.state is RunState.SUSPENDED)
    assert held.progress.step >= 5
    assert urgent.wait(short.id, has_ended).state is RunState.SUCCEEDED, urgent.log(short.id)
    ended = patient.wait(long.id, has_ended)
    assert (ended.state, ended.has_model) == (RunState.SUCCEEDED, True), patient.log(long.id)
    log = "\n".join(patient.backend.logs(long.id, last_lines=10_000))
    assert "interrupted at step" in log
    assert "goes on from checkpoint-" in log
    assert [point.step for point in ended.progress.points] == list(range(1, ended.progress.steps + 1))


def test_the_doctor_looks_at_the_queue(cluster: Cluster, queue: str, reader: Path) -> None:
    place = place_for(reader, NAMESPACE, "doctor", queue=queue, pod_overlay={}, cards=Cards(per_node=0))
    idle = {"metadata": {"name": "idle", "namespace": NAMESPACE}, "spec": {"clusterQueue": "nowhere"}}
    apply(cluster, {"apiVersion": API, "kind": "LocalQueue", **idle})
    inactive = "--for=condition=Active=false"
    cluster.kubectl("wait", inactive, "localqueue/idle", f"--namespace={NAMESPACE}", "--timeout=30s")
    wanted = {queue: ("ok", "ok"), "nobodys": ("bad", "missing"), "idle": ("bad", "inactive")}
    for name, ending in wanted.items():
        findings = diagnose_place(place.model_copy(update={"queue": name}), is_bucket=False)
        found = {finding.name: (finding.state, finding.code) for finding in findings}
        assert (found["rights"], found["job"], found["queue"]) == (("ok", "ok"), ("ok", "ok"), ending)

    charts.make_namespace(cluster, "queueless")
    blind = place.model_copy(
        update={"kubeconfig": charts.install_account(cluster, "queueless"), "namespace": "queueless"}
    )
    found = {finding.name: (finding.state, finding.code) for finding in diagnose_place(blind, is_bucket=False)}
    assert (found["rights"], found["queue"]) == (("bad", "bad"), ("ok", "unseen"))
