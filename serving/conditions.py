"""What a Deployment and its pods together say of a host. Data in, data out; nothing is asked from here."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from serving.manifest import CONTAINER, SPEC_LABEL, WEIGHTS
from training.cluster import Json, since
from training.places import ClusterPlace
from training.verdicts import is_for_quota

_IMAGE_TROUBLES = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull"})
_HOPELESS = "InvalidImageName"
_MAKING_TROUBLES = frozenset({"CreateContainerConfigError", "CreateContainerError"})
"""A Secret that is not there, or a node that is slow: the host's own Secret comes after its Deployment."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why no replica answers yet: ``code`` of what is waited for (text ``host.waiting.<code>``), or, in vain, of what
    failed (text ``host.<code>``)."""

    code: str
    words: str = ""
    is_hopeless: bool = False


def is_ready(pod: Json) -> bool:
    """Whether a pod answers, as far as the cluster knows, and is not on its way out."""
    ready = _condition(pod, "Ready")
    return "deletionTimestamp" not in pod["metadata"] and ready is not None and ready["status"] == "True"


def is_current(pod: Json, deployment: Json) -> bool:
    """Whether a pod is made as the Deployment now says; others are about to be replaced."""
    return template_of(pod) == template_of(deployment["spec"]["template"])


def template_of(pod: Json) -> str:
    """The digest of the template that a pod was made from, or of a template."""
    return str(pod["metadata"]["labels"].get(SPEC_LABEL, ""))


def has_crashed(pod: Json) -> bool:
    """Whether a container of the pod has ended and is not running again. In a pod on its way out all of them end."""
    return any(True for _ in _ended(pod))


def container_id(pod: Json) -> str:
    """The id of the vLLM in a pod: another one after every start."""
    for status in pod["status"].get("containerStatuses", []):
        if status["name"] == CONTAINER:
            return str(status.get("containerID", ""))
    return ""


def ended_container(pods: Iterable[Json]) -> tuple[Json, str, Json] | None:
    """A pod with a container that ended and is not running: the pod, the container's name, how it ended."""
    for pod in pods:
        for name, how in _ended(pod):
            return pod, name, how
    return None


def trouble(deployment: Json, pods: Sequence[Json], place: ClusterPlace) -> Trouble:
    """What keeps a host that has no replica yet, and has not crashed."""
    for found in (_making(pods, place), _node(pods, place), _refused(deployment, pods, place)):
        if found is not None:
            return found
    if not pods:
        return Trouble(code="pods")
    running = {status["name"] for pod in pods for status in _statuses(pod) if "running" in status.get("state", {})}
    if CONTAINER in running:
        return Trouble(code="loading")
    return Trouble(code="weights" if WEIGHTS in running else "pods")


def _making(pods: Sequence[Json], place: ClusterPlace) -> Trouble | None:
    """A container that cannot be made: for want of its image, as a rule."""
    for pod in pods:
        is_late = since(_begun_at(pod)) > place.image_minutes * 60
        for status in _statuses(pod):
            waiting = status.get("state", {}).get("waiting", {})
            words = _line(waiting.get("message"))
            if waiting.get("reason") == _HOPELESS:
                return Trouble(code="no_image", words=words, is_hopeless=True)
            if waiting.get("reason") in _IMAGE_TROUBLES:
                return Trouble(code="no_image" if is_late else "image", words=words, is_hopeless=is_late)
            if waiting.get("reason") in _MAKING_TROUBLES:
                return Trouble(code="refused" if is_late else "pods", words=words, is_hopeless=is_late)
    return None


def _begun_at(pod: Json) -> str | None:
    """Since when the containers that are waited for could be made: on a node, and with the weights there."""
    for kind in ("Initialized", "PodScheduled"):
        condition = _condition(pod, kind)
        if condition is not None and condition["status"] == "True":
            return str(condition.get("lastTransitionTime") or "")
    return None


def _node(pods: Sequence[Json], place: ClusterPlace) -> Trouble | None:
    for pod in pods:
        scheduled = _condition(pod, "PodScheduled")
        if scheduled is None or scheduled["status"] == "True":
            continue
        words = _line(scheduled.get("message"))
        if scheduled.get("reason") == "SchedulingGated":
            return Trouble(code="queue", words=words)
        is_late = since(scheduled.get("lastTransitionTime")) > place.pending_minutes * 60
        return Trouble(code="no_node" if is_late else "node", words=words, is_hopeless=is_late)
    return None


def _refused(deployment: Json, pods: Sequence[Json], place: ClusterPlace) -> Trouble | None:
    """A quota or a policy that lets no pod be made; a quota may have room later, and a webhook may have been away."""
    failure = _condition(deployment, "ReplicaFailure")
    if pods or failure is None or failure["status"] != "True":
        return None
    words = _line(failure.get("message"))
    if is_for_quota(words):
        return Trouble(code="quota", words=words)
    is_late = since(failure.get("lastTransitionTime")) > place.image_minutes * 60
    return Trouble(code="refused", words=words, is_hopeless=is_late)


def _ended(pod: Json) -> Iterator[tuple[str, Json]]:
    if "deletionTimestamp" in pod["metadata"]:
        return
    for status in _statuses(pod):
        state, last = status.get("state", {}), status.get("lastState", {}).get("terminated")
        now = state.get("terminated")
        if now is not None and (now["exitCode"] != 0 or status["name"] == CONTAINER):
            yield status["name"], now
        elif state.get("waiting", {}).get("reason") == "CrashLoopBackOff":
            yield status["name"], last or {}


def _statuses(pod: Json) -> list[Json]:
    return [*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])]


def _condition(thing: Json, kind: str) -> Json | None:
    conditions: list[Json] = thing.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), None)


def _line(message: object) -> str:
    return " ".join(str(message or "").split())[:500]
