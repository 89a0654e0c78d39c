"""Where trainings run: the environment and a file of places, and every refusal in a sentence."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bot.places import machine_of, read_places
from bot.settings import Settings, read_settings
from bot.stopping import CannotGoOnError
from bot.texts import texts
from serving.arguments import TAKEN
from tests.places import PROJECT
from training.manifest import example_attempt, job
from training.places import GIB, Cards, ClusterPlace, ServingPlace
from training.spec import TrainingSpec

GIVEN = {"runs": "kubernetes", "image": "trainer:1", "artifacts_claim": "files"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def places(**more: Any) -> tuple[ClusterPlace, ...]:
    return read_places(read_settings(**{**GIVEN, **more}))


def refusal(**more: Any) -> tuple[str, dict[str, str | int]]:
    """The code and what its sentence is made of; both languages have it."""
    with pytest.raises(CannotGoOnError) as caught:
        places(**more)
    for language in ("en", "zh-CN"):
        assert texts(language)(f"cannot.{caught.value.code}", **caught.value.values)
    return caught.value.code, caught.value.values


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


def test_trainings_on_this_machine_have_no_place() -> None:
    assert places(runs="local") == ()


def test_one_place_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    overlay = write(tmp_path, "spec: {nodeSelector: {pool: gpu}}\n")
    given = {
        "KUBE_CONTEXT": "north", "NAMESPACE": "team", "IMAGE": "trainer:2", "INSTANCE": "second",
        "ARTIFACTS_CLAIM": "files", "ARTIFACTS_PATH": "team/a", "KUEUE_QUEUE": "research",
        "POD_OVERLAY": str(overlay), "POD_PYTHON": "/opt/python", "RUNS": "kubernetes",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"TUNESMITH_{name}", value)
    (place,) = read_places(read_settings())
    assert place.name == "cluster"
    assert (place.context, place.namespace, place.image, place.instance) == ("north", "team", "trainer:2", "second")
    assert (place.claim, place.claim_path, place.queue) == ("files", "team/a", "research")
    assert place.python == "/opt/python"
    assert place.pod_overlay == {"spec": {"nodeSelector": {"pool": "gpu"}}}
    assert place.kubeconfig is None


def test_what_is_not_said_is_as_the_place_has_it() -> None:
    (place,) = places()
    assert place == ClusterPlace(image="trainer:1", claim="files", user_id=place.user_id)
    assert place.user_id >= 1


def test_several_places_share_the_environment_and_go_before_it(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        - {name: north, context: north, cards: {per_node: 4, products: [H100]}, node_cpu: 64}
        - {name: south, context: south, namespace: other, image: "trainer:south", deadline_hours: 12}
        """,
    )
    north, south = places(places=file, namespace="team", kueue_queue="research")
    assert (north.name, north.namespace, north.image) == ("north", "team", "trainer:1")
    assert (south.name, south.namespace, south.image) == ("south", "other", "trainer:south")
    assert (north.cards, north.node_cpu, south.deadline_hours) == (Cards(per_node=4, products=("H100",)), 64, 12)
    assert (north.claim, south.claim, north.queue, south.queue) == ("files", "files", "research", "research")


def test_a_place_may_name_the_file_of_its_overlay_or_hold_it(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("metadata: {labels: {team: a}}\n")
    file = write(
        tmp_path,
        f"- {{name: a, namespace: a, pod_overlay: {overlay}}}\n- {{name: b, pod_overlay: {{spec: {{hostPID: true}}}}}}",
    )
    first, second = places(places=file)
    assert first.pod_overlay == {"metadata": {"labels": {"team": "a"}}}
    assert second.pod_overlay == {"spec": {"hostPID": True}}


def test_with_a_bucket_no_claim_is_needed() -> None:
    (place,) = places(artifacts_claim=None, artifacts_root="s3://models", artifacts_secret="keys")
    assert (place.claim, place.bucket_secret) == (None, "keys")


def test_a_folder_needs_a_claim(tmp_path: Path) -> None:
    assert refusal(artifacts_claim=None, artifacts_root=tmp_path) == ("no_claim", {"root": str(tmp_path)})


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"image": None}, "image"),
        ({"image": ""}, "image"),
        ({"namespace": "Team A"}, "namespace"),
        ({"namespace": "x" * 64}, "namespace"),
        ({"instance": "-a"}, "instance"),
        ({"artifacts_claim": "a_b"}, "claim"),
        ({"kueue_queue": "a/b"}, "queue"),
    ],
)
def test_a_value_that_cannot_be_is_named(given: dict[str, Any], field: str) -> None:
    code, values = refusal(**given)
    assert (code, values["number"], values["field"]) == ("read_place", 1, field)


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ("colour: red", "colour"),
        ("cards: {per_node: -1}", "cards.per_node"),
        ("cards: {colour: red}", "cards.colour"),
        ("grace_s: 0", "grace_s"),
        ("user_id: 0", "user_id"),
        ("tolerations: always", "tolerations"),
        ("pod_overlay: [1]", "pod_overlay"),
    ],
)
def test_a_field_of_the_file_that_cannot_be_is_named_with_its_place(tmp_path: Path, entry: str, field: str) -> None:
    file = write(tmp_path, f"- {{name: a, namespace: a}}\n- {{name: b, {entry}}}\n")
    code, values = refusal(places=file)
    assert (code, values["number"], values["field"]) == ("read_place", 2, field)


def test_two_places_of_one_name_or_of_one_namespace(tmp_path: Path) -> None:
    code, values = refusal(places=write(tmp_path, "- {name: a, namespace: x}\n- {name: a, namespace: y}\n"))
    assert (code, values["names"]) == ("place_twice", "a, a")
    code, values = refusal(places=write(tmp_path, "- {name: a, namespace: x}\n- {name: b, namespace: x}\n"))
    assert (code, values["names"]) == ("place_shared", "a, b")


@pytest.mark.parametrize(
    "text", ["", "[]", "name: a", "- a\n", "3", "- {name: a\n", "\x00", "- !!python/object:a.b {}\n"]
)
def test_a_file_that_is_no_list_of_places(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    code, values = refusal(places=file)
    assert (code, values["file"]) == ("read_yaml", str(file))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    assert refusal(places=tmp_path / "none.yaml")[1]["problem"] == "FileNotFoundError"
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xff")
    assert refusal(places=tmp_path / "binary.yaml")[1]["problem"] == "UnicodeDecodeError"
    assert refusal(pod_overlay=tmp_path / "none.yaml")[0] == "read_yaml"


@pytest.mark.parametrize("text", ["- a\n", "", "spec: {}\nkind: Pod\n", "nodeSelector: {a: b}\n"])
def test_an_overlay_is_metadata_and_spec_of_a_pod(tmp_path: Path, text: str) -> None:
    code, values = refusal(pod_overlay=write(tmp_path, text))
    assert code == "read_yaml"
    assert "metadata" in str(values["problem"])


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("spec: {containers: [{image: x}]}\n", "spec.containers[0]"),
        ("spec: {containers: {name: trainer}}\n", "spec.containers"),
        ("spec: 3\n", "spec"),
    ],
)
def test_an_overlay_that_cannot_be_merged_is_named_by_its_path(tmp_path: Path, text: str, field: str) -> None:
    code, values = refusal(pod_overlay=write(tmp_path, text))
    assert (code, values["field"]) == ("merge_overlay", field)


SERVED = {"serving": "kubernetes", "serving_image": "vllm:1"}


def test_models_are_served_where_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    overlay = write(tmp_path, "spec: {nodeSelector: {pool: answers}}\n")
    given = {
        "SERVING": "kubernetes", "SERVING_IMAGE": "vllm:2", "SERVING_BUILD": "cpu", "SERVING_POD_PYTHON": "/opt/python",
        "SERVING_QUEUE": "answers", "SERVING_OVERLAY": str(overlay), "SERVER_NAMESPACE": "tools",
        "SERVER_LABELS": "app.kubernetes.io/name=tunesmith, app.kubernetes.io/component=server",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"TUNESMITH_{name}", value)
    (place,) = places()
    assert place.serving == ServingPlace(
        image="vllm:2",
        build="cpu",
        python="/opt/python",
        queue="answers",
        server_labels={"app.kubernetes.io/name": "tunesmith", "app.kubernetes.io/component": "server"},
        server_namespace="tools",
        pod_overlay={"spec": {"nodeSelector": {"pool": "answers"}}},
    )


def test_models_are_served_on_the_servers_machine_where_nothing_is_said(tmp_path: Path) -> None:
    file = write(tmp_path, "- {name: a, serving: {image: x}}\n")
    assert [place.serving for place in places(places=file, serving_image="vllm:1")] == [None]


def test_what_is_not_said_of_serving_is_as_the_place_has_it() -> None:
    (place,) = places(**SERVED)
    assert place.serving == ServingPlace(image="vllm:1")


def test_a_place_lays_its_own_over_the_environment(tmp_path: Path) -> None:
    (tmp_path / "overlay.yaml").write_text("metadata: {labels: {team: a}}\n")
    file = write(
        tmp_path,
        f"""
        - {{name: a, namespace: a, serving: {{queue: answers, gpus: 2, pod_overlay: {tmp_path / "overlay.yaml"}}}}}
        - {{name: b, namespace: b, serving: null}}
        - {{name: c, context: other, serving: {{image: "vllm:3", weights_claim: weights, server_labels: {{app: me}}}}}}
        - {{name: d, kubeconfig: /elsewhere}}
        """,
    )
    a, b, c, d = places(places=file, **SERVED, serving_queue="any", server_labels={"app": "server"})
    assert a.serving == ServingPlace(
        image="vllm:1",
        queue="answers",
        gpus=2,
        server_labels={"app": "server"},
        pod_overlay={"metadata": {"labels": {"team": "a"}}},
    )
    assert b.serving is None
    assert c.serving is not None
    assert (c.serving.image, c.serving.weights_claim, c.serving.server_labels) == ("vllm:3", "weights", {"app": "me"})
    assert d.serving is not None
    assert d.serving.server_labels is None, "the server's pod is not in another cluster"
    assert (c.serving.queue, d.serving.queue) == ("any", "any")


def test_serving_that_cannot_be(tmp_path: Path) -> None:
    assert refusal(runs="local", **SERVED) == ("serving_without_runs", {})
    assert refusal(serving="kubernetes") == ("no_serving_image", {"number": 1})
    nowhere = write(tmp_path, "- {name: a, serving: null}\n")
    assert refusal(places=nowhere, **SERVED) == ("served_nowhere", {"file": str(nowhere)})


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ("serving: yes", "serving"),
        ("serving: {colour: red}", "serving.colour"),
        ("serving: {build: fast}", "serving.build"),
        ("serving: {image: ''}", "serving.image"),
        ("serving: {gpus: -1}", "serving.gpus"),
        ("serving: {weights_claim: A_B}", "serving.weights_claim"),
        ("serving: {pod_overlay: [1]}", "serving.pod_overlay"),
    ],
)
def test_a_field_of_serving_that_cannot_be_is_named(tmp_path: Path, entry: str, field: str) -> None:
    code, values = refusal(places=write(tmp_path, f"- {{name: a, {entry}}}\n"), **SERVED)
    assert (code, values["number"], values["field"]) == ("read_place", 1, field)


def test_an_overlay_of_serving_that_cannot_be_merged(tmp_path: Path) -> None:
    code, values = refusal(serving_overlay=write(tmp_path, "spec: {containers: [{image: x}]}\n"), **SERVED)
    assert (code, values["setting"]) == ("merge_overlay", "TUNESMITH_SERVING_OVERLAY")
    assert refusal(serving_overlay=tmp_path / "none.yaml", **SERVED)[0] == "read_yaml"


@pytest.mark.parametrize("labels", ["app", "a=b=c", "a b=c", "=x"])
def test_labels_are_names_with_values(monkeypatch: pytest.MonkeyPatch, labels: str) -> None:
    monkeypatch.setenv("TUNESMITH_SERVER_LABELS", labels)
    with pytest.raises(ValidationError, match="name=value"):
        read_settings()


def test_a_plan_may_use_one_nodes_share() -> None:
    cards = Cards(per_node=4, products=("H100", "H200"), memory_gib=79.5, has_bf16=False)
    machine = machine_of(ClusterPlace(image="t", cards=cards, node_cpu=48, node_memory_gib=512, packages=("liger",)))
    assert (machine.cores, machine.memory_bytes, machine.available_memory_bytes) == (48, 512 * GIB, 512 * GIB)
    assert [gpu.name for gpu in machine.gpus] == ["H100"] * 4
    assert {(gpu.memory_bytes, gpu.supports_bf16) for gpu in machine.gpus} == {(round(79.5 * GIB), False)}
    assert machine.packages == {"liger"}
    assert machine.is_cluster


def test_cards_without_a_product_are_named_by_what_pods_ask_for() -> None:
    machine = machine_of(ClusterPlace(image="t", cards=Cards(per_node=1, resource="amd.com/gpu")))
    assert [gpu.name for gpu in machine.gpus] == ["amd.com/gpu"]
    assert machine_of(ClusterPlace(image="t", cards=Cards(per_node=0))).gpus == ()


@pytest.mark.parametrize("page", ["kubernetes.md", "kubernetes.zh.md"])
def test_the_docs_name_every_field_and_their_examples_hold(page: str, tmp_path: Path) -> None:
    text = (PROJECT / "docs" / page).read_text()
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert listed >= ClusterPlace.model_fields.keys() | Cards.model_fields.keys() | ServingPlace.model_fields.keys()
    assert set(re.findall(r"TUNESMITH_(\w+)`", text)) <= {name.upper() for name in Settings.model_fields}

    _, several, overlay, peers, serving_overlay = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    north, south = places(places=write(tmp_path, several))
    assert (north.cards.products, south.cards.per_node, south.queue) == (("NVIDIA-H100-80GB-HBM3",), 0, "research")
    (place,) = places(pod_overlay=write(tmp_path, overlay))
    pod = job(example_attempt(TrainingSpec()), place, bucket=None)["spec"]["template"]["spec"]
    assert pod["volumes"][0] == {"name": "work", "hostPath": {"path": "/scratch", "type": "Directory"}}
    assert {"name": "NCCL_DEBUG", "value": "INFO"} in pod["containers"][0]["env"]
    (place,) = places(places=write(tmp_path, peers), **SERVED)
    assert place.serving is not None
    assert place.serving.peers == ({"ipBlock": {"cidr": "10.0.0.10/32"}},)
    (place,) = places(serving_overlay=write(tmp_path, serving_overlay), **SERVED)
    assert place.serving is not None
    assert place.serving.pod_overlay["spec"]["containers"][0]["name"] == "vllm"
    assert set(re.findall(r"`--([\w-]+)`", text)) >= TAKEN.keys()
