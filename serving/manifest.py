"""A host -> the Kubernetes objects that run its vLLM, as plain data. Nothing is sent from here.

A Deployment owns the rest: a Secret with the host's key, a ConfigMap with the guard that asks for it
(:mod:`serving.guard`), a Service, and a NetworkPolicy. Deleting the Deployment deletes all.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from serving import guard, puller
from serving.services import HostSpec
from serving.sizing import Size, defaults
from serving.vllm_command import Build, Resources, command, fixed_environment, kv_cache_bytes
from training.overlay import merge
from training.places import ClusterPlace, Json, ServingPlace
from training.pods import (
    ARTIFACTS_PATH,
    CONTAINER_SECURITY,
    MANAGER,
    QUEUE_LABEL,
    WORK_PATH,
    artifacts_mount,
    artifacts_volume,
    bucket_keys,
    common_labels,
    label_value,
    pod_security,
    scheduling,
    working_mounts,
    working_volumes,
)

COMPONENT = "serving"
CONTAINER = "vllm"
HOST_LABEL = "tunesmith/host"
SPEC_LABEL = "tunesmith/spec"
"""Of a pod: a digest of the template that it was made from."""
NAME_ANNOTATION = "tunesmith/served-name"
"""Of a Deployment: the name by which requests ask for the base model."""
PORT = 8000
WEIGHTS_PATH = "/weights"
ADAPTERS_PATH = "/adapters"
GUARD_PATH = "/tunesmith"
KEY_ENTRY = "key"
WEIGHTS = "weights"
"""The init container that fetches the base model from a bucket."""
PROBE_S = 5
GRACE_S = 30


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a host's pods find what they serve."""

    artifact: str
    """Of the base model, below the artifact root."""
    bucket: str | None = None
    """The artifact root's URL; none: it is a folder, on the place's volume claim."""

    @property
    def model(self) -> str:
        """The base model's folder in a pod."""
        return f"{WEIGHTS_PATH}/{_last(self.artifact)}" if self.bucket else f"{ARTIFACTS_PATH}/{self.artifact}"

    def adapter(self, artifact: str) -> str:
        """An adapter's folder in a pod."""
        return f"{ADAPTERS_PATH}/{_last(artifact)}" if self.bucket else f"{ARTIFACTS_PATH}/{artifact}"


def object_name(host_id: str) -> str:
    """The one name of a host's objects."""
    return f"{MANAGER}-host-{host_id}"


def secret_name(host_id: str, key: str) -> str:
    """Of the Secret with a host's key: another key is another Secret, which nobody has to read or change."""
    return f"{object_name(host_id)}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def host_of(labels: Mapping[str, str]) -> str:
    """The host that an object of ours belongs to."""
    return labels[HOST_LABEL]


def selector(place: ClusterPlace) -> str:
    """The label selector of everything that this Tunesmith serves with there."""
    return ",".join(f"{name}={value}" for name, value in common_labels(place, COMPONENT).items())


def fitting_size(host: HostSpec, place: ClusterPlace) -> Size:
    """What suits a host in a place, where it does not say."""
    return defaults(
        host.weights_bytes,
        build=Build(serving_of(place).build),
        gpus=host.gpus,
        max_lora_rank=host.max_lora_rank,
        max_loras=host.max_loras,
        cache_bytes=kv_cache_bytes(host, Resources.kv_cache_bytes),
    )


def deployment(host: HostSpec, place: ClusterPlace, sources: Sources, *, size: Size, key: str) -> Json:
    """The Deployment. ``size``: what it computes with where ``host`` does not say; ``key``: the host's own."""
    queue = {QUEUE_LABEL: host.queue} if host.queue else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(host, place, **queue),
        "spec": {
            "replicas": host.instances,
            # Cards are scarce: the old replica goes before the new one comes, one at a time.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "progressDeadlineSeconds": round(size.start_s) + 600,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": _selection(host, place)},
            "template": _template(host, place, sources, size, secret=secret_name(host.id, key)),
        },
    }


def owned(host: HostSpec, place: ClusterPlace, sources: Sources, *, owner: Json, key: str) -> dict[str, Json]:
    """What belongs to a Deployment, by plural (those of ``GROUPS``); ``key``: the host's own."""
    reference = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    metadata = {**_metadata(host, place), "ownerReferences": [reference]}
    return {
        "secrets": {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**metadata, "name": secret_name(host.id, key)},
            "immutable": True,
            "stringData": {KEY_ENTRY: key},
        },
        "configmaps": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {f"{guard.MODULE}.py": guard.source()},
        },
        "services": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": _selection(host, place), "ports": [{"name": "http", "port": PORT}]},
        },
        "networkpolicies": {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": _network(host, place, sources),
        },
    }


GROUPS: Mapping[str, str] = {
    "secrets": "v1",
    "configmaps": "v1",
    "services": "v1",
    "networkpolicies": "networking.k8s.io/v1",
}
"""Of what a Deployment owns: plural -> API group and version."""


def serving_of(place: ClusterPlace) -> ServingPlace:
    """How models are served in a place. ValueError where they are not."""
    if place.serving is None:
        raise ValueError(f"no models are served in {place.name}")
    return place.serving


def _last(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _selection(host: HostSpec, place: ClusterPlace) -> dict[str, str]:
    return {**common_labels(place, COMPONENT), HOST_LABEL: host.id}


def _metadata(host: HostSpec, place: ClusterPlace, **more: str) -> Json:
    return {
        "name": object_name(host.id),
        "labels": {**_labels(host, place), **more},
        "annotations": {
            **{f"tunesmith/{name}": value for name, value in host.about.items()},
            NAME_ANNOTATION: host.base_name,
        },
    }


def _labels(host: HostSpec, place: ClusterPlace) -> dict[str, str]:
    about = {f"tunesmith/{name}": label_value(value) for name, value in host.about.items()}
    return {"app.kubernetes.io/name": "tunesmith-vllm", **about, **_selection(host, place)}


def _network(host: HostSpec, place: ClusterPlace, sources: Sources) -> Json:
    """Who reaches the replicas: the server alone, where it is a pod; else whoever has the key, on one port."""
    serving = serving_of(place)
    peers = list(serving.peers)
    if serving.server_labels is not None:
        # Without a namespace a peer is of the policy's own.
        name = serving.server_namespace
        where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} if name else {}
        peers.append({"podSelector": {"matchLabels": serving.server_labels}, **where})
    way_in = {"ports": [{"port": PORT}], **({"from": peers} if peers else {})}
    policy: Json = {"podSelector": {"matchLabels": _selection(host, place)}, "ingress": [way_in]}
    if sources.bucket:
        return {**policy, "policyTypes": ["Ingress"]}
    # vLLM asks nobody anything; only what pulls from a bucket does.
    return {**policy, "policyTypes": ["Ingress", "Egress"], "egress": []}


def _template(host: HostSpec, place: ClusterPlace, sources: Sources, size: Size, *, secret: str) -> Json:
    queue = {QUEUE_LABEL: host.queue} if host.queue else {}
    pod = {
        "metadata": {"labels": {**_labels(host, place), **queue}},
        "spec": {
            "terminationGracePeriodSeconds": GRACE_S,
            "automountServiceAccountToken": False,
            # A Service's address as VLLM_PORT would end the engine.
            "enableServiceLinks": False,
            "securityContext": pod_security(place),
            **scheduling(place, needs_card=host.gpus > 0, product=host.gpu_product),
            **({"initContainers": _pullers(host, place, sources)} if sources.bucket else {}),
            "containers": [_vllm(host, place, sources, size, secret=secret)],
            "volumes": _volumes(host, place, sources, size),
        },
    }
    pod = merge(pod, serving_of(place).pod_overlay)
    # A changed guard is another template too: a process that runs would not read it.
    content = json.dumps([pod, guard.source()], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return merge(pod, {"metadata": {"labels": {SPEC_LABEL: digest}}})


def _vllm(host: HostSpec, place: ClusterPlace, sources: Sources, size: Size, *, secret: str) -> Json:
    serving, build, cores = serving_of(place), Build(serving_of(place).build), host.cpu or size.cpu
    words = command(
        host,
        python=serving.python,
        port=PORT,
        build=build,
        resources=Resources(threads=cores),
        listen="0.0.0.0",
        model=sources.model,
    )
    variables = {
        "HOME": WORK_PATH,
        "TMPDIR": WORK_PATH,
        "PYTHONPATH": GUARD_PATH,
        **fixed_environment(f"{WORK_PATH}/cache", build=build, threads=cores),
    }
    key = {"name": secret, "key": KEY_ENTRY}
    amounts = {"cpu": str(cores), "memory": f"{host.memory_gib or size.memory_gib}Gi"}
    if host.gpus:
        amounts[place.cards.resource] = str(host.gpus)
    return {
        "name": CONTAINER,
        "image": serving.image,
        # "$(NAME)" would be taken for a variable.
        "command": [word.replace("$(", "$$(") for word in (*words, "--middleware", guard.CLASS)],
        "env": [
            *({"name": name, "value": value} for name, value in variables.items()),
            {"name": guard.KEY_VARIABLE, "valueFrom": {"secretKeyRef": key}},
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        **_probes(size.start_s),
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            *working_mounts(),
            {"name": "guard", "mountPath": GUARD_PATH, "readOnly": True},
            *_source_mounts(place, sources),
        ],
    }


def _probes(start_s: float) -> Json:
    asks = {"httpGet": {"path": "/health", "port": PORT}}
    return {
        "startupProbe": {**asks, "periodSeconds": PROBE_S, "failureThreshold": max(1, round(start_s / PROBE_S))},
        # A full batch on a CPU keeps it from answering for a while: it is busy, not ill.
        "readinessProbe": {**asks, "periodSeconds": PROBE_S, "timeoutSeconds": 10, "failureThreshold": 3},
        "livenessProbe": {**asks, "periodSeconds": 2 * PROBE_S, "timeoutSeconds": 10, "failureThreshold": 6},
    }


def _pullers(host: HostSpec, place: ClusterPlace, sources: Sources) -> list[Json]:
    """The weights come before vLLM starts; a container beside it brings adapters as they are wanted."""
    url = str(sources.bucket)
    return [
        _puller(WEIGHTS, ["weights", url, sources.artifact, sources.model], place, WEIGHTS_PATH),
        {
            **_puller("adapters", ["adapters", url, host.id, ADAPTERS_PATH], place, ADAPTERS_PATH),
            "restartPolicy": "Always",
        },
    ]


def _puller(name: str, arguments: list[str], place: ClusterPlace, path: str) -> Json:
    # Limits for both: a namespace whose quota counts limits takes no container without them.
    requests, limits = {"cpu": "100m", "memory": "512Mi"}, {"cpu": "1", "memory": "512Mi"}
    keys = bucket_keys(place)
    return {
        "name": name,
        "image": place.image,
        "command": [place.python, "-m", puller.MODULE, *arguments],
        "env": [{"name": "HOME", "value": WORK_PATH}, {"name": "TMPDIR", "value": WORK_PATH}],
        **({"envFrom": keys} if keys else {}),
        "resources": {"requests": requests, "limits": limits},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [{"name": "work", "mountPath": WORK_PATH}, {"name": name, "mountPath": path}],
    }


def _source_mounts(place: ClusterPlace, sources: Sources) -> list[Json]:
    if not sources.bucket:
        return [artifacts_mount(place, is_read_only=True)]
    paths = {"weights": WEIGHTS_PATH, "adapters": ADAPTERS_PATH}
    return [{"name": name, "mountPath": path, "readOnly": True} for name, path in paths.items()]


def _volumes(host: HostSpec, place: ClusterPlace, sources: Sources, size: Size) -> list[Json]:
    volumes = [
        *working_volumes(shared_memory_gib=size.shared_memory_gib),
        {"name": "guard", "configMap": {"name": object_name(host.id)}},
    ]
    if not sources.bucket:
        return [*volumes, artifacts_volume(place)]
    claim = serving_of(place).weights_claim
    kept: Json = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    return [*volumes, {"name": "weights", **kept}, {"name": "adapters", "emptyDir": {}}]
