"""What tests of model servers on the cluster share: a place whose pods run this machine's vLLM, or its stand-in."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from serving.kubernetes import KubernetesVllm
from serving.manifest import CONTAINER, GUARD_PATH, HOST_LABEL
from tests.cluster.cluster import IMAGE, Cluster, pod_overlay
from tests.cluster.stage import PROJECT, place_for
from tests.places import serving_python
from tests.vllm_stand_in import stand_in_python
from training.places import ClusterPlace, ServingPlace

SECRET = b"of the server under test"


def serving_overlay(python: str, *paths: str, has_pullers: bool = False) -> dict[str, Any]:
    """The machine's own Python in place of vLLM's image, and in place of the trainer's for what pulls from a bucket."""
    host = pod_overlay(python, str(PROJECT), "/etc/ssl", *paths)
    pullers = [
        {"name": name, "volumeMounts": host["volumeMounts"], "env": [{"name": "PYTHONPATH", "value": str(PROJECT)}]}
        for name in ("weights", "adapters")
    ]
    environment = [{"name": "PYTHONPATH", "value": f"{GUARD_PATH}:{PROJECT}"}]
    vllm = {"name": CONTAINER, "volumeMounts": host["volumeMounts"], "env": environment}
    pod = {"volumes": host["volumes"], "containers": [vllm]}
    return {"spec": {**pod, "initContainers": pullers} if has_pullers else pod}


def stand_in_place(
    kubeconfig: Path, namespace: str, instance: str, folder: Path, *, has_pullers: bool = False, **more: Any
) -> ClusterPlace:
    """A place whose pods answer as vLLM does, a second after they start; ``folder``: of this machine, for a script.

    They speak so slowly that an answer is still under way when somebody looks.
    """
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    python = stand_in_python(folder / "bin", between_tokens_s=0.1)
    overlay = serving_overlay(sys.executable, str(folder), has_pullers=has_pullers)
    serving = ServingPlace(image=IMAGE, build="cpu", python=str(python), pod_overlay=overlay)
    return place_for(kubeconfig, namespace, instance, serving=serving, **more)


def vllm_place(kubeconfig: Path, namespace: str, instance: str, **more: Any) -> ClusterPlace:
    """A place whose pods run the real vLLM."""
    python = str(serving_python())
    serving = ServingPlace(image=IMAGE, build="cpu", python=python, pod_overlay=serving_overlay(python))
    return place_for(kubeconfig, namespace, instance, serving=serving, **more)


def pods_of(cluster: Cluster, namespace: str, host: str) -> list[str]:
    listed = cluster.kubectl("get", "pods", "-n", namespace, "-l", f"{HOST_LABEL}={host}", "-o", "name")
    return listed.split()


def kill_vllm(server: KubernetesVllm, host: str) -> None:
    """As a kill -9 of all of a host's vLLM processes, from outside of its pods."""
    uids = {pod["metadata"]["uid"] for pod in server.pods_of(host)}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if any(uid in _cgroup(process.pid) for uid in uids) and "python" in process.name():
                process.kill()


def _cgroup(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""
