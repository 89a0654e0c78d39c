"""Requests from a pod of somebody else in the cluster."""

import json
import shlex
from collections.abc import Mapping, Sequence

from tests.cluster.cluster import IMAGE, Cluster
from tests.cluster.stage import apply


def ask(url: str, *, key: str | None = None, body: Mapping[str, object] | None = None) -> str:
    """A command that prints the status of the answer: of a GET, or of a POST where there is a body."""
    words = ["wget", "-S", "-O", "/dev/null"]
    if key is not None:
        words += ["--header", f"Authorization: Bearer {key}"]
    if body is not None:
        words += ["--header", "Content-Type: application/json", "--post-data", json.dumps(body)]
    # The last status, as 100 Continue and the like come before it.
    return f"{shlex.join([*words, url])} 2>&1 | grep -o 'HTTP/1.1 [0-9]*' | tail -n 1 | grep . || echo 'no answer 0'"


def run_outside(cluster: Cluster, namespace: str, asks: Sequence[str]) -> list[int]:
    """The status of each of these requests; 0 where nothing answered."""
    container = {"name": "sh", "image": IMAGE, "command": ["sh", "-c", "; ".join(asks)]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "outside", "namespace": namespace},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    apply(cluster, pod)
    try:
        cluster.kubectl(
            "wait", "pod/outside", "-n", namespace, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s"
        )
        said = cluster.kubectl("logs", "outside", "-n", namespace).splitlines()
        return [int(line.split()[-1]) for line in said]
    finally:
        cluster.kubectl("delete", "pod", "outside", "-n", namespace, "--grace-period=0", "--force")
