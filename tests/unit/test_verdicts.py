"""What a Job, its pods and the machines' own words together say, where a real cluster is hard to bring to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.states import RunState
from training import verdicts
from training.places import Cards, ClusterPlace
from training.pods import QUEUE_LABEL
from training.runs import Reason, Waiting
from training.trainer.exits import Exit
from training.trainer.outcomes import Outcome
from training.verdicts import STOP_ANNOTATION, Verdict

Json = dict[str, Any]
PLACE = ClusterPlace(image="trainer:1", pending_minutes=2, image_minutes=1)


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str = "True", **more: str) -> Json:
    return {"type": kind, "status": status, **more}


def job(*conditions: Json, stopped: bool = False, suspended: bool = False, queue: str = "", machines: int = 1) -> Json:
    return {
        "metadata": {
            "labels": {QUEUE_LABEL: queue} if queue else {},
            **({"annotations": {STOP_ANNOTATION: "wanted"}} if stopped else {}),
        },
        "spec": {"completions": machines, **({"suspend": True} if suspended else {})},
        "status": {"conditions": list(conditions)} if conditions else {},
    }


def pod(*conditions: Json, phase: str = "Running", node: str | None = "n1", **status: Any) -> Json:
    spec = {"nodeName": node} if node else {}
    return {
        "metadata": {"name": "tunesmith-a-1-0-x"},
        "spec": spec,
        "status": {"phase": phase, "conditions": list(conditions), **status},
    }


def deleted(found: Json) -> Json:
    return {**found, "metadata": {**found["metadata"], "deletionTimestamp": ago(0)}}


def exited(code: int, reason: str = "Error", **more: str) -> Json:
    terminated = {"exitCode": code, "reason": reason, **more}
    return pod(phase="Failed", containerStatuses=[{"state": {"terminated": terminated}}])


def waits(reason: str, message: str = "", *, kind: str = "containerStatuses") -> Json:
    state = {"state": {"waiting": {"reason": reason, "message": message}}, "image": "trainer:1"}
    # It has taken its time to come as far as this.
    scheduled = condition("PodScheduled", lastTransitionTime=ago(600))
    statuses: dict[str, Any] = {kind: [state]}
    return pod(scheduled, phase="Pending", **statuses)


def homeless(message: str, *, waited_s: float = 0) -> Json:
    why = {"reason": "Unschedulable", "message": message, "lastTransitionTime": ago(waited_s)}
    return pod(condition("PodScheduled", "False", **why), phase="Pending", node=None)


def outcome(exit_: Exit, detail: str | None = None) -> Outcome:
    return Outcome(exit=exit_, detail=detail)


FAILED = job(condition("Failed", reason="PodFailurePolicy", message="it failed"))


@pytest.mark.parametrize(
    ("conditions", "finished"),
    [
        ([], False),
        ([condition("Complete")], True),
        ([condition("Failed")], True),
        ([condition("Failed", "False")], False),
        ([condition("FailureTarget")], False),
        ([condition("SuccessCriteriaMet")], False),
        ([condition("Suspended")], False),
        ([condition("SuccessCriteriaMet"), condition("Complete")], True),
    ],
)
def test_a_job_is_finished_only_when_it_is_for_good(conditions: list[Json], finished: bool) -> None:
    assert verdicts.is_finished(job(*conditions)) is finished
    assert verdicts.is_over(job(*conditions), [pod()]) is finished


def test_a_stop_is_known_by_its_annotation() -> None:
    assert verdicts.is_stopped(job(stopped=True))
    assert not verdicts.is_stopped(job())


def test_a_stopped_job_that_its_queue_holds_back_is_over_as_soon_as_it_has_no_pod() -> None:
    assert verdicts.is_over(job(stopped=True, suspended=True), [])
    assert not verdicts.is_over(job(stopped=True, suspended=True), [pod()])
    assert not verdicts.is_over(job(stopped=True), [])
    assert not verdicts.is_over(job(suspended=True), [])


TAINTED = condition("DisruptionTarget", reason="DeletionByTaintManager", message="Taint manager: deleting")


@pytest.mark.parametrize(
    ("found", "lost"),
    [
        (pod(TAINTED, condition("Ready", "Unknown")), True),
        (pod(TAINTED, condition("Ready", "False")), True),
        (pod(TAINTED, condition("Ready")), False),
        (pod(TAINTED), False),
        (pod(TAINTED, condition("Ready", "False"), phase="Failed"), False),
        (deleted(pod(TAINTED, condition("Ready", "False"), phase="Pending")), True),
        (deleted(pod(TAINTED, phase="Pending")), True),
        (pod(TAINTED, phase="Pending"), False),
        (deleted(pod(condition("DisruptionTarget", reason="EvictionByEvictionAPI"), phase="Pending")), False),
        (pod(condition("DisruptionTarget", reason="EvictionByEvictionAPI"), condition("Ready", "False")), False),
        (pod(condition("Ready", "False")), False),
    ],
)
def test_a_lost_node_is_told_from_a_slow_drain_by_two_conditions(found: Json, lost: bool) -> None:
    assert (verdicts.lost_pod([pod(), found]) is found) is lost
    assert verdicts.is_over(job(), [found]) is lost


def test_what_the_first_machine_says_of_a_saved_model_goes_before_everything() -> None:
    oom = exited(137, "OOMKilled")
    success = [outcome(Exit.SUCCEEDED), outcome(Exit.LOST_PEER)]
    assert verdicts.ended(FAILED, [oom], success) == Verdict(state=RunState.SUCCEEDED)
    assert verdicts.ended(job(condition("Failed"), stopped=True), [], success).state is RunState.SUCCEEDED


def test_the_others_success_is_not_the_runs() -> None:
    verdict = verdicts.ended(FAILED, [], [None, outcome(Exit.SUCCEEDED)])
    assert (verdict.state, verdict.reason) == (RunState.FAILED, Reason.NODE_LOST)


@pytest.mark.parametrize(
    "exit_", [Exit.BUG, Exit.BAD_DATA, Exit.BAD_CONFIGURATION, Exit.OUT_OF_MEMORY, Exit.DISK_FULL, Exit.DIVERGED]
)
def test_a_machines_own_failure_goes_before_what_it_did_to_the_others(exit_: Exit) -> None:
    said = [outcome(Exit.LOST_PEER, "peer gone"), outcome(exit_, "at\nstep 3"), None]
    verdict = verdicts.ended(job(condition("Failed"), stopped=True), [exited(137)], said)
    assert verdict == Verdict(state=RunState.FAILED, reason=exit_.reason, detail="at step 3")


def test_a_stop_goes_before_what_the_cluster_saw_of_it() -> None:
    deadline = job(condition("Failed", reason="DeadlineExceeded"), stopped=True)
    stopped = Verdict(state=RunState.CANCELLED, reason=Reason.STOPPED)
    assert verdicts.ended(deadline, [exited(143)], [outcome(Exit.STOPPED)]) == stopped
    assert verdicts.ended(deadline, [], [None]) == stopped


def test_machines_that_all_were_stopped_were_stopped_though_the_annotation_is_gone() -> None:
    both = [outcome(Exit.STOPPED), outcome(Exit.STOPPED)]
    assert verdicts.ended(FAILED, [], both) == Verdict(state=RunState.CANCELLED, reason=Reason.STOPPED)
    mixed = [outcome(Exit.STOPPED), outcome(Exit.INTERRUPTED)]
    assert verdicts.ended(FAILED, [], mixed).reason is Reason.INTERRUPTED


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([Exit.KILLED, Exit.LOST_PEER, Exit.INTERRUPTED], Reason.INTERRUPTED),
        ([Exit.KILLED, Exit.LOST_PEER], Reason.LOST_PEER),
        ([Exit.KILLED], Reason.KILLED),
    ],
)
def test_of_several_excuses_the_one_that_says_most_is_told(said: list[Exit], reason: Reason) -> None:
    assert verdicts.ended(FAILED, [], [outcome(exit_, "why") for exit_ in said]) == Verdict(
        state=RunState.FAILED, reason=reason, detail="why"
    )


def test_memory_goes_before_the_excuses_and_before_the_deadline() -> None:
    late = job(condition("Failed", reason="DeadlineExceeded", message="late"))
    verdict = verdicts.ended(late, [exited(137, "OOMKilled")], [outcome(Exit.LOST_PEER)])
    assert verdict.reason is Reason.OUT_OF_MEMORY
    assert verdict.detail == "pod tunesmith-a-1-0-x on n1 was killed: it used more memory than its limit"


def test_a_deadline_that_passed() -> None:
    late = job(condition("Failed", reason="DeadlineExceeded", message="Job was active longer"))
    verdict = verdicts.ended(late, [exited(143)], [outcome(Exit.INTERRUPTED)])
    assert (verdict.reason, verdict.detail) == (Reason.DEADLINE, "Job was active longer")


@pytest.mark.parametrize(
    "found",
    [
        pod(condition("DisruptionTarget", reason="PreemptionByScheduler", message="made room"), phase="Failed"),
        pod(phase="Failed", reason="Evicted", message="made room"),
        pod(phase="Failed", reason="NodeLost", message="made room"),
        pod(phase="Failed", reason="Shutdown", message="made room"),
        pod(phase="Failed", reason="Terminated", message="made room"),
    ],
)
def test_a_pod_that_had_to_go(found: Json) -> None:
    verdict = verdicts.ended(FAILED, [exited(0), found], [outcome(Exit.LOST_PEER)])
    assert (verdict.reason, verdict.detail) == (Reason.NODE_LOST, "pod tunesmith-a-1-0-x on n1: made room")


@pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun"])
def test_a_container_that_cannot_start(reason: str) -> None:
    verdict = verdicts.ended(FAILED, [exited(128, reason, message="no such file: python")], [None])
    assert (verdict.reason, verdict.detail) == (Reason.REFUSED, "no such file: python")


def test_a_pod_without_a_node_is_said_to_have_none() -> None:
    gone = pod(condition("DisruptionTarget", message="deleted"), phase="Failed", node=None)
    assert verdicts.ended(FAILED, [gone], []).detail == "pod tunesmith-a-1-0-x on no node: deleted"


def test_pods_that_end_without_a_word() -> None:
    complete = verdicts.ended(job(condition("Complete")), [exited(0, "Completed")], [None])
    assert (complete.reason, complete.detail) == (Reason.BUG, "its pods ended without a word")
    gone = verdicts.ended(FAILED, [], [])
    assert (gone.reason, gone.detail) == (Reason.NODE_LOST, "it failed")
    assert verdicts.ended(job(), [], []).detail == "its pods are gone"


def test_a_reasons_words_are_one_line_and_not_too_long() -> None:
    detail = verdicts.ended(FAILED, [], [outcome(Exit.BUG, "a \n b " + "x" * 600)]).detail
    assert detail is not None
    assert detail.startswith("a b x")
    assert len(detail) == 500


def test_a_suspended_job_waits_in_its_queue_or_for_somebody() -> None:
    queued = verdicts.under_way(job(suspended=True, queue="research"), [], PLACE, has_begun=True, queue_words="no room")
    assert queued.state is RunState.SUSPENDED
    assert queued.waiting == Waiting(code="queue", params={"queue": "research"}, words="no room")
    held = verdicts.under_way(job(suspended=True), [], PLACE, has_begun=False)
    assert held.waiting is not None
    assert held.waiting.code == "suspended"


def under_way(
    *pods: Json, begun: bool = False, machines: int = 1, place: ClusterPlace = PLACE, failing_s: float = 0
) -> Verdict:
    return verdicts.under_way(job(machines=machines), pods, place, has_begun=begun, image_failing_s=failing_s)


@pytest.mark.parametrize("kind", ["initContainerStatuses", "containerStatuses"])
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull"])
def test_an_image_is_waited_for_and_given_up(reason: str, kind: str) -> None:
    found = waits(reason, "not\nfound", kind=kind)
    assert verdicts.fails_to_fetch([pod(), found])
    waiting = under_way(found, failing_s=30)
    assert waiting.state is RunState.PENDING
    assert waiting.waiting == Waiting(code="image", params={"image": "trainer:1"}, words="not found")
    ended = under_way(found, failing_s=90)
    assert ended == Verdict(state=RunState.FAILED, reason=Reason.NO_IMAGE, detail="not found")


def test_an_image_on_its_way_does_not_fail() -> None:
    assert not verdicts.fails_to_fetch([waits("ContainerCreating"), pod()])


def on_node(for_s: float, *, phase: str = "Pending") -> Json:
    return pod(condition("PodScheduled", lastTransitionTime=ago(for_s)), phase=phase)


def test_a_pod_that_its_node_cannot_make_is_waited_for_and_given_up() -> None:
    words = 'MountVolume.SetUp failed for volume "keys": secret "keys" not found'

    def verdict(*pods: Json) -> Verdict:
        return verdicts.under_way(job(machines=2), pods, PLACE, has_begun=True, making_words=words)

    waiting = verdict(on_node(30), on_node(30, phase="Running"))
    assert waiting.state is RunState.PENDING
    assert waiting.waiting == Waiting(code="pods", params={"running": 1, "wanted": 2}, words=words)
    ended = verdict(on_node(180), on_node(180, phase="Running"))
    assert ended == Verdict(state=RunState.FAILED, reason=Reason.REFUSED, detail=words)


def test_pods_without_a_container_have_a_node() -> None:
    late = on_node(30)
    pods = [late, on_node(5), on_node(30, phase="Running"), homeless("no room", waited_s=30), pod(phase="Pending")]
    assert list(verdicts.unmade(pods, for_s=20)) == [late]


@pytest.mark.parametrize(
    ("reason", "said_in", "said_s_ago", "counts"),
    [
        ("FailedMount", "lastTimestamp", 100, True),
        ("FailedMount", "lastTimestamp", 400, False),
        ("FailedCreatePodSandBox", "eventTime", 5, True),
        ("FailedScheduling", "lastTimestamp", 5, False),
    ],
)
def test_a_warning_holds_as_long_as_it_is_repeated(reason: str, said_in: str, said_s_ago: float, counts: bool) -> None:
    event = {"reason": reason, "lastTimestamp": None, said_in: ago(said_s_ago)}
    assert verdicts.is_of_making(event) is counts


def test_what_no_patience_mends_ends_at_once() -> None:
    assert under_way(waits("InvalidImageName", "bad name")).reason is Reason.NO_IMAGE
    verdict = under_way(waits("CreateContainerConfigError", 'secret "keys" not found'))
    assert (verdict.reason, verdict.detail) == (Reason.REFUSED, 'secret "keys" not found')


@pytest.mark.parametrize(
    ("message", "code", "params"),
    [
        (
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3",
            "place_gpu",
            {"free": 0, "nodes": 3},
        ),
        ("1/4 nodes are available: 3 Insufficient cpu.", "place_cpu", {"free": 1, "nodes": 4}),
        ("0/2 nodes are available: 2 Insufficient memory.", "place_memory", {"free": 0, "nodes": 2}),
        ("0/2 nodes are available: 2 node(s) had untolerated taint.", "place_none", {"free": 0, "nodes": 2}),
        ("0/2 nodes are available: 2 Insufficient example.com/fpga.", "place_none", {"free": 0, "nodes": 2}),
        ('persistentvolumeclaim "artifacts" not found', "place", {}),
    ],
)
def test_what_the_scheduler_says_is_said_in_a_sentence(message: str, code: str, params: dict[str, int]) -> None:
    verdict = under_way(homeless(message), begun=True)
    assert verdict == Verdict(state=RunState.PENDING, waiting=Waiting(code=code, params=params, words=message))


def test_the_cards_of_the_place_are_what_lacks() -> None:
    place = ClusterPlace(image="t", cards=Cards(resource="amd.com/gpu"))
    verdict = under_way(homeless("0/1 nodes are available: 1 Insufficient amd.com/gpu."), place=place)
    assert verdict.waiting is not None
    assert verdict.waiting.code == "place_gpu"


def test_a_place_that_is_not_found_for_long_ends_it() -> None:
    verdict = under_way(homeless("0/2 nodes are available", waited_s=180))
    assert verdict == Verdict(state=RunState.FAILED, reason=Reason.UNSCHEDULABLE, detail="0/2 nodes are available")


def test_a_gate_is_no_lack_of_room() -> None:
    gated = pod(condition("PodScheduled", "False", reason="SchedulingGated"), phase="Pending", node=None)
    assert under_way(gated).waiting == Waiting(code="pods", params={"running": 0, "wanted": 1})


def test_pods_come_up_then_load_then_run() -> None:
    assert under_way(machines=2).waiting == Waiting(code="pods", params={"running": 0, "wanted": 2})
    one = under_way(pod(), pod(phase="Pending"), machines=2)
    assert one.waiting == Waiting(code="pods", params={"running": 1, "wanted": 2})
    assert under_way(pod(), pod(), machines=2).waiting == Waiting(code="loading")
    assert under_way(pod(), pod(), machines=2, begun=True) == Verdict(state=RunState.RUNNING)


POLICY = 'Error creating: pods "a" is forbidden: violates\nPodSecurity "restricted"'
QUOTA = 'Error creating: pods "a" is forbidden: exceeded quota: team'


@pytest.mark.parametrize(
    "words",
    [
        POLICY,
        'Error creating: Pod "a" is invalid: spec.containers[0].image: Required value',
        'Error creating: admission webhook "cards.example" denied the request: no cards for you',
        """Error creating: pods "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no""",
    ],
)
def test_a_refusal_is_final(words: str) -> None:
    refused = Verdict(state=RunState.FAILED, reason=Reason.REFUSED, detail=" ".join(words.split()))
    assert verdicts.refused(job(), [words]) == refused
    assert verdicts.refused(job(), [QUOTA, words]) == refused


def test_a_quota_is_waited_for() -> None:
    assert verdicts.refused(job(), []) is None
    fresh = 'Error creating: pods "a" is forbidden: status unknown for quota: team, resources: requests.cpu'
    for words in (QUOTA, fresh):
        quota = Verdict(state=RunState.PENDING, waiting=Waiting(code="quota", words=words))
        assert verdicts.refused(job(), ["older", words]) == quota


@pytest.mark.parametrize(
    "words",
    [
        "Error creating: Internal error occurred: resource quota evaluation timed out",
        'Error creating: Operation cannot be fulfilled on resourcequotas "team": the object has been modified',
        'Error creating: Post "https://10.0.0.1:6443/api/v1/namespaces/a/pods": read: connection reset by peer',
        'Error creating: pods is forbidden: User "system:serviceaccount:kube-system:job-controller" cannot create '
        'resource "pods" in API group "" in the namespace "trainings"',
        'Error creating: pods "a" is forbidden: not yet ready to handle request',
    ],
)
def test_an_api_server_that_could_not_tell_has_not_refused(words: str) -> None:
    waiting = Waiting(code="pods", params={"running": 0, "wanted": 2}, words=words)
    assert verdicts.refused(job(machines=2), [words]) == Verdict(state=RunState.PENDING, waiting=waiting)
    assert verdicts.refused(job(), [POLICY, words]) == verdicts.refused(job(), [POLICY])


def test_what_kueue_says() -> None:
    waiting = condition("QuotaReserved", "False", message="couldn't assign flavors")
    assert verdicts.queue_words(
        {"status": {"conditions": [condition("Admitted", "False", message="no"), waiting]}}
    ) == ["couldn't assign flavors"]
    assert verdicts.queue_words({"status": {"conditions": [condition("QuotaReserved", message="yes")]}}) == []
    assert verdicts.queue_words({}) == []
