"""What `tunesmith doctor` shows to the API server of a place where models are served."""

import json
from typing import Any

import pytest

from bot.diagnoses import State, found
from bot.doctor_serving import PROXY_RIGHTS, example_deployment, serving_rights
from bot.texts import LANGUAGES, texts
from training.places import Cards, ClusterPlace, ServingPlace


def place(**serving: Any) -> ClusterPlace:
    served = ServingPlace(image="vllm:1", **serving)
    return ClusterPlace(image="trainer:1", claim="artifacts", cards=Cards(products=("H100",)), serving=served)


@pytest.mark.parametrize("is_bucket", [False, True], ids=["volume", "bucket"])
def test_what_is_shown_is_a_host_with_what_the_place_gives(is_bucket: bool) -> None:
    given = place(gpus=2, queue="answers", pod_overlay={"spec": {"runtimeClassName": "nvidia"}})
    made = example_deployment(given, is_bucket=is_bucket)
    assert made["kind"] == "Deployment"
    assert made["metadata"]["name"].startswith("tunesmith-host-doctor-")
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "answers"
    pod = made["spec"]["template"]["spec"]
    (vllm,) = pod["containers"]
    assert (vllm["image"], vllm["resources"]["limits"]["nvidia.com/gpu"]) == ("vllm:1", "2")
    assert pod["runtimeClassName"] == "nvidia"
    assert "H100" in json.dumps(pod["affinity"])
    assert ("initContainers" in pod) is is_bucket


def test_the_cpu_build_gets_no_cards() -> None:
    assert "nvidia.com/gpu" not in json.dumps(example_deployment(place(build="cpu", gpus=2), is_bucket=False))


def test_no_two_are_of_one_name() -> None:
    one, other = (example_deployment(place(), is_bucket=False) for _ in range(2))
    assert one["metadata"]["name"] != other["metadata"]["name"]


def test_only_from_outside_pods_are_reached_through_the_api_server() -> None:
    assert PROXY_RIGHTS.items() <= serving_rights(ServingPlace(image="vllm:1")).items()
    within = serving_rights(ServingPlace(image="vllm:1", server_labels={"app": "server"}))
    assert not PROXY_RIGHTS.keys() & within.keys()
    # A patch would show the whole Secret.
    assert within["secrets"] == ("create", "delete")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", ["ok", "warn", "bad"])
def test_what_the_api_server_says_can_be_said(language: str, state: State) -> None:
    values = {"image": "vllm:1"} if state == "ok" else {"error": "hostPID is forbidden."}
    sentence = found("host", state, place="north", **values).sentence(texts(language))
    assert "north" in sentence
    assert all(value in sentence for value in values.values())
