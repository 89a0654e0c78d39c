"""What `tunesmith doctor` finds at a place of a real cluster, and that its commands mend it."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.diagnoses import Diagnosis
from bot.doctor_cluster import diagnose_place
from bot.texts import texts
from tests.cluster import charts
from tests.cluster.cluster import Cluster
from tests.cluster.stage import CLAIM, apply, make_namespace, place_for
from training.places import Cards, ClusterPlace, ServingPlace

NAMESPACE = "doctored"
EN = texts("en")


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    make_namespace(cluster, NAMESPACE, tmp_path_factory.mktemp("doctored"))
    return NAMESPACE


@pytest.fixture(scope="module")
def place(cluster: Cluster, namespace: str) -> ClusterPlace:
    """Seen with the rights of the chart's account; its pods are as the product makes them."""
    account = charts.install_account(cluster, namespace, rbac={"readNodes": True})
    return place_for(account, namespace, "doctored", pod_overlay={}, cards=Cards(per_node=0))


@pytest.fixture
def gpus(cluster: Cluster) -> Iterator[None]:
    def offer(count: str | None, *labels: str) -> None:
        amount = {"nvidia.com/gpu": count}
        change = json.dumps({"status": {"capacity": amount, "allocatable": amount}})
        cluster.kubectl("patch", "node", "n1", "n2", "--subresource=status", "--type=merge", "-p", change)
        cluster.kubectl("label", "node", "n1", "n2", "--overwrite", *labels)

    offer("4", "nvidia.com/gpu.product=H100")
    yield
    offer(None, "nvidia.com/gpu.product-")


def look(place: ClusterPlace, *, is_bucket: bool = False, **change: object) -> dict[str, Diagnosis]:
    """The findings by name; each can be said in both languages."""
    findings = diagnose_place(place.model_copy(update=change), is_bucket=is_bucket)
    assert all(finding.sentence(texts(language)) for finding in findings for language in ("en", "zh-CN"))
    return {finding.name: finding for finding in findings}


def said(findings: dict[str, Diagnosis]) -> dict[str, tuple[str, str]]:
    return {name: (finding.state, finding.code) for name, finding in findings.items()}


def test_a_place_that_lacks_nothing(place: ClusterPlace) -> None:
    findings = look(place)
    assert said(findings) == {
        "cluster": ("ok", "ok"),
        "namespace": ("ok", "unseen"),
        "rights": ("ok", "ok"),
        "job": ("ok", "ok"),
        "quota": ("ok", "none"),
        "claim": ("ok", "ok"),
        "cards": ("ok", "none"),
    }
    assert findings["cluster"].values["version"] == "v1.36.3"
    assert findings["rights"].values["account"] == f"system:serviceaccount:{NAMESPACE}:tunesmith"
    assert findings["claim"].values["size"] == "10Gi"


def test_an_account_without_rights_gets_them_by_the_commands(cluster: Cluster, place: ClusterPlace) -> None:
    cluster.kubectl("create", "serviceaccount", "nobody", f"--namespace={NAMESPACE}")
    nobody = place.model_copy(
        update={"kubeconfig": cluster.service_account_kubeconfig(NAMESPACE, "nobody"), "cards": Cards()}
    )
    findings = diagnose_place(nobody, is_bucket=False)
    lacking = [finding for finding in findings if finding.name == "rights"]
    assert [finding.values["resource"] for finding in lacking] == [
        "jobs.batch", "services", "pods", "pods/log", "events"
    ]  # fmt: skip
    assert lacking[0].values["verbs"] == "get, list, watch, create, patch, delete"
    assert {(finding.state, finding.code) for finding in lacking} == {("bad", "bad")}
    assert said({finding.name: finding for finding in findings}).items() >= {
        "namespace": ("ok", "unseen"), "quota": ("ok", "unseen"), "claim": ("ok", "unseen"), "cards": ("ok", "unseen")
    }.items()  # fmt: skip
    for finding in findings:
        for command in filter(None, str(finding.values.get("command", "")).split(" && ")):
            assert command in finding.sentence(EN)
            cluster.kubectl(*shlex.split(command.removeprefix("kubectl")))
    assert said(look(nobody)) == {
        "cluster": ("ok", "ok"),
        "namespace": ("warn", "warn"),
        "rights": ("ok", "ok"),
        "job": ("ok", "ok"),
        "quota": ("ok", "none"),
        "claim": ("ok", "ok"),
        "cards": ("warn", "missing"),
    }


def test_no_namespace_and_how_strict_one_is(cluster: Cluster, place: ClusterPlace) -> None:
    findings = look(place, kubeconfig=cluster.kubeconfig, namespace="nowhere")
    assert said(findings).items() >= {"namespace": ("bad", "missing"), "claim": ("bad", "missing")}.items()
    assert "`kubectl create namespace nowhere`" in findings["namespace"].sentence(EN)
    loose = look(place, kubeconfig=cluster.kubeconfig)["namespace"]
    assert loose.values["level"] == "privileged"
    charts.make_namespace(cluster, "doctored-strict")
    assert look(place, kubeconfig=cluster.kubeconfig, namespace="doctored-strict")["namespace"].code == "ok"


def test_a_job_that_is_refused_or_warned_of(cluster: Cluster, place: ClusterPlace) -> None:
    refused = look(place, tolerations=({"operator": "Perhaps"},))["job"]
    assert (refused.state, "toleration" in str(refused.values["error"])) == ("bad", True)
    charts.make_namespace(cluster, "doctored-warned")
    warned = place.model_copy(update={"kubeconfig": cluster.kubeconfig, "namespace": "doctored-warned"})
    assert look(warned)["job"].state == "ok"
    privileged = {"containers": [{"name": "trainer", "securityContext": {"privileged": True}}]}
    contradiction = look(warned, pod_overlay={"spec": privileged})["job"]
    assert (contradiction.state, "privileged" in str(contradiction.values["error"])) == ("bad", True)
    host = look(warned, pod_overlay={"spec": {"hostNetwork": True}})["job"]
    assert (host.state, "host namespaces" in str(host.values["error"])) == ("warn", True)


def test_how_much_of_a_quota_is_left(cluster: Cluster, place: ClusterPlace) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": NAMESPACE}}
    hard = {"requests.cpu": "8", "requests.memory": "64Gi", "requests.nvidia.com/gpu": "4", "secrets": "10"}
    apply(cluster, {**quota, "spec": {"hard": hard}})
    wait = ("wait", "--for=jsonpath={.status.used.secrets}", "resourcequota/team", f"--namespace={NAMESPACE}")
    try:
        cluster.kubectl(*wait, "--timeout=30s")
        left = look(place)["quota"]
        assert (left.state, left.values["amounts"]) == (
            "ok", "requests.cpu 0/8; requests.memory 0/64Gi; requests.nvidia.com/gpu 0/4"
        )  # fmt: skip
        cluster.kubectl("delete", "resourcequota", "team", f"--namespace={NAMESPACE}")
        apply(cluster, {**quota, "spec": {"hard": {"requests.cpu": "0", "secrets": "10"}}})
        cluster.kubectl(*wait, "--timeout=30s")
        spent = look(place)["quota"]
        assert (spent.state, spent.values["amounts"]) == ("warn", "requests.cpu 0/0")
    finally:
        cluster.kubectl("delete", "resourcequota", "team", f"--namespace={NAMESPACE}", "--ignore-not-found")


def test_claims_that_do_not_serve(cluster: Cluster, place: ClusterPlace, tmp_path: Path) -> None:
    def claim(name: str, mode: str, volume: str = "") -> None:
        size = {"storage": "1Gi"}
        spec = {"accessModes": [mode], "storageClassName": "", "volumeName": volume, "resources": {"requests": size}}
        metadata = {"name": name, "namespace": NAMESPACE}
        claimed = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
        capacity = {
            "capacity": size,
            "accessModes": [mode],
            "storageClassName": "",
            "hostPath": {"path": str(tmp_path)},
        }
        persistent = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": capacity}
        apply(cluster, claimed, *([persistent] if volume else []))

    assert said(look(place, claim="none"))["claim"] == ("bad", "missing")
    claim("later", "ReadWriteMany")
    assert said(look(place, claim="later"))["claim"] == ("warn", "unbound")
    for name, mode, state in (("one", "ReadWriteOnce", "warn"), ("reading", "ReadOnlyMany", "bad")):
        claim(name, mode, f"doctored-{name}")
        bound = "--for=jsonpath={.status.phase}=Bound"
        cluster.kubectl("wait", bound, f"pvc/{name}", f"--namespace={NAMESPACE}", "--timeout=30s")
        assert said(look(place, claim=name))["claim"] == (state, "alone")
    assert said(look(place, claim=CLAIM))["claim"] == ("ok", "ok")


def test_with_a_bucket_the_secret_is_named(place: ClusterPlace) -> None:
    assert said(look(place, is_bucket=True, claim=None))["bucket_secret"] == ("warn", "warn")
    named = look(place, is_bucket=True, claim=None, bucket_secret="bucket")
    assert said(named)["bucket_secret"] == ("ok", "ok")
    assert "claim" not in named


@pytest.mark.usefixtures("gpus")
def test_the_cards_that_the_nodes_have(place: ClusterPlace) -> None:
    cards = look(place, cards=Cards(per_node=4))["cards"]
    assert (cards.state, cards.code) == ("ok", "ok")
    assert (cards.values["cards"], cards.values["nodes"], cards.values["kinds"]) == (8, 2, "H100")
    assert said(look(place, cards=Cards(products=("H100",), per_node=4)))["cards"] == ("ok", "ok")
    other = look(place, cards=Cards(products=("A100",)))["cards"]
    assert (other.state, other.code, other.values["kinds"]) == ("bad", "other", "H100")
    fewer = look(place, cards=Cards(per_node=8))["cards"]
    assert (fewer.state, fewer.code, fewer.values["most"]) == ("warn", "fewer", 4)
    assert said(look(place, cards=Cards(resource="amd.com/gpu")))["cards"] == ("warn", "missing")


def test_a_queue_that_is_not_there(cluster: Cluster, place: ClusterPlace) -> None:
    groups = cluster.kubectl("api-versions").split()
    findings = look(place, kubeconfig=cluster.kubeconfig, queue="research")
    wanted = "missing" if "kueue.x-k8s.io/v1beta2" in groups else "no_kueue"
    assert said(findings)["queue"] == ("bad", wanted)
    assert "TUNESMITH_KUEUE_QUEUE" in findings["queue"].sentence(EN)
    served = look(place, kubeconfig=cluster.kubeconfig, serving=ServingPlace(image="vllm:1", queue="answers"))
    assert served["queue"].values["queue"] == "answers"
    assert "TUNESMITH_SERVING_QUEUE" in served["queue"].sentence(EN)


INSIDE = ServingPlace(image="vllm:1", build="cpu", server_labels={"app": "server"})


def test_models_are_served_with_the_rights_of_the_chart(place: ClusterPlace) -> None:
    findings = look(place, serving=INSIDE)
    assert said(findings).items() >= {"rights": ("ok", "ok"), "served": ("ok", "ok"), "host": ("ok", "ok")}.items()
    assert "vllm:1" in findings["served"].sentence(EN)
    assert "vllm:1" in findings["host"].sentence(EN)


def test_a_model_server_that_is_refused_or_warned_of(cluster: Cluster, place: ClusterPlace) -> None:
    charts.make_namespace(cluster, "doctored-served")
    there = place.model_copy(update={"kubeconfig": cluster.kubeconfig, "namespace": "doctored-served"})
    assert look(there, serving=INSIDE)["host"].state == "ok"
    assert look(there, serving=INSIDE, is_bucket=True, bucket_secret="keys")["host"].state == "ok"
    for overlay, state, words in (
        ({"spec": {"tolerations": [{"operator": "Perhaps"}]}}, "bad", "tolerations"),
        ({"spec": {"hostPID": True}}, "warn", "host namespaces"),
    ):
        host = look(there, serving=INSIDE.model_copy(update={"pod_overlay": overlay}))["host"]
        assert (host.state, words in str(host.values["error"])) == (state, True)


def test_from_outside_model_servers_are_asked_through_the_api_server(cluster: Cluster, place: ClusterPlace) -> None:
    outside = place.model_copy(update={"serving": INSIDE.model_copy(update={"server_labels": None})})
    findings = look(outside)
    lacking = findings["rights"].values
    assert (lacking["resource"], lacking["verbs"]) == ("pods/proxy", "get, create")
    assert said(findings)["served"] == ("ok", "outside")
    for command in str(lacking["command"]).split(" && "):
        cluster.kubectl(*shlex.split(command.removeprefix("kubectl")))
    assert said(look(outside))["rights"] == ("ok", "ok")


@pytest.mark.parametrize(
    ("serving", "cards", "code"),
    [
        ({"build": "cuda"}, 0, "no_cards"),
        ({"build": "cuda", "gpus": 0}, 8, "no_cards"),
        ({"build": "cuda", "gpus": 8}, 4, "few_cards"),
        ({"weights_claim": "nowhere"}, 0, "no_claim"),
    ],
)
def test_serving_that_does_not_go_together_with_the_place(
    place: ClusterPlace, serving: dict[str, object], cards: int, code: str
) -> None:
    findings = look(place, serving=INSIDE.model_copy(update=serving), cards=Cards(per_node=cards))
    assert said(findings)["served"] == ("bad", code)


def test_an_api_server_that_does_not_answer_or_does_not_know_us(place: ClusterPlace, tmp_path: Path) -> None:
    assert place.kubeconfig is not None
    known = place.kubeconfig.read_text()
    token = json.loads(known)["users"][0]["user"]["token"]
    file = tmp_path / "kubeconfig"
    file.write_text(known.replace(":6443", ":1"))
    assert said(look(place, kubeconfig=file)) == {"cluster": ("bad", "unreachable")}
    file.write_text(known.replace(token, "nonsense"))
    assert said(look(place, kubeconfig=file)) == {"cluster": ("bad", "refused")}
    for broken in ("{", "[]", "kind: Config"):
        file.write_text(broken)
        assert said(look(place, kubeconfig=file)) == {"cluster": ("bad", "cannot.find_cluster")}
    file.unlink()
    assert said(look(place, kubeconfig=file)) == {"cluster": ("bad", "cannot.find_cluster")}
