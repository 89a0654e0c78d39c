"""What goes wrong on a cluster, made to go wrong on a real one."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from storage.models import Attempt
from storage.runs import points_of
from storage.states import RunState
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import NAMESPACE
from tests.cluster.house import PLAN, data, house_with, is_over, newest_run, wait_for
from tests.cluster.stage import DEADLINE_S, ClusterStage, apply, make_owned, place_for
from tests.contracts.run_backend import Seen, has_ended
from tests.harness import Harness
from tests.living import until
from training.kubernetes import KubernetesRuns
from training.manifest import job_name
from training.places import Cards
from training.runs import AttemptId, AttemptStatus, BackendUnavailable, NoCapacity, Reason, Refused
from training.trainer.exits import Exit

Make = Callable[..., ClusterStage]


@pytest.fixture
def make_stage(account: Path, volume: Path, tiny_model: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Stages with another place: overlays, limits, patience."""
    made: list[ClusterStage] = []

    def make(**place: Any) -> ClusterStage:
        instance = f"f{abs(hash(request.node.nodeid)) % 10**10}-{len(made)}"
        make_owned(volume / instance)
        given = place_for(account, NAMESPACE, instance)
        overlay = {**given.pod_overlay, **place.pop("overlay", {})}
        stage = ClusterStage(given.model_copy(update={**place, "pod_overlay": overlay}), volume, tiny_model)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.close()


def playing(stage: ClusterStage, *words: str) -> ClusterStage:
    """The same stage with ``words`` as the pods' command: what is told apart is how the cluster sees them end."""
    overlay = json.loads(json.dumps(stage.place.pod_overlay))
    overlay["spec"]["containers"][0]["command"] = list(words)
    place = stage.place.model_copy(update={"pod_overlay": overlay})
    stage.place = place
    stage.backend.place = place
    return stage


def pods_of(cluster: Cluster, attempt: AttemptId) -> list[dict[str, Any]]:
    listed = cluster.kubectl("get", "pods", "-n", NAMESPACE, "-l", f"job-name={job_name(attempt)}", "-o", "json")
    items: list[dict[str, Any]] = json.loads(listed)["items"]
    return items


def is_available(backend: KubernetesRuns) -> bool:
    try:
        backend.observe()
    except BackendUnavailable:
        return False
    return True


def waits_for(code: str) -> Callable[[AttemptStatus], bool]:
    return lambda status: status.waiting is not None and status.waiting.code == code


ENDINGS: dict[int, tuple[RunState, Reason]] = {
    137: (RunState.FAILED, Reason.NODE_LOST),
    143: (RunState.FAILED, Reason.NODE_LOST),
    99: (RunState.FAILED, Reason.BUG),
    0: (RunState.FAILED, Reason.BUG),
    **{
        int(exit_): (RunState.FAILED, exit_.reason)
        for exit_ in Exit
        if exit_.reason and exit_ not in (Exit.STOPPED, Exit.LOST_PEER, Exit.KILLED, Exit.INTERRUPTED)
    },
    int(Exit.LOST_PEER): (RunState.FAILED, Reason.NODE_LOST),
}
"""Exit code of a pod that left no word -> what is made of it."""


def test_every_exit_code_of_a_pod_that_leaves_no_word(make_stage: Make) -> None:
    stage = make_stage()
    for code in ENDINGS:
        playing(stage, "sh", "-c", f"exit {code}")
        stage.backend.submit(stage.make(f"code-{code}"))
    for code, ending in ENDINGS.items():
        status = stage.wait(AttemptId(f"code-{code}", 1), has_ended)
        assert (status.state, status.reason) == ending, (code, status)


def test_an_image_that_is_nowhere(make_stage: Make) -> None:
    stage = make_stage(image="localhost/nowhere:7")
    attempt = stage.make("image")
    stage.backend.submit(attempt)
    waiting = stage.wait(attempt.id, waits_for("image")).waiting
    assert waiting is not None
    assert waiting.params == {"image": "localhost/nowhere:7"}
    stage.backend.place = stage.place.model_copy(update={"image_minutes": 0.01})
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.reason) == (RunState.FAILED, Reason.NO_IMAGE)
    assert "localhost/nowhere:7" in (status.detail or "")
    stage.backend.release(attempt.id)


def test_no_place_in_the_cluster_waits_and_then_fails(make_stage: Make) -> None:
    stage = make_stage()
    attempt = stage.make("crowded", gpus_per_node=2)
    stage.backend.submit(attempt)
    waiting = stage.wait(attempt.id, waits_for("place_gpu")).waiting
    assert waiting is not None
    assert waiting.params == {"free": 0, "nodes": 2}
    assert "Insufficient nvidia.com/gpu" in waiting.words
    stage.backend.place = stage.place.model_copy(update={"pending_minutes": 0.01})
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.reason) == (RunState.FAILED, Reason.UNSCHEDULABLE)
    stage.backend.release(attempt.id)
    assert stage.look() == {}


def test_a_deadline(make_stage: Make) -> None:
    stage = make_stage(deadline_hours=12 / 3600)
    attempt = stage.make("slow", epochs=1000)
    stage.backend.submit(attempt)
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.reason) == (RunState.FAILED, Reason.DEADLINE)


def test_out_of_memory(make_stage: Make) -> None:
    eater = "x = []\nwhile True: x.append(bytearray(50_000_000))"
    stage = make_stage()
    playing(stage, stage.place.python, "-c", eater)
    attempt = stage.make("hungry", memory_gib=1)
    stage.backend.submit(attempt)
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.reason) == (RunState.FAILED, Reason.OUT_OF_MEMORY)
    assert "memory" in (status.detail or "")


@contextmanager
def quota_of_none(cluster: Cluster, counted: str) -> Iterator[None]:
    """A quota with nothing left, once it is counted: until then the cluster refuses in other words."""
    metadata = {"name": "none", "namespace": NAMESPACE}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {counted: "0"}}}
    apply(cluster, quota)
    try:
        is_counted = f"--for=jsonpath={{.status.hard.{counted.replace('.', chr(92) + '.')}}}=0"
        cluster.kubectl("wait", is_counted, "resourcequota/none", "-n", NAMESPACE, "--timeout=30s")
        yield
    finally:
        cluster.kubectl("delete", "resourcequota", "none", "-n", NAMESPACE)


def test_a_quota_makes_it_wait_and_a_policy_refuses_it(make_stage: Make, cluster: Cluster) -> None:
    stage = make_stage()
    with quota_of_none(cluster, "requests.cpu"):
        attempt = stage.make("poor")
        stage.backend.submit(attempt)
        waiting = stage.wait(attempt.id, waits_for("quota")).waiting
        assert waiting is not None
        assert "exceeded quota" in waiting.words
    strict = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", NAMESPACE, strict)
    try:
        # The tests' own overlay mounts the machine's Python, which this policy forbids.
        refused = stage.make("forbidden")
        stage.backend.submit(refused)
        status = stage.wait(refused.id, has_ended)
        assert (status.state, status.reason) == (RunState.FAILED, Reason.REFUSED)
        assert "hostPath" in (status.detail or "")
    finally:
        cluster.kubectl("label", "namespace", NAMESPACE, f"{strict.split('=')[0]}-")


@contextmanager
def controller_without_rights(cluster: Cluster) -> Iterator[None]:
    """As in the first seconds of an API server: it does not know yet that the controller of Jobs may make pods."""
    name = "system:controller:job-controller"
    role = json.loads(cluster.kubectl("get", "clusterrole", name, "-o", "json"))
    rules = [rule for rule in role["rules"] if "pods" not in rule["resources"]]
    assert len(rules) < len(role["rules"])
    role["metadata"] = {"name": name}
    apply(cluster, {**role, "rules": rules})
    try:
        yield
    finally:
        apply(cluster, role)


def test_an_error_of_the_clusters_own_is_no_refusal(make_stage: Make, cluster: Cluster) -> None:
    stage = make_stage()
    attempt = stage.make("early")
    with controller_without_rights(cluster):
        stage.backend.submit(attempt)
        waiting = stage.wait(attempt.id, lambda status: bool(status.waiting and status.waiting.words)).waiting
        assert waiting is not None
        assert (waiting.code, waiting.params) == ("pods", {"running": 0, "wanted": 1})
        assert 'cannot create resource "pods"' in waiting.words
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.has_model) == (RunState.SUCCEEDED, True), (status, stage.log(attempt.id))


@pytest.mark.parametrize("counted", ["count/jobs.batch", "count/services"])
def test_a_quota_of_objects_makes_it_wait_and_leaves_nothing_half(
    make_stage: Make, cluster: Cluster, counted: str
) -> None:
    stage = make_stage()
    attempt = stage.make("counted", epochs=1000)
    with quota_of_none(cluster, counted), pytest.raises(NoCapacity, match="exceeded quota"):
        stage.backend.submit(attempt)
    deadline = time.monotonic() + 20
    while stage.look():
        assert time.monotonic() < deadline, "the Job is taken back where its Service was refused"
        time.sleep(0.1)
    stage.backend.submit(attempt)
    assert set(stage.look()) == {attempt.id}


def test_what_the_server_does_not_take_is_refused_at_once(make_stage: Make) -> None:
    stage = make_stage(tolerations=({"operator": "Perhaps"},))
    with pytest.raises(Refused, match="toleration"):
        stage.backend.submit(stage.make("odd"))


def test_a_deleted_pod_interrupts_the_gang_which_goes_on_by_itself(make_stage: Make, cluster: Cluster) -> None:
    stage = make_stage()
    # Long enough for two words of kubectl, which a busy machine may take seconds to start.
    attempt = stage.make("deleted", nodes=2, epochs=160, save_steps=1000)
    stage.backend.submit(attempt)
    stage.wait(attempt.id, Seen(5))
    before = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in pods_of(cluster, attempt.id)}
    assert sorted(before.values()) == ["n1", "n2"]
    second = next(name for name in before if f"{job_name(attempt.id)}-1-" in name)
    cluster.kubectl("delete", "pod", second, "-n", NAMESPACE, "--wait=false")
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.has_model) == (RunState.SUCCEEDED, True), stage.log(attempt.id)
    log = "\n".join(stage.backend.logs(attempt.id, last_lines=10_000))
    assert "interrupted at step" in log
    assert "goes on from checkpoint-" in log
    steps = [point.step for point in status.progress.points]
    assert steps == list(range(1, status.progress.steps + 1))


def test_a_drained_node(make_stage: Make, cluster: Cluster) -> None:
    stage = make_stage()
    attempt = stage.make("drained", epochs=200, save_steps=1000)
    stage.backend.submit(attempt)
    stage.wait(attempt.id, Seen(3))
    (pod,) = pods_of(cluster, attempt.id)
    node = pod["spec"]["nodeName"]
    try:
        cluster.kubectl("drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=90s")
        status = stage.wait(attempt.id, has_ended)
        assert status.reason in (Reason.INTERRUPTED, Reason.NODE_LOST), (
            "by its own word, or by the pod that was evicted"
        )
        following = stage.make("drained", 2, epochs=200, save_steps=1000)
        stage.backend.submit(following)
        stage.wait(following.id, Seen(status.progress.step + 1))
        assert "goes on from checkpoint-" in "\n".join(stage.backend.logs(following.id, last_lines=10_000))
    finally:
        cluster.kubectl("uncordon", node)


def test_the_api_server_away_for_a_while(make_stage: Make, cluster: Cluster) -> None:
    stage = make_stage()
    attempt = stage.make("patient")
    stage.backend.submit(attempt)
    cluster.stop_api_server()
    try:
        deadline = time.monotonic() + 60
        while is_available(stage.backend):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with pytest.raises(BackendUnavailable):
            stage.backend.submit(stage.attempt("later"))
        with pytest.raises(BackendUnavailable):
            stage.backend.cancel(attempt.id)
    finally:
        cluster.start_api_server()
    deadline = time.monotonic() + 60
    while not is_available(stage.backend):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.has_model) == (RunState.SUCCEEDED, True), (status, stage.log(attempt.id))


async def attempts_of(house: Harness) -> dict[int, Attempt]:
    """Of the only run of a house, by number."""
    async with house.application.world.store.reading() as session:
        return {attempt.number: attempt for attempt in await session.scalars(select(Attempt))}


async def test_a_node_is_killed_and_the_run_finishes_by_itself(
    cluster: Cluster, account: Path, volume: Path, tiny_model: Path, tmp_path: Path
) -> None:
    root = make_owned(volume / "node")
    place = place_for(account, NAMESPACE, "node", cards=Cards(per_node=0))
    runs = KubernetesRuns(place, root)
    plan = PLAN.replace("epochs=2", "epochs=30 save_steps=5")
    async with house_with(tmp_path / "home", runs, place, tiny_model, str(root)) as house:
        await house.say(f"/finetune base_model=tiny preset=custom nodes=2 {plan} start", files=[data(tmp_path, "node")])
        await wait_for(house, lambda run: run.state is RunState.RUNNING)
        run = await newest_run(house)
        saved = root / "runs" / run.id / "checkpoints"
        await until(lambda: bool(list(saved.glob("*/complete.json"))), within_s=DEADLINE_S)
        await asyncio.to_thread(cluster.kill_node, 2)
        try:
            # It is back in the queue for a moment only: a look now and then may miss that.
            deadline = time.monotonic() + DEADLINE_S
            while len(await attempts_of(house)) < 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            await wait_for(house, lambda run: run.state is not RunState.QUEUED)
        finally:
            # Where one node alone has room for the gang, it need not wait for the other.
            await asyncio.to_thread(cluster.restart_node, 2)
        run = await wait_for(house, is_over)
        log = "\n".join(runs.logs(AttemptId(run.id, 2), last_lines=1000))
        assert run.state is RunState.SUCCEEDED, log
        assert "goes on from checkpoint-" in log
        attempts = await attempts_of(house)
        async with house.application.world.store.reading() as session:
            steps = [point.step for point in await points_of(session, run.id)]
        assert {number: attempt.reason for number, attempt in attempts.items()} == {1: Reason.NODE_LOST, 2: None}
        assert steps == list(range(1, len(steps) + 1))
        left = cluster.kubectl("get", "jobs", "-n", NAMESPACE, "-l", f"tunesmith/run={run.id}", "-o", "name")
        assert left.split() == [f"job.batch/{job_name(AttemptId(run.id, 2))}"]
    runs.close()
