"""A host as Kubernetes objects: plain data in, plain data out."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from serving import guard, puller
from serving.manifest import (
    GROUPS,
    HOST_LABEL,
    NAME_ANNOTATION,
    SPEC_LABEL,
    Sources,
    deployment,
    fitting_size,
    host_of,
    object_name,
    owned,
    secret_name,
    selector,
    serving_of,
)
from serving.services import HostSpec
from serving.sizing import Size
from training.places import Cards, ClusterPlace, ServingPlace

Json = dict[str, Any]

KEY = "sesame-0123456789"
ID = str(UUID(int=2**128 - 1))
"""As long as ids of hosts are."""
SIZE = Size(cpu=8, memory_gib=24, shared_memory_gib=2, start_s=630)
VOLUME = Sources(artifact="bases/llama-1234")
BUCKET = Sources(artifact="bases/llama-1234", bucket="s3://models/team")
OWNER = {"metadata": {"name": object_name(ID), "uid": "7"}}
ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"
}  # fmt: skip
"""Of the restricted Pod Security Standard."""


def host(**more: Any) -> HostSpec:
    given = {"id": ID, "base_model": "/home/models/llama", "base_name": "llama", "context_tokens": 4096, **more}
    return HostSpec(**given)


def place(serving: Json | None = None, **more: Any) -> ClusterPlace:
    served = ServingPlace(**{"image": "vllm:1", **(serving or {})})
    return ClusterPlace(**{"image": "trainer:1", "claim": "artifacts", "serving": served, **more})


def deployment_of(
    host_: HostSpec | None = None,
    place_: ClusterPlace | None = None,
    sources: Sources = VOLUME,
    *,
    size: Size = SIZE,
    key: str = KEY,
) -> Json:
    return deployment(host_ or host(), place_ or place(), sources, size=size, key=key)


def owned_of(place_: ClusterPlace | None = None, sources: Sources = VOLUME, *, key: str = KEY) -> dict[str, Json]:
    return owned(host(), place_ or place(), sources, owner=OWNER, key=key)


def template_of(*given: Any, **more: Any) -> Json:
    found: Json = deployment_of(*given, **more)["spec"]["template"]
    return found


def pod_of(*given: Any, **more: Any) -> Json:
    found: Json = template_of(*given, **more)["spec"]
    return found


def vllm_of(*given: Any, **more: Any) -> Json:
    (found,) = pod_of(*given, **more)["containers"]
    assert isinstance(found, dict)
    return found


def digest_of(*given: Any, **more: Any) -> str:
    return str(template_of(*given, **more)["metadata"]["labels"][SPEC_LABEL])


def after(command: list[str], flag: str) -> str:
    """The value of an argument that is given once."""
    assert command.count(flag) == 1, flag
    return command[command.index(flag) + 1]


def containers(pod: Json) -> list[Json]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def network_of(place_: ClusterPlace | None = None, sources: Sources = VOLUME) -> Json:
    found: Json = owned_of(place_, sources)["networkpolicies"]["spec"]
    return found


def named(things: list[Json]) -> dict[str, Json]:
    found = {thing["name"]: thing for thing in things}
    assert len(found) == len(things), "names of a list are its keys: none twice"
    return found


def labels_in(thing: Any) -> Iterator[dict[str, str]]:
    """Labels, and what selects by them, anywhere in an object."""
    if isinstance(thing, dict):
        for name, value in thing.items():
            if name in ("labels", "matchLabels", "selector") and "matchLabels" not in value:
                yield value
            else:
                yield from labels_in(value)
    elif isinstance(thing, list):
        for each in thing:
            yield from labels_in(each)


# Names and labels


def test_names_fit_what_kubernetes_takes() -> None:
    assert object_name(ID) == f"tunesmith-host-{ID}"
    assert object_name(ID) == deployment_of()["metadata"]["name"]
    # A Service's name is a DNS label; a ReplicaSet's adds a dash and up to ten letters to the Deployment's.
    assert len(object_name(ID)) + 11 <= 63
    assert len(secret_name(ID, KEY)) <= 63
    assert "_" not in secret_name(ID, KEY)


def test_labels_say_whose_it_is_and_annotations_in_full() -> None:
    about = {"base": "Llama 3.2 (1B)", "owner": "Ada Lovelace"}
    metadata = deployment_of(host(about=about), place(instance="second"))["metadata"]
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "tunesmith-vllm",
        "app.kubernetes.io/managed-by": "tunesmith",
        "app.kubernetes.io/instance": "second",
        "app.kubernetes.io/component": "serving",
        "tunesmith/base": "Llama-3.2-1B",
        "tunesmith/owner": "Ada-Lovelace",
        "tunesmith/host": ID,
    }
    assert metadata["annotations"] == {
        "tunesmith/base": "Llama 3.2 (1B)",
        "tunesmith/owner": "Ada Lovelace",
        NAME_ANNOTATION: "llama",
    }
    assert host_of(metadata["labels"]) == ID


def test_every_label_is_one() -> None:
    long = host(about={"base": "客服 " + "x" * 100, "owner": "-" * 80}, queue="q" * 63)
    given = place(instance="i" * 63)
    for thing in (deployment_of(long, given), *owned(long, given, VOLUME, owner=OWNER, key=KEY).values()):
        values = [value for labels in labels_in(thing) for value in labels.values()]
        assert values
        assert all(len(value) <= 63 and value == value.strip("-_.") and value.isascii() for value in values)


def test_nothing_that_is_told_of_a_host_makes_it_another() -> None:
    posing = host(about={"host": "other", "spec": "made-up", "served-name": "other"})
    labels = template_of(posing)["metadata"]["labels"]
    assert host_of(labels) == ID
    assert labels[SPEC_LABEL] != "made-up"
    assert deployment_of(posing)["metadata"]["annotations"][NAME_ANNOTATION] == "llama"


def test_pods_carry_the_labels_that_are_watched_and_selected() -> None:
    given = place(instance="second")
    made, labels = deployment_of(None, given), template_of(None, given)["metadata"]["labels"]
    watched = dict(each.split("=") for each in selector(given).split(","))
    selected = made["spec"]["selector"]["matchLabels"]
    assert watched.items() <= selected.items() <= labels.items()
    assert watched.items() <= made["metadata"]["labels"].items()
    assert not watched.items() <= template_of(None, place(instance="first"))["metadata"]["labels"].items()
    assert selected == {**watched, HOST_LABEL: ID}, "a selector cannot be changed: what people write is not in it"


def test_where_nothing_is_served_nothing_is_made() -> None:
    with pytest.raises(ValueError, match="no models are served in quiet"):
        serving_of(ClusterPlace(name="quiet", image="trainer:1"))


# The Deployment


def test_instances_and_how_they_are_replaced() -> None:
    spec = deployment_of(host(instances=3))["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert spec["progressDeadlineSeconds"] > SIZE.start_s


def test_the_command_is_what_vllm_is_told() -> None:
    given = host(max_lora_rank=24, max_loras=6, arguments=("--max-num-seqs", "64", "--no-enable-prefix-caching"))
    command = vllm_of(given, place({"python": "/opt/python"}))["command"]
    assert command[:4] == ["/opt/python", "-P", "-m", "vllm.entrypoints.openai.api_server"]
    assert after(command, "--model") == "/artifacts/bases/llama-1234"
    assert after(command, "--served-model-name") == "llama"
    assert (after(command, "--host"), after(command, "--port")) == ("0.0.0.0", "8000")
    assert after(command, "--max-model-len") == "4096"
    assert (after(command, "--max-lora-rank"), after(command, "--max-loras")) == ("32", "6")
    assert command[-5:-2] == ["--max-num-seqs", "64", "--no-enable-prefix-caching"]
    assert command[-2:] == ["--middleware", guard.CLASS]
    assert {"--enable-lora", "--disable-uvicorn-access-log"} <= set(command)


def test_memory_follows_the_adapters_on_a_cpu() -> None:
    of_cpu, few = place({"build": "cpu"}), host(weights_bytes=2_500_000_000, max_loras=16)
    assert fitting_size(replace(few, max_loras=64), of_cpu).memory_gib == fitting_size(few, of_cpu).memory_gib + 4


@pytest.mark.parametrize(("gpus", "split"), [(1, "1"), (2, "2"), (8, "8")])
def test_the_model_is_split_among_its_cards(gpus: int, split: str) -> None:
    assert after(vllm_of(host(gpus=gpus))["command"], "--tensor-parallel-size") == split


def test_on_a_cpu_there_are_no_cards() -> None:
    container = vllm_of(host(), place({"build": "cpu"}))
    assert "--tensor-parallel-size" not in container["command"]
    assert after(container["command"], "--dtype") == "float32"
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert named(container["env"])["VLLM_TARGET_DEVICE"]["value"] == "cpu"


def test_what_is_asked_for_goes_before_what_suits_the_model() -> None:
    suits = vllm_of()
    assert suits["resources"] == {
        "requests": {"cpu": "8", "memory": "24Gi"},
        "limits": {"cpu": "8", "memory": "24Gi"},
    }
    assert named(suits["env"])["OMP_NUM_THREADS"]["value"] == "8"
    asked = vllm_of(host(cpu=3, memory_gib=9, gpus=2))
    amounts = {"cpu": "3", "memory": "9Gi", "nvidia.com/gpu": "2"}
    assert asked["resources"] == {"requests": amounts, "limits": amounts}
    assert named(asked["env"])["OMP_NUM_THREADS"]["value"] == "3"
    amd = place(cards=Cards(resource="amd.com/gpu"))
    assert vllm_of(host(gpus=1), amd)["resources"]["limits"]["amd.com/gpu"] == "1"


def test_cards_by_product() -> None:
    def products(host_: HostSpec, place_: ClusterPlace) -> Json:
        wanted = pod_of(host_, place_)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ((term,),) = [each["matchExpressions"] for each in wanted["nodeSelectorTerms"]]
        assert isinstance(term, dict)
        return term

    two = place(cards=Cards(products=("H100", "H200"), product_label="example.com/card"))
    assert products(host(gpus=1), two) == {"key": "example.com/card", "operator": "In", "values": ["H100", "H200"]}
    assert products(host(gpus=1, gpu_product="H200"), two)["values"] == ["H200"]
    assert products(host(gpus=1, gpu_product="A100"), place())["values"] == ["A100"]
    assert "affinity" not in pod_of(host(gpus=1))
    assert "affinity" not in pod_of(host(gpus=0, gpu_product="H200"), two)


def test_what_the_place_adds() -> None:
    toleration = {"key": "gpu", "operator": "Exists"}
    pod = pod_of(None, place(priority_class="high", pull_secrets=("registry",), tolerations=(toleration,)))
    assert pod["priorityClassName"] == "high"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["tolerations"] == [toleration]
    assert not {"priorityClassName", "imagePullSecrets", "tolerations"} & pod_of().keys()


def test_in_a_queue_the_deployment_and_its_pods_carry_the_label() -> None:
    made = deployment_of(host(queue="answers"), place({"queue": "of-the-place"}))
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "answers"
    assert made["spec"]["template"]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "answers"
    assert "kueue" not in json.dumps(made["spec"]["selector"])
    assert "kueue" not in json.dumps(deployment_of())


@pytest.mark.parametrize(("start_s", "tries"), [(0, 1), (600, 120), (922, 184)])
def test_it_may_load_as_long_as_its_size_says(start_s: float, tries: int) -> None:
    size = Size(cpu=1, memory_gib=1, shared_memory_gib=1, start_s=start_s)
    container = vllm_of(size=size)
    startup = container["startupProbe"]
    assert (startup["periodSeconds"], startup["failureThreshold"]) == (5, tries)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": 8000}
        # As the API takes them: at least one of each, and successes of these two in a row are always one.
        assert min(container[probe]["periodSeconds"], container[probe]["failureThreshold"]) >= 1
        assert "successThreshold" not in container[probe]
    ready, alive = container["readinessProbe"], container["livenessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] < alive["periodSeconds"] * alive["failureThreshold"]


# What a pod may


@pytest.mark.parametrize("sources", [VOLUME, BUCKET], ids=["volume", "bucket"])
@pytest.mark.parametrize("weights_claim", [None, "weights"])
def test_pods_fit_the_restricted_standard(sources: Sources, weights_claim: str | None) -> None:
    given = place({"weights_claim": weights_claim}, user_id=2000)
    pod = pod_of(host(gpus=2), given, sources)
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (2000, 2000, 2000)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
    assert not {"seLinuxOptions", "sysctls", "windowsOptions", "appArmorProfile"} & security.keys()
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not any("hostPort" in port for port in container.get("ports", []))
    for volume in pod["volumes"]:
        (kind,) = volume.keys() - {"name"}
        assert kind in ALLOWED_VOLUMES


@pytest.mark.parametrize("sources", [VOLUME, BUCKET], ids=["volume", "bucket"])
def test_what_is_mounted_is_there_and_everything_that_is_there_is_mounted(sources: Sources) -> None:
    pod = pod_of(None, None, sources)
    volumes = named(pod["volumes"])
    mounted = {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]}
    assert mounted == volumes.keys()
    for container in containers(pod):
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(set(paths)) == len(paths)
        named(container["env"])


def test_pods_are_told_nothing_of_the_cluster() -> None:
    pod = pod_of()
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert "serviceAccountName" not in pod
    assert "restartPolicy" not in pod, "a Deployment's pods are always started again"


def test_its_own_files_go_to_a_folder_that_can_be_written() -> None:
    container, volumes = vllm_of(), named(pod_of()["volumes"])
    mounts = named(container["volumeMounts"])
    assert mounts["work"] == {"name": "work", "mountPath": "/work"}
    assert volumes["work"]["emptyDir"] == {}
    assert mounts["shared-memory"]["mountPath"] == "/dev/shm"
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    env = named(container["env"])
    assert env["HOME"]["value"] == env["TMPDIR"]["value"] == "/work"
    caches = {name: each["value"] for name, each in env.items() if name.endswith(("_HOME", "_ROOT", "_DIR"))}
    assert {"HF_HOME", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR"} <= caches.keys()
    assert all(PurePosixPath(path).is_relative_to("/work") for path in caches.values())
    assert all(isinstance(each.get("value", ""), str) for each in env.values())


def test_what_it_serves_can_be_read_and_not_changed() -> None:
    for sources, folders in ((VOLUME, {"artifacts"}), (BUCKET, {"weights", "adapters"})):
        mounts = named(vllm_of(None, None, sources)["volumeMounts"])
        assert mounts.keys() == {"work", "shared-memory", "guard"} | folders
        assert all(mounts[name]["readOnly"] is True for name in {"guard"} | folders)
    volumes = named(pod_of()["volumes"])
    assert volumes["artifacts"] == {"name": "artifacts", "persistentVolumeClaim": {"claimName": "artifacts"}}
    below = named(vllm_of(None, place(claim_path="team/a"))["volumeMounts"])
    assert below["artifacts"]["subPath"] == "team/a"


# The key and the guard


def test_the_key_is_in_the_secret_and_nowhere_else() -> None:
    made, others = deployment_of(), owned_of()
    secret = others.pop("secrets")
    assert secret["stringData"] == {"key": KEY}
    assert secret["immutable"] is True
    assert KEY not in json.dumps([made, others, secret["metadata"]])
    reference = named(vllm_of()["env"])[guard.KEY_VARIABLE]
    assert reference["valueFrom"] == {"secretKeyRef": {"name": secret["metadata"]["name"], "key": "key"}}
    assert "value" not in reference


def test_another_key_is_another_secret() -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    assert owned_of()["secrets"]["metadata"]["name"] == secret_name(ID, KEY) == f"{object_name(ID)}-{digest[:8]}"
    assert secret_name(ID, "another") != secret_name(ID, KEY)
    assert secret_name("b", KEY) != secret_name("a", KEY)


def test_the_guard_is_where_vllm_imports_it_from() -> None:
    config = owned_of()["configmaps"]
    module, _, name = guard.CLASS.partition(".")
    assert config["data"] == {f"{module}.py": guard.source()}
    assert f"class {name}" in config["data"][f"{module}.py"]
    volume, mount = named(pod_of()["volumes"])["guard"], named(vllm_of()["volumeMounts"])["guard"]
    assert volume["configMap"] == {"name": config["metadata"]["name"]}
    assert mount["mountPath"] == named(vllm_of()["env"])["PYTHONPATH"]["value"]


# What the Deployment owns


def test_all_belong_to_the_deployment_and_say_so() -> None:
    things = owned_of()
    assert things.keys() == GROUPS.keys()
    for plural, thing in things.items():
        assert thing["apiVersion"] == GROUPS[plural]
        assert thing["kind"].lower() in (plural.removesuffix("s"), plural.replace("policies", "policy"))
        assert thing["metadata"]["ownerReferences"] == [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": object_name(ID), "uid": "7", "controller": True}
        ]
        assert thing["metadata"]["labels"] == deployment_of()["metadata"]["labels"]
    assert {thing["metadata"]["name"] for plural, thing in things.items() if plural != "secrets"} == {object_name(ID)}


def test_the_service_finds_the_replicas() -> None:
    made, service = deployment_of(), owned_of()["services"]["spec"]
    assert service == {
        "selector": made["spec"]["selector"]["matchLabels"],
        "ports": [{"name": "http", "port": 8000}],
    }
    assert vllm_of()["ports"] == [{"name": "http", "containerPort": 8000}]


def test_in_the_cluster_only_the_servers_own_pod_gets_in() -> None:
    labels = {"app": "server"}
    policy = network_of(place({"server_labels": labels, "server_namespace": "tools"}))
    assert policy["podSelector"] == {"matchLabels": deployment_of()["spec"]["selector"]["matchLabels"]}
    assert policy["ingress"] == [
        {
            "ports": [{"port": 8000}],
            "from": [
                {
                    "podSelector": {"matchLabels": labels},
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tools"}},
                }
            ],
        }
    ]


@pytest.mark.parametrize("namespace", [None, "models"])
def test_without_a_namespace_the_servers_pod_is_in_the_places_own(namespace: str | None) -> None:
    (way_in,) = network_of(place({"server_labels": {"app": "server"}}, namespace=namespace))["ingress"]
    assert way_in["from"] == [{"podSelector": {"matchLabels": {"app": "server"}}}]


def test_from_outside_the_peers_get_in_or_whoever_has_the_key() -> None:
    assert network_of()["ingress"] == [{"ports": [{"port": 8000}]}]
    peer = {"ipBlock": {"cidr": "10.0.0.10/32"}}
    assert network_of(place({"peers": (peer,)}))["ingress"] == [{"ports": [{"port": 8000}], "from": [peer]}]
    (way_in,) = network_of(place({"peers": (peer,), "server_labels": {"app": "server"}}))["ingress"]
    assert way_in["from"] == [peer, {"podSelector": {"matchLabels": {"app": "server"}}}]


def test_nothing_goes_out_but_to_a_bucket() -> None:
    closed = network_of()
    assert (closed["policyTypes"], closed["egress"]) == (["Ingress", "Egress"], [])
    for given in (place(), place(claim=None)):
        opened = network_of(given, BUCKET)
        assert opened["policyTypes"] == ["Ingress"]
        assert "egress" not in opened


# A bucket


def test_from_a_bucket_the_weights_come_first_and_adapters_beside() -> None:
    pod = pod_of(None, place(bucket_secret="keys", python="/opt/python"), BUCKET)
    weights, adapters = pod["initContainers"]
    assert [weights["name"], adapters["name"]] == ["weights", "adapters"]
    assert "restartPolicy" not in weights
    assert adapters["restartPolicy"] == "Always", "an init container that goes on beside the others"
    start = ["/opt/python", "-m", puller.MODULE]
    assert weights["command"] == [*start, "weights", "s3://models/team", "bases/llama-1234", "/weights/llama-1234"]
    assert adapters["command"] == [*start, "adapters", "s3://models/team", ID, "/adapters"]
    for container in (weights, adapters):
        assert container["image"] == "trainer:1"
        assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
        # A quota of a namespace may count any of them: then a container without it is refused.
        assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys() == {"cpu", "memory"}
        written = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert {mount["mountPath"] for mount in written} == {"/work", f"/{container['name']}"}
    assert "envFrom" not in pod["containers"][0], "vLLM has no key of the bucket"
    assert not any("envFrom" in each for each in containers(pod_of(None, None, BUCKET)))


def test_vllm_is_told_the_paths_that_are_filled() -> None:
    weights, adapters = pod_of(None, None, BUCKET)["initContainers"]
    assert after(vllm_of(None, None, BUCKET)["command"], "--model") == weights["command"][-1] == BUCKET.model
    # The sidecar names an adapter's folder like the last part of its key.
    (name,) = puller.parse_wanted(b'["models/m-1"]')
    assert BUCKET.adapter("models/m-1") == f"{adapters['command'][-1]}/{name}"
    assert (VOLUME.model, VOLUME.adapter("models/m-1")) == ("/artifacts/bases/llama-1234", "/artifacts/models/m-1")


def test_weights_may_be_kept_between_two_starts() -> None:
    volumes = named(pod_of(None, None, BUCKET)["volumes"])
    assert (volumes["weights"]["emptyDir"], volumes["adapters"]["emptyDir"]) == ({}, {})
    kept = named(pod_of(None, place({"weights_claim": "kept"}), BUCKET)["volumes"])
    assert kept["weights"] == {"name": "weights", "persistentVolumeClaim": {"claimName": "kept"}}
    assert kept["adapters"]["emptyDir"] == {}
    assert "artifacts" not in kept, "the claim of a folder is not mounted where there is a bucket"


def test_on_a_volume_nothing_is_brought() -> None:
    assert "initContainers" not in pod_of(None, place({"weights_claim": "kept"}))


# The overlay and the digest


def test_the_overlay_goes_over_everything_in_the_pod() -> None:
    overlay = {
        "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}, "labels": {"team": "a"}},
        "spec": {
            "runtimeClassName": "nvidia",
            "containers": [{"name": "vllm", "env": [{"name": "HOME", "value": "/elsewhere"}]}, {"name": "side"}],
        },
    }
    template = template_of(None, place({"pod_overlay": overlay}, pod_overlay={"spec": {"hostname": "of-runs"}}))
    assert template["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}
    assert template["metadata"]["labels"]["team"] == "a"
    assert host_of(template["metadata"]["labels"]) == ID
    vllm, side = template["spec"]["containers"]
    env = named(vllm["env"])
    assert env["HOME"]["value"] == "/elsewhere"
    assert guard.KEY_VARIABLE in env
    assert side == {"name": "side"}
    assert template["spec"]["runtimeClassName"] == "nvidia"
    assert "hostname" not in template["spec"], "that is the overlay of runs"


def test_the_digest_changes_exactly_when_the_template_does() -> None:
    same = digest_of()
    assert same == digest_of()
    assert len(same) <= 63
    for unchanged in (
        digest_of(host(instances=5)),
        digest_of(host(weights_bytes=7, place="elsewhere")),
        digest_of(None, place({"server_labels": {"app": "server"}, "peers": ({"podSelector": {}},)})),
    ):
        assert unchanged == same
    changed = {
        digest_of(host(max_lora_rank=64)),
        digest_of(host(memory_gib=99)),
        digest_of(host(arguments=("--seed", "1"))),
        digest_of(host(queue="answers")),
        digest_of(None, place({"image": "vllm:2"})),
        digest_of(None, place({"pod_overlay": {"metadata": {"labels": {"team": "a"}}}})),
        digest_of(None, None, BUCKET),
        digest_of(key="another"),
        digest_of(size=Size(cpu=8, memory_gib=24, shared_memory_gib=2, start_s=900)),
    }
    assert same not in changed
    assert len(changed) == 9


@pytest.mark.parametrize("sources", [VOLUME, BUCKET], ids=["volume", "bucket"])
def test_everything_is_json_and_fresh_each_time(sources: Sources) -> None:
    given = place({"pod_overlay": {"metadata": {"labels": {"team": "a"}}}})
    first = {"deployments": deployment_of(None, given, sources), **owned_of(given, sources)}
    copy = json.loads(json.dumps(first))
    assert copy == first
    first["deployments"]["spec"]["template"]["metadata"]["labels"].clear()
    first["services"]["metadata"]["labels"].clear()
    assert deployment_of(None, given, sources) == copy["deployments"]
    assert owned_of(given, sources)["services"] == copy["services"]
