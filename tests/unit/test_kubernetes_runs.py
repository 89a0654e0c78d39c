"""Runs as Jobs, where a real cluster is hard to bring to it: refusals, broken requests, what others do to a Job."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.api_server import place_of
from tests.kept_objects import KeptObjects, Refusal, handler_of
from training.kubernetes import MOST_ENDS_A_LOOK, KubernetesRuns
from training.manifest import example_attempt, job, job_name
from training.runs import Attempt, AttemptId, BackendUnavailable, NoCapacity, Reason, Refused
from training.spec import TrainingSpec

PATIENCE_S = 30
SPEC = TrainingSpec(gpus_per_node=0)
PODS = "/api/v1/namespaces/default/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
SERVICES = "/api/v1/namespaces/default/services"
SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
QUOTA = Refusal(403, "Forbidden", 'jobs.batch "a" is forbidden: exceeded quota: objects')
POLICY = Refusal(403, "Forbidden", 'admission webhook "policy" denied the request')
AWAY = Refusal(503, "ServiceUnavailable", "etcd leader changed")
CROSSED = Refusal(409, "Conflict", 'Operation cannot be fulfilled on quotas "all": the object has been modified')


@pytest.fixture
def cluster() -> KeptObjects:
    return KeptObjects()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def runs(cluster: KeptObjects, root: Path, tmp_path: Path) -> Iterator[KubernetesRuns]:
    with place_of(handler_of(cluster), tmp_path) as place:
        own = place.model_copy(update={"user_id": os.getuid() or place.user_id, "queue": "research"})
        try:
            with closing(KubernetesRuns(own, root)) as backend:
                yield backend
        finally:
            cluster.close()


@pytest.fixture
def attempt() -> Attempt:
    return example_attempt(SPEC, name="one")


def path_of(attempt: Attempt) -> str:
    return f"{JOBS}/{job_name(attempt.id)}"


def add_pod(cluster: KeptObjects, attempt: Attempt, **status: object) -> str:
    """As the Job's controller and a node do."""
    labels = cluster.objects[path_of(attempt)]["spec"]["template"]["metadata"]["labels"]
    path = f"{PODS}/{job_name(attempt.id)}-0-x"
    cluster.put(path, {"metadata": {"name": path.rsplit("/")[-1], "labels": labels}, "status": status}, "ADDED")
    return path


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("refusal", [QUOTA, POLICY])
def test_what_is_there_already_is_not_made_again_nor_taken_back(
    cluster: KeptObjects, runs: KubernetesRuns, attempt: Attempt, refusal: Refusal
) -> None:
    runs.submit(attempt)
    made = dict(cluster.objects)
    cluster.refusals = {("POST", "jobs"): refusal, ("POST", "services"): refusal}
    runs.submit(attempt)
    assert cluster.objects == made
    assert set(runs.observe()) == {attempt.id}


@pytest.mark.parametrize(("refusal", "error"), [(QUOTA, NoCapacity), (POLICY, Refused)])
@pytest.mark.parametrize("plural", ["jobs", "services"])
def test_a_refusal_leaves_nothing_half(
    cluster: KeptObjects, runs: KubernetesRuns, attempt: Attempt, plural: str, refusal: Refusal, error: type[Exception]
) -> None:
    cluster.refusals["POST", plural] = refusal
    with pytest.raises(error):
        runs.submit(attempt)
    assert cluster.objects == {}
    assert runs.observe() == {}


def test_a_job_that_was_there_is_not_taken_back_with_its_service(
    cluster: KeptObjects, runs: KubernetesRuns, attempt: Attempt
) -> None:
    runs.submit(attempt)
    cluster.remove(f"{SERVICES}/{job_name(attempt.id)}")
    cluster.refusals["POST", "services"] = QUOTA
    with pytest.raises(NoCapacity):
        runs.submit(attempt)
    assert set(cluster.objects) == {path_of(attempt)}


@pytest.mark.parametrize("plural", ["jobs", "services"])
def test_a_quota_that_was_counted_twice_at_once_is_tried_again(
    cluster: KeptObjects, runs: KubernetesRuns, attempt: Attempt, plural: str
) -> None:
    cluster.refusals["POST", plural] = CROSSED
    with pytest.raises(BackendUnavailable, match="has been modified"):
        runs.submit(attempt)
    del cluster.refusals["POST", plural]
    runs.submit(attempt)
    assert set(cluster.named("jobs")) == set(cluster.named("services")) == {job_name(attempt.id)}


def test_a_root_that_cannot_be_read_is_away(runs: KubernetesRuns, attempt: Attempt, root: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (root / "bases").write_text("no folder")
    with pytest.raises(BackendUnavailable):
        runs.submit(replace(attempt, base_model=str(tmp_path / "tiny")))


def test_a_stop_is_kept_by_a_job_that_its_queue_may_let_go(
    cluster: KeptObjects, runs: KubernetesRuns, attempt: Attempt
) -> None:
    runs.submit(attempt)
    assert cluster.objects[path_of(attempt)]["spec"]["suspend"] is True
    runs.cancel(attempt.id)
    assert cluster.objects[path_of(attempt)]["spec"]["activeDeadlineSeconds"] == 1


def test_pods_that_outlive_their_job_go_before_the_next_attempt(
    cluster: KeptObjects, runs: KubernetesRuns, attempt: Attempt
) -> None:
    runs.submit(attempt)
    pod = add_pod(cluster, attempt)
    until(lambda: bool(runs._pods.objects()))
    cluster.refusals["DELETE", "pods"] = AWAY
    with pytest.raises(BackendUnavailable):
        runs.release(attempt.id)
    assert path_of(attempt) not in cluster.objects
    following = replace(attempt, id=attempt.id._replace(number=2))
    with pytest.raises(BackendUnavailable):
        runs.submit(following)
    assert path_of(following) not in cluster.objects
    cluster.refusals.clear()
    runs.submit(following)
    assert pod not in cluster.objects
    assert path_of(following) in cluster.objects


def test_an_image_may_fail_to_come_for_a_while_however_long_it_has_taken(
    cluster: KeptObjects, runs: KubernetesRuns, attempt: Attempt
) -> None:
    runs.place = runs.place.model_copy(update={"queue": None, "image_minutes": 0.001})
    runs.submit(attempt)
    container = {"image": "trainer:1", "state": {"waiting": {"reason": "ErrImagePull", "message": "broken off"}}}
    add_pod(cluster, attempt, phase="Pending", conditions=[SCHEDULED], containerStatuses=[container])
    until(lambda: bool(runs._pods.objects()))
    waiting = runs.observe()[attempt.id].waiting
    assert waiting is not None
    assert (waiting.code, waiting.words) == ("image", "broken off")
    until(lambda: runs.observe()[attempt.id].reason is Reason.NO_IMAGE)


def test_what_a_node_says_of_a_pod_that_it_cannot_make_is_told(
    cluster: KeptObjects, runs: KubernetesRuns, attempt: Attempt
) -> None:
    runs.place = runs.place.model_copy(update={"queue": None, "pending_minutes": 10**9})
    runs.submit(attempt)
    pod = cluster.objects[add_pod(cluster, attempt, phase="Pending", conditions=[SCHEDULED])]
    event = {
        "metadata": {"name": "one"},
        "involvedObject": {"kind": "Pod", "uid": pod["metadata"]["uid"]},
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed:\nsecret "keys" not found',
        "lastTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    cluster.put("/api/v1/namespaces/default/events/one", event)
    until(lambda: bool(runs._pods.objects()))
    waiting = runs.observe()[attempt.id].waiting
    assert waiting is not None
    assert (waiting.code, waiting.words) == ("pods", 'MountVolume.SetUp failed: secret "keys" not found')
    runs.observe()
    assert sum("/events" in asked for asked in cluster.asked) == 1


def test_the_ends_of_a_week_are_read_in_several_looks(cluster: KeptObjects, runs: KubernetesRuns) -> None:
    ids = [AttemptId(f"run-{number}", 1) for number in range(MOST_ENDS_A_LOOK + 5)]
    for second, id_ in enumerate(ids):
        ended = job(replace(example_attempt(SPEC), id=id_), runs.place, bucket=None)
        ended["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{second:02}Z"
        ended["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        cluster.put(f"{JOBS}/{job_name(id_)}", ended, "ADDED")
    until(lambda: len(runs._jobs.objects()) == len(ids))
    first = runs.observe()
    assert set(first) == set(ids)
    assert [id_ for id_ in ids if first[id_].state.is_final] == ids[5:]
    assert all(status.state.is_final for status in runs.observe().values())
