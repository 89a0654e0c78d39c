"""The chart of `deploy/chart`: linted, rendered by helm, taken by a real API server, and what its account may do."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import getitem
from pathlib import Path
from unittest.mock import ANY
from urllib.request import urlopen

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from ruamel.yaml import YAML

from tests.cluster import charts
from tests.cluster.charts import Installed, Object
from tests.cluster.cluster import IMAGE, Cluster, ClusterError, pod_overlay, wait_for
from tests.places import PROJECT

VARIANTS: dict[str, dict[str, object]] = {
    "minimal": {},
    "everything": {
        "nameOverride": "tune",
        "image": {"repository": "registry.example.org/tunesmith-server", "tag": "2"},
        "imagePullSecrets": [{"name": "registry"}],
        "training": {
            "image": {"repository": "registry.example.org/tunesmith-trainer", "tag": "2"},
            "queue": "research",
            "podOverlay": {"spec": {"nodeSelector": {"pool": "gpu"}}},
            "places": [{"name": "here"}],
            "kubeconfig": {"secret": "clusters", "context": "north"},
        },
        "serving": {
            "image": {"repository": "registry.example.org/vllm", "tag": "2"},
            "build": "cpu",
            "queue": "answers",
            "idleMinutes": 0.5,
            "podOverlay": {"spec": {"nodeSelector": {"pool": "answers"}}},
        },
        "artifacts": {"bucket": "s3://models/tunesmith", "secret": "bucket"},
        "secrets": {
            "database": {"name": "database"},
            "slack": {"name": "slack"},
            "encryptionKeys": {"name": "encryption"},
            "hubToken": {"name": "hub"},
        },
        "slack": {"admins": ["U0123456789"], "channels": ["C0123456789", "C9876543210"]},
        "web": {"openEndpoint": True},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "tune.example.org",
            "tlsSecret": "certificate",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "1g"},
        },
        "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]},
        "metrics": {"enabled": True, "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
        "extraEnv": [{"name": "TUNESMITH_MAX_UPLOAD_BYTES", "value": "5000000000"}],
    },
    "nodes": {"rbac": {"readNodes": True}, "home": {"ephemeral": True}},
    "trainings": {"serving": {"enabled": False}},
}

TRAININGS_MAY = {
    ("batch", "jobs"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "services"): {"get", "create", "delete"},
    ("", "pods"): {"get", "list", "watch", "delete"},
    ("", "pods/log"): {"get"},
    ("", "events"): {"list"},
    ("", "persistentvolumeclaims"): {"get", "list"},
    ("", "resourcequotas"): {"get", "list"},
}
"""(API group, resource) -> what runs need."""
MAY = TRAININGS_MAY | {
    ("apps", "deployments"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "services"): {"get", "create", "patch", "delete"},
    ("", "configmaps"): {"create", "patch", "delete"},
    ("", "secrets"): {"create", "delete"},
    ("networking.k8s.io", "networkpolicies"): {"create", "patch", "delete"},
}
"""What the server may do in the namespace of its runs and model servers, and nothing else."""

EVERYONE_MAY = {"authorization.k8s.io", "authentication.k8s.io"}
"""API groups in which every account may ask about itself."""


@pytest.fixture(scope="module")
def minimal(cluster: Cluster) -> Installed:
    installed = charts.install(cluster, "chart-minimal")
    wait_for("the server's pod", lambda: len(pods(cluster, installed.namespace)) == 1, 60)
    return installed


@pytest.fixture
def api(minimal: Installed) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(minimal.kubeconfig)) as api:
        yield api


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_chart_is_linted_strictly(values: dict[str, object]) -> None:
    assert "0 chart(s) failed" in charts.helm("lint", "--strict", charts.CHART, values=values)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_strict_namespace_takes_every_variant_and_makes_its_pod(cluster: Cluster, variant: str) -> None:
    namespace = f"variant-{variant}"
    installed = charts.install(cluster, namespace, **VARIANTS[variant])
    for item in installed.objects:  # each is there as it was sent
        found = cluster.kubectl("get", item["kind"], item["metadata"]["name"], f"--namespace={namespace}", "-o=name")
        assert found.strip().endswith(f"/{item['metadata']['name']}")
    wait_for("the server's pod", lambda: len(pods(cluster, namespace)) == 1, 60)


def test_the_pod_of_a_strict_namespace_waits_for_its_image_alone(cluster: Cluster) -> None:
    values = {"home": {"ephemeral": True}, "artifacts": {"bucket": "s3://models"}}
    charts.install(cluster, "chart-image", **values)

    def waits_for_image() -> bool:
        found = pods(cluster, "chart-image")  # without statuses until a node has looked at them
        statuses = [status for pod in found for status in pod["status"].get("containerStatuses", [])]
        reasons = {status["state"].get("waiting", {}).get("reason") for status in statuses}
        return bool(reasons) and reasons <= {"ErrImagePull", "ImagePullBackOff"}

    wait_for("the image to be pulled", waits_for_image, 120)


def test_the_account_may_do_what_the_server_does_and_nothing_else(minimal: Installed, api: client.ApiClient) -> None:
    assert rules(api, minimal.namespace) == MAY


def test_the_account_may_do_nothing_in_other_namespaces(api: client.ApiClient) -> None:
    assert rules(api, "default") == {}
    assert rules(api, "kube-system") == {}


@pytest.mark.parametrize(
    ("resource", "group", "subresource", "verb"),
    [
        ("secrets", "", "", "get"),
        ("secrets", "", "", "list"),
        ("configmaps", "", "", "get"),
        ("pods", "", "", "create"),
        ("pods", "", "exec", "create"),
        ("pods", "", "portforward", "create"),
        ("pods", "", "ephemeralcontainers", "update"),
        ("services", "", "proxy", "get"),
        ("serviceaccounts", "", "token", "create"),
        ("serviceaccounts", "", "", "impersonate"),
        ("roles", "rbac.authorization.k8s.io", "", "create"),
        ("rolebindings", "rbac.authorization.k8s.io", "", "create"),
        ("deployments", "apps", "", "deletecollection"),
        ("pods", "", "proxy", "get"),
        ("jobs", "batch", "", "deletecollection"),
        ("nodes", "", "", "list"),
        ("namespaces", "", "", "list"),
    ],
)
def test_the_account_may_not(
    minimal: Installed, api: client.ApiClient, resource: str, group: str, subresource: str, verb: str
) -> None:
    assert not may(api, minimal.namespace, resource=resource, group=group, subresource=subresource, verb=verb)


def test_the_api_server_itself_refuses_secrets_and_pods_of_others(minimal: Installed, api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    assert core.list_namespaced_pod(minimal.namespace).items
    for refused in (
        lambda: core.list_namespaced_secret(minimal.namespace),
        lambda: core.list_namespaced_pod("kube-system"),
        lambda: core.list_pod_for_all_namespaces(),
        lambda: core.list_node(),
    ):
        with pytest.raises(ApiException) as caught:
            refused()
        assert caught.value.status == 403


def test_nodes_are_listed_only_where_that_is_asked_for(cluster: Cluster) -> None:
    installed = charts.install(cluster, "chart-nodes", rbac={"readNodes": True})
    with config.new_client_from_config(str(installed.kubeconfig)) as api:
        assert len(client.CoreV1Api(api).list_node().items) == 2
        assert rules(api, installed.namespace) == MAY | {("", "nodes"): {"list"}}
        assert not may(api, "", resource="nodes", verb="get")


def test_without_serving_the_account_may_do_what_runs_need(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "chart-trainings")
    account = charts.install_account(cluster, "chart-trainings", serving={"enabled": False}, rbac={"proxyPods": True})
    with config.new_client_from_config(str(account)) as api:
        assert rules(api, "chart-trainings") == TRAININGS_MAY | {("", "pods/proxy"): {"get", "create"}}


def test_runs_in_another_namespace_take_their_rights_along(cluster: Cluster) -> None:
    charts.make_namespace(cluster, "chart-runs")
    values = {"training": {"namespace": "chart-runs"}, "artifacts": {"bucket": "s3://models"}}
    installed = charts.install(cluster, "chart-server", **values)
    with config.new_client_from_config(str(installed.kubeconfig)) as api:
        assert rules(api, "chart-runs") == MAY
        assert rules(api, "chart-server") == {}


def test_the_account_alone_has_the_same_rights(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "chart-account")
    with config.new_client_from_config(str(charts.install_account(cluster, "chart-account"))) as api:
        assert rules(api, "chart-account") == MAY
    assert pods(cluster, "chart-account") == []


def test_what_helm_installed_it_removes_but_not_what_was_learned(cluster: Cluster) -> None:
    namespace = "chart-helm"
    charts.make_namespace(cluster, namespace)
    where = (f"--kubeconfig={cluster.kubeconfig}", f"--namespace={namespace}")
    notes = charts.helm("install", "mine", charts.CHART, *where, values={})
    assert f"kubectl --namespace {namespace} port-forward deployment/mine-tunesmith 8000" in notes
    assert "mine-tunesmith" in cluster.kubectl("get", "deployments,roles,networkpolicies", *where, "-o=name")
    assert "These resources were kept" in charts.helm("uninstall", "mine", *where)
    assert cluster.kubectl("get", "deployments,roles,rolebindings,networkpolicies", *where, "-o=name") == ""
    kept = cluster.kubectl("get", "persistentvolumeclaims", *where, "-o=name").split()
    assert kept == ["persistentvolumeclaim/mine-tunesmith-artifacts", "persistentvolumeclaim/mine-tunesmith-home"]
    assert "deployed" in charts.helm("install", "mine", charts.CHART, *where, values={})


def test_a_claim_of_another_namespace_is_refused() -> None:
    with pytest.raises(ClusterError, match=r"set artifacts\.bucket, or training\.claim"):
        charts.template("here", {"training": {"namespace": "there"}})


@pytest.mark.parametrize(
    "values",
    [
        {"slack": {"botToken": "xoxb-1"}},
        {"secrets": {"database": {"url": "postgresql://user:password@host/tunesmith"}}},
        {"artifacts": {"bucket": "https://bucket.example.org"}},
        {"ingress": {"enabled": True}},
        {"replicas": 2},
    ],
    ids=lambda values: next(iter(values)),
)
def test_values_that_are_none_of_the_charts_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ClusterError, match="values don't meet the specifications"):
        charts.template("here", values)


def test_secrets_are_named_and_never_written() -> None:
    objects = charts.template("here", VARIANTS["everything"])
    assert not [item for item in objects if item["kind"] == "Secret"]
    environment = {entry["name"]: entry for entry in server(objects)["env"]}
    secret = {name: entry["valueFrom"]["secretKeyRef"] for name, entry in environment.items() if "valueFrom" in entry}
    assert {name: (reference["name"], reference["key"]) for name, reference in secret.items()} == {
        "TUNESMITH_DATABASE_URL": ("database", "url"),
        "TUNESMITH_ENCRYPTION_KEYS": ("encryption", "keys"),
        "HF_TOKEN": ("hub", "token"),
        "TUNESMITH_SLACK_BOT_TOKEN": ("slack", "bot-token"),
        "TUNESMITH_SLACK_APP_TOKEN": ("slack", "app-token"),
        "TUNESMITH_SLACK_SIGNING_SECRET": ("slack", "signing-secret"),
        "TUNESMITH_SLACK_CLIENT_ID": ("slack", "client-id"),
        "TUNESMITH_SLACK_CLIENT_SECRET": ("slack", "client-secret"),
    }
    assert server(objects)["envFrom"] == [{"secretRef": {"name": "bucket"}}]


def test_an_ingress_to_a_server_that_listens_to_itself_is_refused() -> None:
    ingress = {"enabled": True, "host": "tune.example.org"}
    with pytest.raises(ClusterError, match=r"see web\.openEndpoint"):
        charts.template("here", {"ingress": ingress})
    assert not [item for item in charts.template("here", {}) if item["kind"] in {"Service", "Ingress"}]
    kinds = [item["kind"] for item in charts.template("here", {"ingress": ingress, "web": {"openEndpoint": True}})]
    assert kinds.count("Service") == kinds.count("Ingress") == 1


@pytest.mark.parametrize("page", ["kubernetes.md", "kubernetes.zh.md"])
def test_the_values_that_the_docs_show_are_taken_and_those_they_list_exist(page: str) -> None:
    text = (PROJECT / "docs" / page).read_text()
    shown, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    objects = charts.template("tunesmith", YAML(typ="safe").load(shown))
    assert server(objects)["image"].startswith("registry.example.org/tunesmith-server:")
    values = YAML(typ="safe").load(charts.CHART / "values.yaml")
    listed = re.findall(r"^\| (`[a-z]\S+\.[^|]*) \|", text, re.MULTILINE)
    names = [name for cell in listed for name in re.findall(r"`([^`]+)`", cell)]
    assert len(names) > 30
    for name in names:
        if not name.startswith("."):
            parents = name.split(".")[:-1]
        keys = [*parents, name.split(".")[-1]]
        assert reduce(getitem, keys, values) is not None, name


def test_the_image_of_model_servers_is_of_the_version_that_is_tested() -> None:
    (pinned,) = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["serving"]
    version = pinned.partition("==")[2]
    values = YAML(typ="safe").load(charts.CHART / "values.yaml")["serving"]
    assert values["image"] == {"repository": "vllm/vllm-openai", "tag": f"v{version}"}
    for page in ("kubernetes.md", "kubernetes.zh.md"):
        assert f"`vllm/vllm-openai:v{version}`" in (PROJECT / "docs" / page).read_text()


def test_the_servers_pod_is_told_how_models_are_served() -> None:
    def told(**values: object) -> dict[str, str]:
        environment = server(charts.template("here", values))["env"]
        return {entry["name"]: entry["value"] for entry in environment if "_SERV" in entry["name"]}

    objects = charts.template("here", {})
    labels = find(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert told() == {
        "TUNESMITH_SERVING": "kubernetes",
        "TUNESMITH_SERVING_IMAGE": "vllm/vllm-openai:v0.32.0",
        "TUNESMITH_SERVING_BUILD": "cuda",
        "TUNESMITH_SERVER_LABELS": ",".join(f"{name}={value}" for name, value in labels.items()),
        "TUNESMITH_SERVER_NAMESPACE": "here",
    }
    elsewhere = told(**VARIANTS["everything"])
    assert elsewhere["TUNESMITH_SERVING_OVERLAY"] == "/etc/tunesmith/serving-overlay.yaml"
    assert elsewhere["TUNESMITH_SERVING_QUEUE"] == "answers"
    assert not [name for name in elsewhere if "SERVER" in name], "the server's pod is not in that cluster"
    assert told(serving={"enabled": False}) == {}


def test_the_server_knows_the_address_that_people_are_told() -> None:
    def told(**values: object) -> list[str]:
        environment = server(charts.template("here", values))["env"]
        return [entry["value"] for entry in environment if entry["name"] == "TUNESMITH_PUBLIC_URL"]

    ingress = {"enabled": True, "host": "tune.example.org"}
    assert told() == []
    assert told(web={"publicUrl": "https://example.org/tune"}) == ["https://example.org/tune"]
    assert told(web={"openEndpoint": True}, ingress=ingress) == ["http://tune.example.org"]
    assert told(**VARIANTS["everything"]) == ["https://tune.example.org"]
    own = {"openEndpoint": True, "publicUrl": "https://other.example.org"}
    assert told(web=own, ingress=ingress) == ["https://other.example.org"]
    for wrong in ("tune.example.org", "https://example.org/?a=b", "https://ann:secret@example.org"):
        with pytest.raises(ClusterError, match="publicUrl"):
            charts.template("here", {"web": {"publicUrl": wrong}})


def test_a_prometheus_reaches_the_metrics_and_nothing_else() -> None:
    everywhere = json.dumps(charts.template("here", {}))
    assert "metrics" not in everywhere
    assert "prometheus" not in everywhere

    objects = charts.template("here", {"metrics": {"enabled": True, "port": 9999}})
    pod = find(objects, "Deployment")["spec"]["template"]
    told = {entry["name"]: entry.get("value") for entry in server(objects)["env"]}
    assert told["TUNESMITH_METRICS_PORT"] == "9999"
    assert {"name": "metrics", "containerPort": 9999} in server(objects)["ports"]
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert (annotations["prometheus.io/port"], annotations["prometheus.io/path"]) == ("9999", "/metrics")
    service = find(objects, "Service")
    assert service["metadata"]["name"] == "tunesmith-metrics"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 9999, "targetPort": "metrics"}]

    monitoring = [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
    named = charts.template("here", {"metrics": {"enabled": True, "from": monitoring}})
    ways_in = next(item for item in named if item["kind"] == "NetworkPolicy")["spec"]["ingress"]
    assert ways_in[1:] == [{"ports": [{"port": "metrics", "protocol": "TCP"}], "from": monitoring}]
    with pytest.raises(ClusterError, match="port"):
        charts.template("here", {"metrics": {"enabled": True, "port": 8000}})


def test_with_a_bucket_model_servers_connect_out_as_runs_do() -> None:
    def policies(**values: object) -> dict[str, Object]:
        objects = charts.template("here", values)
        return {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "NetworkPolicy"}

    bucket = {"bucket": "s3://models"}
    found = policies(artifacts=bucket)
    of_runs, of_servers = found["tunesmith-training"], found["tunesmith-serving"]
    assert of_servers["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "serving"
    assert of_servers["policyTypes"] == ["Egress"]
    assert of_servers["egress"] == of_runs["egress"][1:]
    # On a volume each model server's own policy closes all ways out; another would open some.
    assert "tunesmith-serving" not in policies()
    assert "tunesmith-serving" not in policies(artifacts=bucket, serving={"enabled": False})


def test_one_server_at_a_time() -> None:
    spec = find(charts.template("here", {}), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_runs_are_reached_by_one_another_alone() -> None:
    policies = [item for item in charts.template("here", {}) if item["kind"] == "NetworkPolicy"]
    into_server, of_runs = (item["spec"] for item in policies)
    assert into_server["ingress"] == [{"ports": [{"port": "web", "protocol": "TCP"}]}]
    training = {"app.kubernetes.io/managed-by": "tunesmith", "app.kubernetes.io/component": "training"}
    assert of_runs["podSelector"] == {"matchLabels": training}
    assert of_runs["policyTypes"] == ["Ingress", "Egress"]
    assert of_runs["ingress"] == [{"from": [{"podSelector": {"matchLabels": training}}]}]


def test_the_real_server_gets_ready_as_the_chart_confines_it(cluster: Cluster, tmp_path: Path) -> None:
    namespace = "chart-server-runs"
    # This machine's folders stand for an image; a strict namespace, which the tests above have, would forbid them.
    cluster.kubectl("create", "namespace", namespace)
    charts.apply(cluster, [volume(name, tmp_path / name) for name in ("home", "artifacts")])
    charts.apply(cluster, charts.render(cluster, namespace, **server_of_this_machine(tmp_path / "bin")))
    cluster.kubectl("rollout", "status", "deployment/tunesmith", f"--namespace={namespace}", "--timeout=300s")
    in_pod = ("exec", "deployment/tunesmith", f"--namespace={namespace}", "--")
    assert cluster.kubectl(*in_pod, "id", "-u").strip() == "1000"
    with pytest.raises(ClusterError, match="Read-only file system"):
        cluster.kubectl(*in_pod, "touch", "/written")
    assert (tmp_path / "home" / "data" / "tunesmith.db").exists()
    with forwarded(cluster, namespace) as address, urlopen(f"{address}/health") as answer:
        assert json.load(answer) == {"status": "ok", "version": ANY, "database": True, "loops": True}


def volume(name: str, folder: Path) -> Object:
    """A volume of the class ``name``: a folder of this machine, the server's own."""
    folder.mkdir()
    os.chown(folder, 1000, 1000)  # a real class gives a volume to the pod's group
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"chart-{name}"},
        "spec": {
            "capacity": {"storage": "1Ti"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "storageClassName": name,
            "hostPath": {"path": str(folder)},
        },
    }


def server_of_this_machine(programs: Path) -> dict[str, object]:
    """Values by which the chart's pod runs this checkout with this Python, by programs of its image's names."""
    programs.mkdir()
    for name, options in {"tunesmith": "-P -m bot.cli", "python": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {options} "$@"\n')
        (programs / name).chmod(0o755)
    overlay = pod_overlay(sys.executable, str(PROJECT), str(programs))
    environment = {"PATH": f"{programs}:/bin", "PYTHONPATH": str(PROJECT)}
    repository, _, tag = IMAGE.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag},
        "home": {"storageClass": "home"},
        "artifacts": {"volume": {"storageClass": "artifacts"}},
        "extraEnv": [{"name": name, "value": value} for name, value in environment.items()],
        "extraVolumes": overlay["volumes"],
        "extraVolumeMounts": overlay["volumeMounts"],
    }


@contextmanager
def forwarded(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The address on this machine that leads to the server's own."""
    command = [str(cluster.dir / "kubeall"), "kubectl", f"--kubeconfig={cluster.kubeconfig}"]
    command += [f"--namespace={namespace}", "port-forward", "deployment/tunesmith", ":8000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # Forwarding from 127.0.0.1:43210 -> 8000
            yield f"http://{line.split()[2]}"
        finally:
            process.kill()


def rules(api: client.ApiClient, namespace: str) -> dict[tuple[str, str], set[str]]:
    """All that the account may do in a namespace, besides what everyone may."""
    review = client.V1SelfSubjectRulesReview(spec=client.V1SelfSubjectRulesReviewSpec(namespace=namespace))
    status = client.AuthorizationV1Api(api).create_self_subject_rules_review(review).status
    assert status is not None
    found: dict[tuple[str, str], set[str]] = {}
    for rule in status.resource_rules:
        for group in set(rule.api_groups or ()) - EVERYONE_MAY:
            for resource in rule.resources or ():
                found.setdefault((group, resource), set()).update(rule.verbs)
    return found


def may(api: client.ApiClient, namespace: str, **attributes: str) -> bool:
    """Whether the API server would let the account."""
    asked = client.V1ResourceAttributes(namespace=namespace, **attributes)
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
    status = client.AuthorizationV1Api(api).create_self_subject_access_review(review).status
    assert status is not None
    return bool(status.allowed)


def pods(cluster: Cluster, namespace: str) -> list[Object]:
    """The pods of the server."""
    found: list[Object] = json.loads(cluster.kubectl("get", "pods", f"--namespace={namespace}", "-o=json"))["items"]
    return found


def find(objects: list[Object], kind: str) -> Object:
    """The one object of a kind."""
    (found,) = (item for item in objects if item["kind"] == kind)
    return found


def server(objects: list[Object]) -> Object:
    """The server's container."""
    (container,) = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    found: Object = container
    return found
