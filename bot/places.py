"""Where trainings run and models are served: the settings -> the places of a cluster, and the machine that a plan is
made for."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bot.settings import Settings
from bot.stopping import CannotGoOnError
from training.machine import Gpu, Machine
from training.overlay import OverlayError, merge
from training.places import GIB, ClusterPlace

ANY_DISK_BYTES = 2**60
"""A volume or a bucket: how much room it has is not for us to know."""
POD_USER = 1000


def read_places(settings: Settings) -> tuple[ClusterPlace, ...]:
    """The places that trainings can be sent to; none where they run on this machine. Raises CannotGoOnError."""
    is_served = settings.serving == "kubernetes"
    if settings.runs == "local":
        if is_served:
            raise CannotGoOnError("serving_without_runs")
        return ()
    common = _common(settings)
    entries = _entries(settings.places) if settings.places else [{}]
    places = tuple(
        _place(common | entry | {"serving": _serving(settings, entry) if is_served else None}, number)
        for number, entry in enumerate(entries, 1)
    )
    if is_served and not any(place.serving for place in places):
        raise CannotGoOnError("served_nowhere", file=str(settings.places))
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        raise CannotGoOnError("place_twice", file=str(settings.places), names=", ".join(names))
    spaces = [(place.kubeconfig, place.context, place.namespace, place.instance) for place in places]
    if len(set(spaces)) < len(spaces):
        # Each would take the other's runs for its own.
        raise CannotGoOnError("place_shared", file=str(settings.places), names=", ".join(names))
    if not settings.is_bucket and any(place.claim is None for place in places):
        raise CannotGoOnError("no_claim", root=str(settings.artifacts_root))
    return places


def machine_of(place: ClusterPlace) -> Machine:
    """What a plan may use there: one node's share, times as many nodes as it asks for."""
    cards = place.cards
    name = cards.products[0] if cards.products else cards.resource
    memory = round(cards.memory_gib * GIB)
    gpu = Gpu(name=name, memory_bytes=memory, free_memory_bytes=memory, supports_bf16=cards.has_bf16)
    return Machine(
        cores=place.node_cpu,
        memory_bytes=place.node_memory_gib * GIB,
        available_memory_bytes=place.node_memory_gib * GIB,
        free_disk_bytes=ANY_DISK_BYTES,
        gpus=(gpu,) * cards.per_node,
        packages=frozenset(place.packages),
        is_cluster=True,
    )


def _common(settings: Settings) -> dict[str, Any]:
    given = {
        "context": settings.kube_context,
        "namespace": settings.namespace,
        "image": settings.image,
        "claim": settings.artifacts_claim,
        "claim_path": settings.artifacts_path,
        "bucket_secret": settings.artifacts_secret,
        "queue": settings.kueue_queue,
        "instance": settings.instance,
        "python": settings.pod_python,
        # Both write to one volume: files that one makes, the other must be able to change.
        "user_id": os.getuid() or POD_USER,
        "pod_overlay": settings.pod_overlay,
    }
    return {name: value for name, value in given.items() if value is not None}


def _serving(settings: Settings, entry: dict[str, Any]) -> object:
    """What a place says of serving, laid over what the environment says. None: nothing is served there."""
    own = entry.get("serving", {})
    if not isinstance(own, dict):
        return own
    given: dict[str, Any] = {
        "image": settings.serving_image,
        "build": settings.serving_build,
        "python": settings.serving_pod_python,
        "queue": settings.serving_queue,
        "pod_overlay": settings.serving_overlay,
    }
    if not entry.keys() & {"kubeconfig", "context"} and settings.kube_context is None:
        # The place is where this runs, if it runs in a pod.
        given |= {"server_labels": settings.server_labels, "server_namespace": settings.server_namespace}
    return _with_overlay({name: value for name, value in given.items() if value is not None} | own)


def _with_overlay(values: dict[str, Any]) -> dict[str, Any]:
    """With the overlay itself where a file of it is named."""
    overlay = values.get("pod_overlay")
    return values | {"pod_overlay": _overlay(Path(overlay))} if isinstance(overlay, str | Path) else values


def _place(values: dict[str, Any], number: int) -> ClusterPlace:
    try:
        place = ClusterPlace.model_validate(_with_overlay(values))
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        if field == "serving.image" and problem["type"] == "missing":
            raise CannotGoOnError("no_serving_image", number=number) from error
        raise CannotGoOnError("read_place", number=number, field=field, problem=problem["msg"]) from error
    _try_overlay(place.pod_overlay, "trainer", "TUNESMITH_POD_OVERLAY")
    if place.serving is not None:
        _try_overlay(place.serving.pod_overlay, "vllm", "TUNESMITH_SERVING_OVERLAY")
    return place


def _try_overlay(overlay: dict[str, Any], container: str, setting: str) -> None:
    try:
        merge({"spec": {"containers": [{"name": container}]}}, overlay)
    except OverlayError as error:
        raise CannotGoOnError("merge_overlay", field=error.path, problem=error.problem, setting=setting) from error


def _entries(file: Path) -> list[dict[str, Any]]:
    content = _yaml(file)
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        raise CannotGoOnError("read_yaml", file=str(file), problem="a list of places is expected")
    return content


def _overlay(file: Path) -> dict[str, Any]:
    content = _yaml(file)
    if not isinstance(content, dict) or set(content) - {"metadata", "spec"}:
        raise CannotGoOnError("read_yaml", file=str(file), problem="`metadata` and `spec` of a pod are expected")
    return content


def _yaml(file: Path) -> Any:
    try:
        return YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CannotGoOnError("read_yaml", file=str(file), problem=type(error).__name__) from error
    except YAMLError as error:
        raise CannotGoOnError("read_yaml", file=str(file), problem=" ".join(str(error).split())) from error
