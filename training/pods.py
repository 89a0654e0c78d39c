"""What the pods of trainings and of model servers have in common, as plain data."""

import re
from typing import Any

from training.places import ClusterPlace, Json

MANAGER = "tunesmith"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
ARTIFACTS_PATH = "/artifacts"
WORK_PATH = "/work"

CONTAINER_SECURITY: Json = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def common_labels(place: ClusterPlace, component: str) -> dict[str, str]:
    """By which everything of one kind that this Tunesmith made there is found."""
    return {
        "app.kubernetes.io/managed-by": MANAGER,
        "app.kubernetes.io/instance": place.instance,
        "app.kubernetes.io/component": component,
    }


def label_value(text: str) -> str:
    """``text`` as a label's value: other characters become ``-``, at most 63."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")


def pod_security(place: ClusterPlace) -> Json:
    """Of a pod, as the restricted Pod Security Standard wants it."""
    return {
        "runAsNonRoot": True,
        "runAsUser": place.user_id,
        "runAsGroup": place.user_id,
        "fsGroup": place.user_id,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def scheduling(place: ClusterPlace, *, needs_card: bool, product: str | None = None) -> Json:
    """Which nodes may take a pod, and who goes first. ``product``: the kind of card; None: any of the place's."""
    wanted: Json = {}
    if place.priority_class:
        wanted["priorityClassName"] = place.priority_class
    if place.pull_secrets:
        wanted["imagePullSecrets"] = [{"name": name} for name in place.pull_secrets]
    if place.tolerations:
        wanted["tolerations"] = list(place.tolerations)
    products = [product] if product else list(place.cards.products)
    if needs_card and products:
        match = {"key": place.cards.product_label, "operator": "In", "values": products}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [match]}]}
        wanted["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    return wanted


def working_volumes(*, shared_memory_gib: int) -> list[Json]:
    """Room for a container's own files, and shared memory."""
    return [
        {"name": "work", "emptyDir": {}},
        # A pod has 64 MiB otherwise: too little for data loaders and for NCCL.
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shared_memory_gib}Gi"}},
    ]


def working_mounts() -> list[Json]:
    """Where the working volumes are seen."""
    return [{"name": "work", "mountPath": WORK_PATH}, {"name": "shared-memory", "mountPath": "/dev/shm"}]


def artifacts_volume(place: ClusterPlace) -> Json:
    """The volume with the artifact root."""
    claim: dict[str, Any] = {"claimName": place.claim}
    return {"name": "artifacts", "persistentVolumeClaim": claim}


def artifacts_mount(place: ClusterPlace, *, is_read_only: bool = False) -> Json:
    """Where the artifact root is seen."""
    below = {"subPath": place.claim_path} if place.claim_path else {}
    return {"name": "artifacts", "mountPath": ARTIFACTS_PATH, **below, **({"readOnly": True} if is_read_only else {})}


def bucket_keys(place: ClusterPlace) -> list[Json]:
    """``envFrom`` of a container that speaks to the bucket."""
    return [{"secretRef": {"name": place.bucket_secret}}] if place.bucket_secret else []
