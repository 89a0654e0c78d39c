"""An attempt as Kubernetes objects: plain data in, plain data out."""

import json
from typing import Any

import pytest

from training.manifest import attempt_of, example_attempt, job, job_name, selector, service
from training.places import Cards, ClusterPlace
from training.pods import label_value
from training.runs import Attempt, AttemptId
from training.spec import TrainingSpec
from training.trainer.exits import Exit

Json = dict[str, Any]

ABOUT = {"experiment": "support", "task": "support-2", "owner": "Ada Lovelace"}


def attempt(**spec: Any) -> Attempt:
    return example_attempt(TrainingSpec(**spec), about=ABOUT)


def place(**more: Any) -> ClusterPlace:
    return ClusterPlace(image="trainer:1", claim="artifacts", **more)


def job_of(place_: ClusterPlace | None = None, *, bucket: str | None = None, **spec: Any) -> Json:
    return job(attempt(**spec), place_ or place(), bucket=bucket)


def pod_of(place_: ClusterPlace | None = None, *, bucket: str | None = None, **spec: Any) -> Json:
    found: Json = job_of(place_, bucket=bucket, **spec)["spec"]["template"]["spec"]
    return found


def container_of(place_: ClusterPlace | None = None, *, bucket: str | None = None, **spec: Any) -> Json:
    (found,) = pod_of(place_, bucket=bucket, **spec)["containers"]
    assert isinstance(found, dict)
    return found


def test_the_same_attempt_has_the_same_name_and_the_next_another() -> None:
    assert job_name(AttemptId("a1", 1)) == "tunesmith-a1-1"
    assert job_name(AttemptId("a1", 2)) == "tunesmith-a1-2"
    assert job_of()["metadata"]["name"] == job_name(attempt().id) == "tunesmith-example-1"


def test_labels_say_whose_it_is_and_annotations_in_full() -> None:
    metadata = job_of(place(instance="second"))["metadata"]
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "tunesmith-trainer",
        "app.kubernetes.io/managed-by": "tunesmith",
        "app.kubernetes.io/instance": "second",
        "app.kubernetes.io/component": "training",
        "tunesmith/experiment": "support",
        "tunesmith/task": "support-2",
        "tunesmith/owner": "Ada-Lovelace",
        "tunesmith/run": "example",
        "tunesmith/attempt": "1",
    }
    assert metadata["annotations"] == {f"tunesmith/{name}": value for name, value in ABOUT.items()}
    assert attempt_of(metadata["labels"]) == AttemptId("example", 1)


def test_pods_carry_the_labels_that_are_watched() -> None:
    labels = job_of(place(instance="second"))["spec"]["template"]["metadata"]["labels"]
    wanted = dict(each.split("=") for each in selector(place(instance="second")).split(","))
    assert wanted.items() <= labels.items()
    assert not wanted.items() <= job_of(place(instance="first"))["metadata"]["labels"].items()


def test_an_experiment_cannot_pretend_to_be_another_run() -> None:
    posing = Attempt(**{**vars(attempt()), "about": {"run": "other", "attempt": "9"}})
    assert attempt_of(job(posing, place(), bucket=None)["metadata"]["labels"]) == posing.id


@pytest.mark.parametrize(
    ("text", "value"),
    [("Ada Lovelace", "Ada-Lovelace"), ("客服", ""), ("-a_", "a"), ("x" * 70, "x" * 63), ("a" * 62 + " b", "a" * 62)],
)
def test_a_label_holds_what_labels_may(text: str, value: str) -> None:
    assert label_value(text) == value


def test_one_pod_a_machine_and_no_retry_of_a_lone_one() -> None:
    spec = job_of(nodes=3)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_only_an_interrupted_pod_is_made_again() -> None:
    lost, interrupted, other = job_of()["spec"]["podFailurePolicy"]["rules"]
    assert (lost["action"], lost["onPodConditions"][0]["type"]) == ("FailJob", "DisruptionTarget")
    code = [int(Exit.INTERRUPTED)]
    assert (interrupted["action"], interrupted["onExitCodes"]) == ("Ignore", {"operator": "In", "values": code})
    assert (other["action"], other["onExitCodes"]) == ("FailJob", {"operator": "NotIn", "values": code})


def test_the_first_pod_is_found_by_the_service() -> None:
    made = job_of(nodes=2)
    owner = {"metadata": {"name": "tunesmith-example-1", "uid": "7"}}
    found = service(attempt(nodes=2), place(), owner=owner)
    assert found["metadata"]["name"] == made["spec"]["template"]["spec"]["subdomain"] == "tunesmith-example-1"
    assert found["spec"] == {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"job-name": "tunesmith-example-1"},
        "ports": [{"name": "rendezvous", "port": 29500}],
    }
    assert found["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "tunesmith-example-1", "uid": "7", "controller": True}
    ]
    assert found["metadata"]["labels"] == made["metadata"]["labels"]


def test_the_command_says_which_share_of_which_attempt() -> None:
    command = container_of(place(python="/opt/python"), nodes=2)["command"]
    assert command == [
        "/opt/python", "-m", "training.trainer.pod", "/artifacts", "example", "1", "--nodes=2",
        "--node=$(JOB_COMPLETION_INDEX)", "--master=tunesmith-example-1-0.tunesmith-example-1",
    ]  # fmt: skip


def test_what_a_machine_asks_for_is_what_it_gets() -> None:
    resources = container_of(cpu=8, memory_gib=32, gpus_per_node=4)["resources"]
    amounts = {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "4"}
    assert resources == {"requests": amounts, "limits": amounts}
    cards = Cards(resource="amd.com/gpu")
    assert container_of(place(cards=cards), gpus_per_node=1)["resources"]["limits"]["amd.com/gpu"] == "1"


def test_without_cards_none_are_asked_for_and_any_node_will_do() -> None:
    cards = place(cards=Cards(products=("H100",)))
    assert set(container_of(cards, gpus_per_node=0)["resources"]["limits"]) == {"cpu", "memory"}
    assert "affinity" not in pod_of(cards, gpus_per_node=0)


def test_cards_by_product() -> None:
    affinity = pod_of(place(cards=Cards(products=("H100", "H200"))), gpus_per_node=1)["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {
        "matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100", "H200"]}]
    }
    assert "affinity" not in pod_of(gpus_per_node=1)
    labelled = pod_of(place(cards=Cards(products=("MI300",), product_label="amd.com/gpu.product")), gpus_per_node=1)
    assert "amd.com/gpu.product" in json.dumps(labelled["affinity"])


def test_several_machines_are_spread_and_one_is_not() -> None:
    (spread,) = pod_of(nodes=2)["topologySpreadConstraints"]
    assert (spread["maxSkew"], spread["topologyKey"]) == (1, "kubernetes.io/hostname")
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["labelSelector"] == {"matchLabels": {"job-name": "tunesmith-example-1"}}
    assert "topologySpreadConstraints" not in pod_of(nodes=1)


def test_what_the_place_adds() -> None:
    toleration = {"key": "gpu", "operator": "Exists"}
    given = place(priority_class="low", pull_secrets=("registry", "mirror"), tolerations=(toleration,), grace_s=90)
    pod = pod_of(given)
    assert pod["priorityClassName"] == "low"
    assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    assert pod["tolerations"] == [toleration]
    assert pod["terminationGracePeriodSeconds"] == 90
    assert not {"priorityClassName", "imagePullSecrets", "tolerations"} & pod_of().keys()


def test_a_deadline_and_how_long_an_ended_job_stays() -> None:
    spec = job_of(place(deadline_hours=1.5, keep_hours=2))["spec"]
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (5400, 7200)
    assert "activeDeadlineSeconds" not in job_of()["spec"]


def test_in_a_queue_it_begins_suspended_and_only_the_job_carries_the_label() -> None:
    made = job_of(place(queue="research"))
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert made["spec"]["suspend"] is True
    assert "kueue.x-k8s.io/queue-name" not in made["spec"]["template"]["metadata"]["labels"]
    without = job_of()
    assert "suspend" not in without["spec"]
    assert "kueue.x-k8s.io/queue-name" not in without["metadata"]["labels"]


def test_pods_are_confined() -> None:
    pod = pod_of(place(user_id=2000))
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 2000,
        "runAsGroup": 2000,
        "fsGroup": 2000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize(("memory_gib", "shared"), [(1, "1Gi"), (32, "16Gi"), (33, "16Gi")])
def test_half_of_the_memory_may_be_shared(memory_gib: int, shared: str) -> None:
    volumes = {volume["name"]: volume for volume in pod_of(memory_gib=memory_gib)["volumes"]}
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": shared}
    mounts = {mount["name"]: mount["mountPath"] for mount in container_of()["volumeMounts"]}
    assert mounts == {"work": "/work", "shared-memory": "/dev/shm", "artifacts": "/artifacts"}


def test_artifacts_on_a_claim_at_their_place_on_it() -> None:
    volumes = {volume["name"]: volume for volume in pod_of()["volumes"]}
    assert volumes["artifacts"] == {"name": "artifacts", "persistentVolumeClaim": {"claimName": "artifacts"}}
    mounts = {mount["name"]: mount for mount in container_of(place(claim_path="team/a"))["volumeMounts"]}
    assert mounts["artifacts"]["subPath"] == "team/a"
    assert "envFrom" not in container_of()


def test_a_buckets_keys_are_a_reference_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "TUNESMITH_SLACK_BOT_TOKEN"):
        monkeypatch.setenv(name, "sesame")
    given = place(bucket_secret="keys")
    container = container_of(given, bucket="s3://models/team")
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert container["command"][-1] == "--bucket=s3://models/team"
    assert container["command"][3] == "/work"
    made = job_of(given, bucket="s3://models/team")
    assert "sesame" not in json.dumps(made)
    assert "AWS_" not in json.dumps(made)
    assert "persistentVolumeClaim" not in json.dumps(made)
    assert "envFrom" not in container_of(bucket="s3://models/team")


def test_the_overlay_goes_over_everything_in_the_pod() -> None:
    overlay = {
        "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}, "labels": {"team": "a"}},
        "spec": {
            "nodeSelector": {"pool": "gpu"},
            "runtimeClassName": "nvidia",
            "containers": [{"name": "trainer", "env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}, {"name": "side"}],
            "volumes": [{"name": "work", "emptyDir": {"sizeLimit": "50Gi"}}],
        },
    }
    template = job_of(place(pod_overlay=overlay))["spec"]["template"]
    assert template["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}
    assert template["metadata"]["labels"]["team"] == "a"
    assert attempt_of(template["metadata"]["labels"]) == AttemptId("example", 1)
    pod = template["spec"]
    assert (pod["nodeSelector"], pod["runtimeClassName"]) == ({"pool": "gpu"}, "nvidia")
    trainer, side = pod["containers"]
    assert [each["name"] for each in trainer["env"]] == ["HOME", "TMPDIR", "NCCL_DEBUG"]
    assert trainer["image"] == "trainer:1"
    assert side == {"name": "side"}
    assert pod["volumes"][0] == {"name": "work", "emptyDir": {"sizeLimit": "50Gi"}}


def test_everything_is_json_and_fresh_each_time() -> None:
    given = place(pod_overlay={"metadata": {"labels": {"team": "a"}}})
    first = job_of(given)
    assert json.loads(json.dumps(first)) == first
    first["spec"]["template"]["metadata"]["labels"]["team"] = "b"
    first["metadata"]["labels"].clear()
    assert job_of(given)["spec"]["template"]["metadata"]["labels"]["team"] == "a"
