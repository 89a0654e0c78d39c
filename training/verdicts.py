"""What a Job, its pods and an attempt's files together say of it. Data in, data out; nothing is asked from here."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from storage.states import RunState
from training.cluster import NOT_READY, Json, since
from training.places import ClusterPlace
from training.pods import QUEUE_LABEL
from training.runs import Reason, Waiting
from training.trainer.exits import Exit
from training.trainer.outcomes import Outcome

STOP_ANNOTATION = "tunesmith/stop"
"""On a Job whose person asked for a stop."""

_QUOTA_WORDS = ("exceeded quota", "status unknown for quota")
_REFUSAL = re.compile(r'" is (forbidden|invalid): |denied the request')
"""How the API server, or a webhook that it asks, refuses an object by its name. Other errors pass: no answer, a webhook
or a count that is late, an account whose rights a server that has just started does not know yet."""

_IMAGE_TROUBLES = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull"})
_NO_IMAGE = "InvalidImageName"
_MAKING_TROUBLES = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
"""Warnings of a node, and of who brings volumes to it: a pod of theirs may have no container for ever."""
_MINUTES_A_WARNING_HOLDS = 5
"""A node tries again after two minutes at most, and says so again."""
_AVAILABLE = re.compile(r"(\d+)/(\d+) nodes are available")
_LACKING = re.compile(r"Insufficient ([\w./-]+)")
_KILLED = (137, 143)
"""The exit codes of a process that a signal ended: SIGKILL, SIGTERM."""
_EXCUSES = (Exit.LOST_PEER, Exit.KILLED, Exit.INTERRUPTED, Exit.STOPPED)
"""Ends that another machine's end explains."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How an attempt is: one of the states, and why."""

    state: RunState
    reason: Reason | None = None
    detail: str | None = None
    waiting: Waiting | None = None


def is_finished(job: Json) -> bool:
    """Whether the Job has ended for good; ``FailureTarget`` and ``SuccessCriteriaMet`` come before."""
    return any(_is_true(job, kind) for kind in ("Complete", "Failed"))


def is_stopped(job: Json) -> bool:
    """Whether a person asked for a stop."""
    return STOP_ANNOTATION in job["metadata"].get("annotations", {})


def is_over(job: Json, pods: Sequence[Json]) -> bool:
    """Whether it has ended: the Job has, or a node is lost, or it was stopped while its queue held it back."""
    is_held = bool(job["spec"].get("suspend"))
    return is_finished(job) or lost_pod(pods) is not None or (is_stopped(job) and is_held and not pods)


def lost_pod(pods: Iterable[Json]) -> Json | None:
    """A pod whose node has fallen silent: it neither ends nor goes away while the node is dead."""
    for pod in pods:
        disruption = _condition(pod, "DisruptionTarget")
        if disruption is None or disruption.get("reason") != "DeletionByTaintManager":
            continue
        phase, ready = pod["status"].get("phase"), _condition(pod, "Ready")
        if phase == "Running" and ready and ready["status"] != "True":
            return pod
        # One that was still being made has nothing to save: whether its node lives makes no difference.
        if phase == "Pending" and "deletionTimestamp" in pod["metadata"]:
            return pod
    return None


def ended(job: Json, pods: Sequence[Json], outcomes: Sequence[Outcome | None]) -> Verdict:
    """Of an attempt that is over: ``outcomes`` are what its machines said at the end, the first machine's first.

    What a machine said of itself goes before what the cluster saw of it: a run whose model is saved has succeeded,
    whatever became of a pod afterwards.
    """
    said = [outcome for outcome in outcomes if outcome is not None]
    if outcomes and outcomes[0] is not None and outcomes[0].exit is Exit.SUCCEEDED:
        return Verdict(state=RunState.SUCCEEDED)
    for outcome in said:
        if outcome.exit.is_failure and outcome.exit not in _EXCUSES:
            return _failed(outcome.exit.reason or Reason.BUG, outcome.detail)
    if is_stopped(job):
        return Verdict(state=RunState.CANCELLED, reason=Reason.STOPPED)
    if (seen := _seen_by_cluster(job, pods)) is not None:
        return seen
    for exit_ in (Exit.INTERRUPTED, Exit.LOST_PEER, Exit.KILLED):
        for outcome in said:
            if outcome.exit is exit_:
                return _failed(exit_.reason or Reason.BUG, outcome.detail)
    if said and all(outcome.exit is Exit.STOPPED for outcome in said):
        return Verdict(state=RunState.CANCELLED, reason=Reason.STOPPED)
    if _is_true(job, "Complete"):
        return _failed(Reason.BUG, "its pods ended without a word")
    return _failed(Reason.NODE_LOST, _message(job))


def under_way(
    job: Json,
    pods: Sequence[Json],
    place: ClusterPlace,
    *,
    has_begun: bool,
    queue_words: str = "",
    making_words: str = "",
    image_failing_s: float = 0,
) -> Verdict:
    """Of an attempt that is not over: what it does, or what it waits for; failed where it waits in vain.

    ``making_words``: what a node says of an :func:`unmade` pod. ``image_failing_s``: for how long
    :func:`fails_to_fetch` has held.
    """
    if job["spec"].get("suspend"):
        queue = job["metadata"]["labels"].get(QUEUE_LABEL, "")
        code = "queue" if queue else "suspended"
        return Verdict(
            state=RunState.SUSPENDED,
            waiting=Waiting(code=code, params={"queue": queue}, words=queue_words),
        )
    for trouble in (_image_trouble(pods, place, image_failing_s), _place_trouble(job, pods, place)):
        if trouble is not None:
            return trouble
    if making_words:
        if any(unmade(pods, for_s=place.pending_minutes * 60)):
            return _failed(Reason.REFUSED, making_words)
        return Verdict(state=RunState.PENDING, waiting=replace(_preparation(job, pods), words=making_words))
    if has_begun:
        return Verdict(state=RunState.RUNNING)
    return Verdict(state=RunState.PENDING, waiting=_preparation(job, pods))


def fails_to_fetch(pods: Sequence[Json]) -> bool:
    """Whether an image did not come when it was last asked for; the node asks again."""
    return any(waiting.get("reason") in _IMAGE_TROUBLES for _, waiting in _waiting(pods))


def unmade(pods: Iterable[Json], *, for_s: float) -> Iterable[Json]:
    """Pods that have had a node for so long, and no container yet."""
    for pod in pods:
        scheduled = _condition(pod, "PodScheduled")
        is_there = pod["status"].get("phase") == "Pending" and scheduled is not None and scheduled["status"] == "True"
        if is_there and scheduled and since(scheduled.get("lastTransitionTime")) > for_s:
            yield pod


def is_of_making(event: Json) -> bool:
    """Whether a warning says why a pod cannot be made, and still holds."""
    said_at = event.get("lastTimestamp") or event.get("eventTime")
    return event.get("reason") in _MAKING_TROUBLES and since(said_at) < _MINUTES_A_WARNING_HOLDS * 60


def is_for_quota(words: str) -> bool:
    """Whether the API server's refusal is a quota's: somebody else's end makes room, or a new quota is counted."""
    return any(each in words for each in _QUOTA_WORDS)


def refused(job: Json, messages: Sequence[str]) -> Verdict | None:
    """Of a Job that gets no pods, from the warnings about it: refused for good, or waiting until the cluster can."""
    refusals = [each for each in messages if _REFUSAL.search(each) and NOT_READY not in each]
    if refusals and not is_for_quota(refusals[-1]):
        return _failed(Reason.REFUSED, refusals[-1])
    if refusals:
        return Verdict(state=RunState.PENDING, waiting=Waiting(code="quota", words=refusals[-1]))
    if messages:
        return Verdict(state=RunState.PENDING, waiting=replace(_preparation(job, []), words=messages[-1]))
    return None


def queue_words(workload: Json) -> list[str]:
    """What Kueue says about a Job that it holds back; nothing where it has not said anything yet."""
    conditions = workload.get("status", {}).get("conditions", [])
    return [each["message"] for each in conditions if each["type"] == "QuotaReserved" and each["status"] == "False"]


def _seen_by_cluster(job: Json, pods: Sequence[Json]) -> Verdict | None:
    failed = _condition(job, "Failed") or {}
    for pod in pods:
        if any(state.get("reason") == "OOMKilled" for state in _terminated(pod)):
            return _failed(Reason.OUT_OF_MEMORY, f"{_machine(pod)} was killed: it used more memory than its limit")
    if failed.get("reason") == "DeadlineExceeded":
        return _failed(Reason.DEADLINE, str(failed.get("message", "")))
    for pod in pods:
        disruption = _condition(pod, "DisruptionTarget")
        if disruption is not None:
            return _failed(Reason.NODE_LOST, f"{_machine(pod)}: {disruption.get('message', '')}")
        if pod["status"].get("reason") in ("Evicted", "NodeLost", "Shutdown", "Terminated"):
            return _failed(Reason.NODE_LOST, f"{_machine(pod)}: {pod['status'].get('message', '')}")
    for pod in pods:
        for state in _terminated(pod):
            if state.get("reason") in ("StartError", "ContainerCannotRun"):
                return _failed(Reason.REFUSED, str(state.get("message", "")))
            if (verdict := _by_exit_code(pod, state["exitCode"])) is not None:
                return verdict
    return None


def _by_exit_code(pod: Json, code: int) -> Verdict | None:
    """Of a launcher that could not write how it ended."""
    if code in _KILLED:
        return _failed(Reason.NODE_LOST, f"{_machine(pod)} was killed")
    if code in (Exit.SUCCEEDED, *_EXCUSES):
        return None
    known = {int(exit_): exit_.reason for exit_ in Exit}.get(code)
    return _failed(known or Reason.BUG, f"{_machine(pod)} ended with exit code {code}")


def _image_trouble(pods: Sequence[Json], place: ClusterPlace, failing_s: float) -> Verdict | None:
    for status, waiting in _waiting(pods):
        words = " ".join(str(waiting.get("message", "")).split())
        if waiting.get("reason") == _NO_IMAGE:
            return _failed(Reason.NO_IMAGE, words)
        if waiting.get("reason") in _IMAGE_TROUBLES:
            if failing_s > place.image_minutes * 60:
                return _failed(Reason.NO_IMAGE, words)
            params = {"image": str(status.get("image", ""))}
            return Verdict(state=RunState.PENDING, waiting=Waiting(code="image", params=params, words=words))
        if waiting.get("reason") == "CreateContainerConfigError":
            return _failed(Reason.REFUSED, words)
    return None


def _waiting(pods: Sequence[Json]) -> Iterable[tuple[Json, Json]]:
    """Of each container, those of the overlay that run first too: its status, and why it waits."""
    for pod in pods:
        for kind in ("initContainerStatuses", "containerStatuses"):
            for status in pod["status"].get(kind, []):
                yield status, status.get("state", {}).get("waiting", {})


def _place_trouble(job: Json, pods: Sequence[Json], place: ClusterPlace) -> Verdict | None:
    for pod in pods:
        scheduled = _condition(pod, "PodScheduled")
        if scheduled is None or scheduled["status"] == "True" or scheduled.get("reason") != "Unschedulable":
            continue
        words = " ".join(str(scheduled.get("message", "")).split())
        if since(scheduled.get("lastTransitionTime")) > place.pending_minutes * 60:
            return _failed(Reason.UNSCHEDULABLE, words)
        return Verdict(state=RunState.PENDING, waiting=_lack(words, place))
    return None


def _lack(words: str, place: ClusterPlace) -> Waiting:
    """The scheduler's words as a sentence of ours, where they have the form that they mostly have."""
    found, lacking = _AVAILABLE.search(words), _LACKING.search(words)
    if found is None:
        return Waiting(code="place", words=words)
    params: dict[str, str | int] = {"free": int(found[1]), "nodes": int(found[2])}
    what = lacking[1].rstrip(".") if lacking else ""
    kinds = {place.cards.resource: "gpu", "cpu": "cpu", "memory": "memory"}
    return Waiting(code=f"place_{kinds[what]}" if what in kinds else "place_none", params=params, words=words)


def _preparation(job: Json, pods: Sequence[Json]) -> Waiting:
    wanted = job["spec"]["completions"]
    running = sum(pod["status"].get("phase") == "Running" for pod in pods)
    if running == wanted:
        return Waiting(code="loading")
    return Waiting(code="pods", params={"running": running, "wanted": wanted})


def _failed(reason: Reason, detail: str | None) -> Verdict:
    return Verdict(state=RunState.FAILED, reason=reason, detail=" ".join(detail.split())[:500] if detail else None)


def _terminated(pod: Json) -> Iterable[Json]:
    for status in pod["status"].get("containerStatuses", []):
        if (state := status.get("state", {}).get("terminated")) is not None:
            yield state


def _machine(pod: Json) -> str:
    node = pod["spec"].get("nodeName", "no node")
    return f"pod {pod['metadata']['name']} on {node}"


def _message(job: Json) -> str:
    condition: Mapping[str, str] = _condition(job, "Failed") or {}
    return condition.get("message", "") or "its pods are gone"


def _condition(thing: Json, kind: str) -> Json | None:
    for condition in thing.get("status", {}).get("conditions", []):
        if condition["type"] == kind and (condition["status"] == "True" or kind in ("PodScheduled", "Ready")):
            found: Json = condition
            return found
    return None


def _is_true(thing: Json, kind: str) -> bool:
    return _condition(thing, kind) is not None
