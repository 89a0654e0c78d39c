"""What a place lacks to serve models, and what the account must be able to do for it."""

from collections.abc import Mapping
from uuid import uuid4

from bot.diagnoses import Diagnosis, found
from serving.manifest import Sources, deployment, serving_of
from serving.services import HostSpec
from serving.sizing import defaults
from serving.vllm_command import DEFAULT_LORAS, Build
from training.cluster import Cluster, ClusterError, Conflict, Forbidden, Json, Missing, Unreachable
from training.places import ClusterPlace, ServingPlace

Rights = Mapping[str, tuple[str, ...]]

SERVING_RIGHTS: Rights = {
    "deployments.apps": ("get", "list", "watch", "create", "patch", "delete"),
    "services": ("create", "patch", "delete"),
    "configmaps": ("create", "patch", "delete"),
    "networkpolicies.networking.k8s.io": ("create", "patch", "delete"),
    "secrets": ("create", "delete"),
}
"""What model servers need, resources as kubectl writes them: the Role of the chart gives as much."""
PROXY_RIGHTS: Rights = {"pods/proxy": ("get", "create")}
"""What the server needs besides, where it runs outside of the cluster."""


def serving_rights(serving: ServingPlace) -> Rights:
    """What the account must be able to do to serve models there."""
    return {**SERVING_RIGHTS, **({} if serving.server_labels else PROXY_RIGHTS)}


def look_at_serving(
    place: ClusterPlace, serving: ServingPlace, cluster: Cluster, *, is_bucket: bool
) -> list[Diagnosis]:
    """Whether the settings of model servers go together with the place, then what the API server says of one.

    Raises ClusterError.
    """
    values = {"place": place.name, "namespace": cluster.namespace, "image": serving.image}
    if serving.build == "cuda":
        per_node = place.cards.per_node
        if not per_node or not serving.gpus:
            return [found("served", "bad", "no_cards", **values)]
        if serving.gpus > per_node:
            return [found("served", "bad", "few_cards", gpus=serving.gpus, per_node=per_node, **values)]
    if serving.weights_claim is not None and not _has_claim(cluster, serving.weights_claim):
        return [found("served", "bad", "no_claim", claim=serving.weights_claim, **values)]
    settings = found("served", "ok", None if serving.server_labels else "outside", **values)
    return [settings, *_look_at_host(place, cluster, is_bucket=is_bucket)]


def example_deployment(place: ClusterPlace, *, is_bucket: bool) -> Json:
    """Of a model server that nobody has asked for, with what the place gives where nothing is said, under a name that
    is not there yet."""
    name, serving = f"doctor-{uuid4().hex[:8]}", serving_of(place)
    artifact, bucket = f"bases/{name}", "s3://bucket" if is_bucket else None
    host = HostSpec(
        id=name,
        base_model=f"/{artifact}",
        base_name=name,
        context_tokens=4096,
        max_loras=DEFAULT_LORAS[Build(serving.build)],
        gpus=0 if serving.build == "cpu" else serving.gpus,
        place=place.name,
        artifact=artifact,
        queue=serving.queue,
        about={"base": name},
    )
    size = defaults(host.weights_bytes, build=Build(serving.build), gpus=host.gpus)
    return deployment(host, place, Sources(artifact=artifact, bucket=bucket), size=size, key=name)


def _look_at_host(place: ClusterPlace, cluster: Cluster, *, is_bucket: bool) -> list[Diagnosis]:
    """Whether the API server takes it: the place's own settings and the pod overlay come in with it."""
    if not cluster.may("create", "deployments.apps"):
        return []
    try:
        body = example_deployment(place, is_bucket=is_bucket)
        warnings = cluster.warnings(cluster.path("apps/v1", "deployments"), body)
    except (Unreachable, Conflict):
        raise
    except ClusterError as error:
        return [found("host", "bad", place=place.name, error=str(error))]
    if warnings:
        return [found("host", "warn", place=place.name, error=" ".join(warnings))]
    return [found("host", "ok", place=place.name, image=serving_of(place).image)]


def _has_claim(cluster: Cluster, name: str) -> bool:
    """Also where it may not be looked at."""
    try:
        cluster.get(cluster.path("v1", "persistentvolumeclaims", name))
    except Missing:
        return False
    except Forbidden:
        return True
    return True
