"""What a Deployment and its pods say of a host, as a kubelet writes it, where a real cluster is hard to bring to it."""

import ast
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.texts import LANGUAGES, texts
from serving import conditions
from serving.conditions import Trouble
from serving.manifest import SPEC_LABEL
from training.places import ClusterPlace

Json = dict[str, Any]
PLACE = ClusterPlace(image="trainer:1", pending_minutes=2, image_minutes=1)
QUOTA = 'pods "tunesmith-host-a-7c-x" is forbidden: exceeded quota: team, requested: limits.cpu=8, used: 0, limited: 4'


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str = "True", **more: str) -> Json:
    return {"type": kind, "status": status, **more}


def deployment(*found: Json, spec: str = "s1") -> Json:
    template = {"metadata": {"labels": {SPEC_LABEL: spec}}}
    return {
        "metadata": {"name": "tunesmith-host-a"},
        "spec": {"replicas": 1, "template": template},
        "status": {"conditions": list(found)} if found else {},
    }


def status(state: Json | None = None, *, name: str = "vllm", last: Json | None = None, id_: str = "") -> Json:
    return {
        "name": name,
        "state": state or {},
        "lastState": last or {},
        "containerID": id_,
        "restartCount": 1 if last else 0,
    }


def running() -> Json:
    return {"running": {"startedAt": ago(3)}}


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(code: int, reason: str = "Error") -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": ago(1), "containerID": "containerd://1"}}


def pod(
    *containers: Json,
    init: tuple[Json, ...] = (),
    found: tuple[Json, ...] = (),
    age_s: float = 5,
    leaves: bool = False,
    spec: str = "s1",
) -> Json:
    """On a node, unless ``found`` says otherwise."""
    metadata: Json = {"name": "p", "creationTimestamp": ago(age_s), "labels": {SPEC_LABEL: spec}}
    if leaves:
        metadata["deletionTimestamp"] = ago(0)
    kinds = {each["type"] for each in found}
    placed = () if "PodScheduled" in kinds else (condition("PodScheduled", lastTransitionTime=ago(5)),)
    told: Json = {"conditions": [*placed, *found]}
    if init:
        told["initContainerStatuses"] = list(init)
    if containers:
        told["containerStatuses"] = list(containers)
    return {"metadata": metadata, "spec": {}, "status": told}


def homeless(reason: str, message: str = "", *, waited_s: float = 0) -> Json:
    why = {"reason": reason, "message": message, "lastTransitionTime": ago(waited_s)}
    return pod(found=(condition("PodScheduled", "False", **why),), age_s=9999)


def trouble(*pods: Json, of: Json | None = None) -> Trouble:
    return conditions.trouble(of or deployment(), pods, PLACE)


# Ready, current, which vLLM it is


@pytest.mark.parametrize(
    ("one", "is_ready"),
    [
        (pod(status(running()), found=(condition("Ready"),)), True),
        (pod(status(running()), found=(condition("Ready", "False", reason="ContainersNotReady"),)), False),
        (pod(status(running()), found=(condition("Ready", "Unknown"),)), False),
        (pod(status(running()), found=(condition("ContainersReady"),)), False),
        (pod(status(running()), found=(condition("Ready"),), leaves=True), False),
        ({"metadata": {"name": "p", "labels": {}}, "status": {}}, False),
    ],
)
def test_a_pod_is_ready_when_the_cluster_says_so_and_it_stays(one: Json, is_ready: bool) -> None:
    assert conditions.is_ready(one) is is_ready


def test_a_pod_is_current_when_it_is_made_as_the_deployment_says_now() -> None:
    assert conditions.is_current(pod(spec="s1"), deployment(spec="s1"))
    assert not conditions.is_current(pod(spec="s1"), deployment(spec="s2"))


def test_another_start_is_another_container() -> None:
    side = status(running(), name="side", id_="containerd://side")
    assert conditions.container_id(pod(side, status(running(), id_="containerd://1"))) == "containerd://1"
    assert conditions.container_id(pod(status(waiting("ContainerCreating")))) == ""
    assert conditions.container_id(pod()) == ""


# Ended


@pytest.mark.parametrize(
    ("one", "container", "how"),
    [
        (pod(status(terminated(1))), "vllm", 1),
        (pod(status(terminated(0, "Completed"))), "vllm", 0),
        (pod(status(terminated(137, "OOMKilled"))), "vllm", 137),
        (pod(status(waiting("CrashLoopBackOff", "back-off 10s"), last=terminated(139))), "vllm", 139),
        (pod(status(waiting("PodInitializing")), init=(status(terminated(1), name="weights"),)), "weights", 1),
        (pod(status(waiting("CrashLoopBackOff"), name="adapters", last=terminated(2))), "adapters", 2),
        (pod(status(terminated(128, "StartError"))), "vllm", 128),
    ],
)
def test_a_container_that_ended_is_told_with_how(one: Json, container: str, how: int) -> None:
    assert conditions.has_crashed(one)
    found = conditions.ended_container([pod(status(running())), one])
    assert found is not None
    assert (found[0], found[1], found[2]["exitCode"]) == (one, container, how)


def test_how_it_ended_may_be_forgotten() -> None:
    found = conditions.ended_container([pod(status(waiting("CrashLoopBackOff")))])
    assert found is not None
    assert found[1:] == ("vllm", {})


@pytest.mark.parametrize(
    "one",
    [
        pod(),
        pod(status(waiting("ContainerCreating"))),
        pod(status(running())),
        pod(status(running(), last=terminated(1))),
        pod(status(running()), init=(status(terminated(0, "Completed"), name="weights"),)),
        pod(status(terminated(143)), leaves=True),
    ],
    ids=["new", "made", "runs", "runs again", "weights are there", "on its way out"],
)
def test_what_goes_on_or_was_ended_on_purpose_has_not_crashed(one: Json) -> None:
    assert not conditions.has_crashed(one)
    assert conditions.ended_container([one]) is None


# What is waited for


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull"])
def test_an_image_is_waited_for_a_while(reason: str) -> None:
    state = waiting(reason, 'Back-off pulling image\n "vllm:1"')
    words = 'Back-off pulling image "vllm:1"'
    assert trouble(pod(status(state))) == Trouble(code="image", words=words)
    late = (condition("PodScheduled", lastTransitionTime=ago(61)),)
    assert trouble(pod(status(state), found=late)) == Trouble(code="no_image", words=words, is_hopeless=True)
    of_the_trainer = pod(status(waiting("PodInitializing")), init=(status(state, name="weights"),), found=late)
    assert trouble(of_the_trainer).code == "no_image"


def test_an_image_that_cannot_be_pulled_ever() -> None:
    found = trouble(pod(status(waiting("InvalidImageName", "couldn't parse image name"))))
    assert found == Trouble(code="no_image", words="couldn't parse image name", is_hopeless=True)


def test_patience_with_an_image_begins_on_a_node_and_with_the_weights_there() -> None:
    """A pod may have waited for hours for its card, and the weights take their time."""
    state = status(waiting("ErrImagePull"))
    assert trouble(pod(state, age_s=9999)).code == "image"
    done = (
        condition("PodScheduled", lastTransitionTime=ago(9999)),
        condition("Initialized", lastTransitionTime=ago(5)),
    )
    assert trouble(pod(state, found=done)).code == "image"
    begun = (condition("PodScheduled", lastTransitionTime=ago(9999)), condition("Initialized", "False"))
    assert trouble(pod(state, found=begun)).code == "no_image"


@pytest.mark.parametrize("reason", ["CreateContainerConfigError", "CreateContainerError"])
def test_a_secret_may_come_a_little_later(reason: str) -> None:
    state = status(waiting(reason, 'secret "keys" not found'))
    assert trouble(pod(state)) == Trouble(code="pods", words='secret "keys" not found')
    late = (condition("PodScheduled", lastTransitionTime=ago(61)),)
    assert trouble(pod(state, found=late)) == Trouble(code="refused", words='secret "keys" not found', is_hopeless=True)


def test_a_node_is_waited_for_a_while() -> None:
    words = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    assert trouble(homeless("Unschedulable", words, waited_s=100)) == Trouble(code="node", words=words)
    late = trouble(homeless("Unschedulable", words, waited_s=121))
    assert late == Trouble(code="no_node", words=words, is_hopeless=True)


def test_a_queue_is_waited_for_however_long() -> None:
    found = trouble(homeless("SchedulingGated", "Scheduling is blocked due to non-empty gates", waited_s=99999))
    assert found == Trouble(code="queue", words="Scheduling is blocked due to non-empty gates")


def test_a_quota_may_have_room_later_and_what_refuses_for_minutes_will_not_change_its_mind() -> None:
    def failing(message: str, state: str = "True", since_s: float = 61) -> Json:
        found = condition(
            "ReplicaFailure", state, reason="FailedCreate", message=message, lastTransitionTime=ago(since_s)
        )
        return deployment(found)

    assert trouble(of=failing(QUOTA)) == Trouble(code="quota", words=QUOTA)
    policy = 'pods "a-x" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes'
    assert trouble(of=failing(policy)) == Trouble(code="refused", words=policy, is_hopeless=True)
    away = 'failed calling webhook "pods.example": context deadline exceeded'
    assert trouble(of=failing(away, since_s=5)) == Trouble(code="refused", words=away)
    unset = 'pods "a-x" is forbidden: failed quota: team: must specify limits.cpu for: side'
    assert trouble(of=failing(unset)).is_hopeless
    assert trouble(of=failing(policy, "False")) == Trouble(code="pods")
    assert trouble(pod(status(running())), of=failing(QUOTA)).code == "loading", "an old failure of another replica"


ADAPTERS = status(running(), name="adapters")


@pytest.mark.parametrize(
    ("pods", "code"),
    [
        ((), "pods"),
        ((pod(),), "pods"),
        ((pod(status(waiting("ContainerCreating"))),), "pods"),
        ((pod(status(waiting("PodInitializing")), init=(status(running(), name="weights"),)),), "weights"),
        (
            (
                pod(
                    status(waiting("PodInitializing")),
                    init=(status(terminated(0, "Completed"), name="weights"), ADAPTERS),
                ),
            ),
            "pods",
        ),
        ((pod(status(running()), init=(status(terminated(0), name="weights"), ADAPTERS)),), "loading"),
        ((pod(status(waiting("ContainerCreating"))), pod(status(running()))), "loading"),
    ],
    ids=["none", "new", "made", "weights come", "weights are there", "loads", "one of two loads"],
)
def test_what_it_does_until_it_answers(pods: tuple[Json, ...], code: str) -> None:
    assert trouble(*pods) == Trouble(code=code)


def test_words_are_one_line_and_not_long() -> None:
    found = trouble(homeless("Unschedulable", "no\nroom  " + "x" * 900))
    assert found.words.startswith("no room x")
    assert len(found.words) == 500


def codes() -> set[str]:
    """Every code that the module can say."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(conditions))) if isinstance(node, ast.Call)]
    given = [word.value for call in calls for word in call.keywords if word.arg == "code"]
    constants = [node.value for value in given for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return {value for value in constants if isinstance(value, str)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_can_be_said(language: str) -> None:
    text = texts(language)
    in_vain = {"no_image", "no_node", "refused"}
    assert codes() - in_vain == {"image", "node", "queue", "quota", "pods", "weights", "loading"}
    assert all(text(f"host.waiting.{code}") for code in codes() - in_vain)
    assert all(text(f"host.{code}") for code in in_vain)
