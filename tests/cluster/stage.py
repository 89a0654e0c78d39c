"""What tests of runs on the cluster share: a namespace with a volume, a place in it, and attempts on a tiny model."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from storage.files import ArtifactFiles
from tests.cluster.cluster import IMAGE, Cluster, pod_overlay
from tests.s3_server import S3Server
from tests.tiny_model import write_rows
from training.kubernetes import KubernetesRuns
from training.places import ClusterPlace
from training.runs import Attempt, AttemptId, AttemptStatus, BackendUnavailable, Preparing
from training.spec import TrainingSpec

PROJECT = Path(__file__).resolve().parents[2]
USER = 1000
DEADLINE_S = 240
ROWS = [(f"What is number {number}?", f"Number {number} is {number}, says Nova.") for number in range(24)]
CLAIM = "artifacts"
SHORT: dict[str, Any] = {
    "gpus_per_node": 0,
    "cpu": 1,
    "memory_gib": 2,
    "batch_size": 4,
    "gradient_accumulation": 1,
    "logging_steps": 1,
    "learning_rate": 5e-3,
    "save_steps": 10,
    "cutoff_length": 128,
}


def apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    """Create or change objects as the administrator."""
    file = cluster.dir / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename", file)


def make_namespace(cluster: Cluster, name: str, folder: Path) -> None:
    """A namespace whose claim ``artifacts`` is a folder of this machine."""
    size = {"storage": "10Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": size,
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": name, "name": CLAIM},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": name},
        "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": size}},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    apply(cluster, namespace)
    apply(cluster, volume, claim)
    # Two controllers bring them together, some time later.
    bound = "--for=jsonpath={.status.phase}=Bound"
    cluster.kubectl("wait", bound, f"pvc/{CLAIM}", f"--namespace={name}", "--timeout=60s")


def host_overlay() -> dict[str, Any]:
    """The machine's own Python with the training libraries, in place of the trainer's image."""
    host = pod_overlay(sys.executable, str(PROJECT), "/etc/ssl")
    container = {
        "name": "trainer",
        "volumeMounts": host["volumeMounts"],
        "env": [{"name": "PYTHONPATH", "value": str(PROJECT)}, {"name": "OMP_NUM_THREADS", "value": "1"}],
    }
    return {"spec": {"volumes": host["volumes"], "containers": [container]}}


class ClusterStage:
    """KubernetesRuns with its own label and folder, and a data set."""

    def __init__(self, place: ClusterPlace, volume: Path, base_model: Path, bucket: str | None = None) -> None:
        self.root = volume / place.claim_path
        self.place = place
        self.base_model = base_model
        data = self.root / "datasets" / "numbers"
        write_rows(data / "numbers.jsonl", ROWS)
        if bucket:
            ArtifactFiles(bucket).keep_folder(data, "datasets/numbers")
        self.backend = KubernetesRuns(place, bucket or self.root)

    def attempt(self, run_id: str, number: int = 1, *, is_long: bool = False, is_bad: bool = False) -> Attempt:
        # Answers lie behind the first 16 tokens of a row: all are cut away.
        return self.make(run_id, number, epochs=1000 if is_long else 2, cutoff_length=16 if is_bad else 128)

    def make(self, run_id: str, number: int = 1, **values: Any) -> Attempt:
        attempt = Attempt(
            id=AttemptId(run_id, number),
            spec=TrainingSpec(**{**SHORT, **values}),
            base_model=str(self.base_model),
            dataset="datasets/numbers",
            columns={},
            fills={},
            model=f"models/{run_id}",
            about={"experiment": "numbers", "task": run_id, "owner": "Ada Lovelace"},
        )
        self.prepare(attempt)
        return attempt

    def prepare(self, attempt: Attempt) -> None:
        """Have the base model copied, as the loops do by trying again."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with suppress(Preparing):
                self.backend.prepare(attempt)
                return
            time.sleep(0.05)
        raise AssertionError("the base model was not copied")

    def wait(self, attempt: AttemptId, condition: Callable[[AttemptStatus], bool]) -> AttemptStatus:
        deadline = time.monotonic() + DEADLINE_S
        while not condition(status := self.look()[attempt]):
            is_hopeless = status.state.is_final or time.monotonic() > deadline
            assert not is_hopeless, f"{status} after:\n{self.log(attempt)}"
            time.sleep(0.1)
        return status

    def look(self) -> Mapping[AttemptId, AttemptStatus]:
        return look(self.backend)

    def log(self, attempt: AttemptId) -> str:
        return "\n".join(self.backend.logs(attempt, last_lines=200))

    def close(self) -> None:
        with closing(self.backend):
            for attempt in self.look():
                self.backend.delete(attempt)


def look(backend: KubernetesRuns) -> Mapping[AttemptId, AttemptStatus]:
    """What is observed, as soon as the API server answers: a busy one breaks off a watch now and then."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return backend.observe()
        except BackendUnavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def place_for(kubeconfig: Path, namespace: str, instance: str, **more: Any) -> ClusterPlace:
    """A place whose pods run this machine's Python as an ordinary user."""
    given: dict[str, Any] = {
        "kubeconfig": kubeconfig,
        "namespace": namespace,
        "instance": instance,
        "image": IMAGE,
        "python": sys.executable,
        "claim": CLAIM,
        "claim_path": instance,
        "user_id": USER,
        "grace_s": 60,
        "pod_overlay": host_overlay(),
    }
    return ClusterPlace(**{**given, **more})


def in_bucket(cluster: Cluster, place: ClusterPlace, server: S3Server) -> ClusterPlace:
    """The place with its artifacts in a bucket, whose keys are in a Secret of the namespace."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket", "namespace": place.namespace}}
    apply(cluster, {**secret, "stringData": server.environment})
    return place.model_copy(update={"claim": None, "bucket_secret": "bucket"})


def make_owned(folder: Path) -> Path:
    """A folder that the pods' user may write to."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, USER, USER)
    return folder
