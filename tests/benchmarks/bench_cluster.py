"""What runs cost a cluster: requests to the API server, *Start* to the first pod, a run there and here.

Run as root, as ``python -m tests.benchmarks.bench_cluster``, on a test cluster that it starts and ends. The many runs
are simulated as Jobs that are suspended: for the API server and for us they are Jobs like others.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from storage.states import RunState
from tests.cluster.cluster import Cluster
from tests.cluster.stage import ROWS, ClusterStage, apply, make_namespace, make_owned, place_for
from tests.tiny_model import make_tiny_model
from training.local import LocalRuns
from training.manifest import job
from training.places import ClusterPlace
from training.runs import Attempt, AttemptId, AttemptStatus, RunBackend
from training.trainer.request import base_model_folder

NAMESPACE = "bench"
LOOKED_AT_S = 60
PLAN = {"epochs": 10, "save_steps": 1000}

Figure = dict[str, str | float]


def measure(folder: Path, cluster: Cluster) -> Iterator[Figure]:
    """All figures, from the cheapest to the dearest."""
    volume = make_owned(folder / "volume")
    make_namespace(cluster, NAMESPACE, volume)
    base = make_tiny_model(folder / "base", texts=[text for row in ROWS for text in row])
    with staged(cluster, volume, base, "real") as stage:
        yield from start_to_end(stage)
    for count in (10, 1000):
        with staged(cluster, volume, base, f"many-{count}") as stage:
            yield from requests(cluster, stage, count)


@contextmanager
def staged(cluster: Cluster, volume: Path, base: Path, instance: str) -> Iterator[ClusterStage]:
    """A backend of its own, closed at the end."""
    make_owned(volume / instance)
    stage = ClusterStage(place_for(cluster.kubeconfig, NAMESPACE, instance), volume, base)
    with closing(stage.backend):
        yield stage


def requests(cluster: Cluster, stage: ClusterStage, count: int) -> Iterator[Figure]:
    """Requests a minute while ``count`` runs are looked at once a second."""
    some = stage.make("one")
    apply(cluster, *(suspended(some, stage.place, number) for number in range(count)))
    deadline = time.monotonic() + LOOKED_AT_S
    while len(stage.backend.observe()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    before, spent = stage.backend.cluster.requests, 0.0
    for _ in range(LOOKED_AT_S):
        begin = time.perf_counter()
        stage.backend.observe()
        spent += time.perf_counter() - begin
        time.sleep(max(0, 1 - (time.perf_counter() - begin)))
    made = stage.backend.cluster.requests - before
    yield {"name": f"requests a minute, {count} runs", "value": made}
    yield {"name": f"one look at {count} runs, ms", "value": round(1000 * spent / LOOKED_AT_S, 1)}
    cluster.kubectl(
        "delete", "jobs", "-n", NAMESPACE, "-l", f"app.kubernetes.io/instance={stage.place.instance}", "--wait=false"
    )


def suspended(attempt: Attempt, place: ClusterPlace, number: int) -> dict[str, object]:
    """A Job of ours that no pod is made for."""
    own = Attempt(**{**attempt.__dict__, "id": AttemptId(f"simulated-{number}", 1)})
    body = job(own, place, bucket=None)
    body["metadata"]["namespace"] = NAMESPACE
    body["spec"]["suspend"] = True
    return body


def start_to_end(stage: ClusterStage) -> Iterator[Figure]:
    """The same short run in a pod and here: what the pod adds."""
    attempt = stage.make("timed", **PLAN)
    begin = time.perf_counter()
    stage.backend.submit(attempt)
    follow(stage.backend, attempt.id, lambda status: status.waiting is not None and status.waiting.code == "loading")
    yield {"name": "start to first pod, s", "value": round(time.perf_counter() - begin, 2)}
    follow(stage.backend, attempt.id, lambda status: status.state is RunState.SUCCEEDED)
    there = time.perf_counter() - begin
    here = time_here(stage, stage.backend.prepare(attempt))
    yield {"name": "a short run in a pod, s", "value": round(there, 1)}
    yield {"name": "the same run here, s", "value": round(here, 1)}
    yield {"name": "in a pod : here", "value": round(there / here, 2)}


def time_here(stage: ClusterStage, attempt: Attempt) -> float:
    """Seconds of the attempt as a local run."""
    base = base_model_folder(stage.root, attempt)
    local = Attempt(**{**attempt.__dict__, "id": AttemptId("here", 1), "base_model": str(base), "model": "models/here"})
    backend = LocalRuns(stage.root, Path(sys.executable), threads=1)
    begin = time.perf_counter()
    backend.submit(local)
    follow(backend, local.id, lambda status: status.state is RunState.SUCCEEDED)
    return time.perf_counter() - begin


def follow(backend: RunBackend, attempt: AttemptId, holds: Callable[[AttemptStatus], bool]) -> None:
    """Look until it holds, or the attempt has ended otherwise."""
    while not holds(status := backend.observe()[attempt]):
        assert status.state not in (RunState.FAILED, RunState.CANCELLED), status
        time.sleep(0.05)


def main() -> None:
    """Print a JSON line a figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = Cluster(folder / "cluster")
        try:
            cluster.up()
            for figure in measure(folder, cluster):
                sys.stdout.write(json.dumps(figure) + "\n")
                sys.stdout.flush()
        finally:
            cluster.down()


if __name__ == "__main__":
    main()
