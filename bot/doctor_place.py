"""What one place of a cluster lacks, each with the command that mends it. Requests go through the adapter."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from bot.diagnoses import Diagnosis, State, Value, found
from bot.doctor_serving import look_at_serving, serving_rights
from training.cluster import Cluster, ClusterError, Conflict, Forbidden, Json, Missing, Unreachable
from training.kubernetes import KUEUE_API
from training.manifest import example_attempt, job
from training.places import ClusterPlace
from training.quantities import amount
from training.spec import TrainingSpec

RIGHTS: Mapping[str, tuple[str, ...]] = {
    "jobs.batch": ("get", "list", "watch", "create", "patch", "delete"),
    "services": ("get", "create", "delete"),
    "pods": ("get", "list", "watch", "delete"),
    "pods/log": ("get",),
    "events": ("list",),
}
"""What runs need, resources as kubectl writes them: the Role of the chart gives as much."""
QUEUE_RIGHTS: Mapping[str, tuple[str, ...]] = {"workloads.kueue.x-k8s.io": ("list",)}
"""What they need besides, where a queue is set."""
ENFORCED = "pod-security.kubernetes.io/enforce"
SHARED = "ReadWriteMany"


@dataclass(frozen=True)
class PlaceLook:
    """At one place, over an API server that answers."""

    place: ClusterPlace
    cluster: Cluster
    is_bucket: bool

    def findings(self) -> list[Diagnosis]:
        """One or more of each kind, in the order in which it is best mended."""
        kinds: dict[str, Callable[[], Iterable[Diagnosis]]] = {
            "namespace": self._namespace,
            "rights": self._rights,
            "job": self._job,
            "quota": self._quota,
            **({"bucket_secret": self._secret} if self.is_bucket else {"claim": self._claim}),
            "cards": self._cards,
            **({"queue": self._queues} if self._queue_settings() else {}),
            **({"served": self._served} if self.place.serving else {}),
        }
        return [finding for name, look in kinds.items() for finding in self._tried(name, look)]

    def _tried(self, name: str, look: Callable[[], Iterable[Diagnosis]]) -> list[Diagnosis]:
        try:
            return list(look())
        except ClusterError as error:
            return [found("cluster", "warn", "unknown", place=self.place.name, what=name, error=str(error))]

    def _found(self, name: str, state: State, code: str | None = None, **values: Value) -> Diagnosis:
        return found(name, state, code, place=self.place.name, namespace=self.cluster.namespace, **values)

    def _namespace(self) -> Iterable[Diagnosis]:
        try:
            labels = self.cluster.get(f"/api/v1/namespaces/{self.cluster.namespace}")["metadata"].get("labels", {})
        except Missing:
            return [self._found("namespace", "bad", "missing")]
        except Forbidden:
            return [self._found("namespace", "ok", "unseen", command=self._grant("namespaces", ["get"]))]
        level = labels.get(ENFORCED, "privileged")
        if level != "restricted":
            return [self._found("namespace", "warn", level=level)]
        return [self._found("namespace", "ok")]

    def _rights(self) -> Iterable[Diagnosis]:
        kinds = (
            RIGHTS,
            QUEUE_RIGHTS if self._queue_settings() else {},
            serving_rights(self.place.serving) if self.place.serving else {},
        )
        wanted: dict[str, dict[str, None]] = {}
        for resource, verbs in (each for kind in kinds for each in kind.items()):
            wanted.setdefault(resource, {}).update(dict.fromkeys(verbs))
        missing = {
            resource: [verb for verb in verbs if not self.cluster.may(verb, resource)]
            for resource, verbs in wanted.items()
        }
        lacking = {resource: verbs for resource, verbs in missing.items() if verbs}
        account = self._account()
        if not lacking:
            return [self._found("rights", "ok", account=account)]
        return [
            self._found(
                "rights",
                "bad",
                account=account,
                verbs=", ".join(verbs),
                resource=resource,
                command=self._grant(resource, verbs),
            )
            for resource, verbs in lacking.items()
        ]

    def _job(self) -> Iterable[Diagnosis]:
        """Of a run on one node: the place's own settings and its pod overlay come in with it."""
        spec = TrainingSpec(gpus_per_node=min(1, self.place.cards.per_node))
        attempt = example_attempt(spec, name=f"doctor-{uuid4().hex[:8]}")
        body = job(attempt, self.place, bucket="s3://bucket" if self.is_bucket else None)
        if not self.cluster.may("create", "jobs.batch"):
            return []
        try:
            warnings = self.cluster.warnings(self.cluster.path("batch/v1", "jobs"), body)
        except (Unreachable, Conflict):
            raise
        except ClusterError as error:
            return [self._found("job", "bad", error=str(error))]
        if warnings:
            return [self._found("job", "warn", error=" ".join(warnings))]
        return [self._found("job", "ok", image=self.place.image)]

    def _quota(self) -> Iterable[Diagnosis]:
        try:
            quotas = self.cluster.get(self.cluster.path("v1", "resourcequotas"))["items"]
        except Forbidden:
            return [self._found("quota", "ok", "unseen", command=self._grant("resourcequotas", ["get", "list"]))]
        lines, spent = self._amounts(quotas)
        if spent:
            return [self._found("quota", "warn", amounts="; ".join(spent))]
        if lines:
            return [self._found("quota", "ok", amounts="; ".join(lines))]
        return [self._found("quota", "ok", "none")]

    def _amounts(self, quotas: Sequence[Json]) -> tuple[list[str], list[str]]:
        """Of all that runs use up: ``requests.cpu 6 of 8``, and those of which nothing is left."""
        counted = {"cpu", "memory", self.place.cards.resource, "pods", "count/pods", "count/jobs.batch"}
        lines, spent = [], []
        for quota in quotas:
            status = quota.get("status", {})
            for name, hard in status.get("hard", {}).items():
                if re.sub(r"^(requests|limits)\.", "", name) not in counted:
                    continue
                used = status.get("used", {}).get(name, "0")
                line = f"{name} {used}/{hard}"
                lines.append(line)
                with suppress(ValueError):
                    if amount(used) >= amount(hard):
                        spent.append(line)
        return lines, spent

    def _claim(self) -> Iterable[Diagnosis]:
        name = self.place.claim or ""
        try:
            claim = self.cluster.get(self.cluster.path("v1", "persistentvolumeclaims", name))
        except Missing:
            return [self._found("claim", "bad", "missing", claim=name)]
        except Forbidden:
            command = self._grant("persistentvolumeclaims", ["get", "list"])
            return [self._found("claim", "ok", "unseen", claim=name, command=command)]
        phase = claim.get("status", {}).get("phase", "Pending")
        if phase != "Bound":
            # One that waits for its first consumer is bound when a pod comes.
            return [self._found("claim", "bad" if phase == "Lost" else "warn", "unbound", claim=name, phase=phase)]
        modes = claim["status"].get("accessModes", [])
        size = claim["status"].get("capacity", {}).get("storage", "?")
        if SHARED in modes:
            return [self._found("claim", "ok", claim=name, size=size)]
        is_single = len(self._nodes() or ()) == 1
        if "ReadWriteOnce" in modes:
            if is_single:
                return [self._found("claim", "ok", claim=name, size=size)]
            return [self._found("claim", "warn", "alone", claim=name, modes=", ".join(modes))]
        return [self._found("claim", "bad", "alone", claim=name, modes=", ".join(modes))]

    def _secret(self) -> Iterable[Diagnosis]:
        # Whether it is there cannot be looked up: the account reads no Secret.
        if self.place.bucket_secret is None:
            return [self._found("bucket_secret", "warn")]
        return [self._found("bucket_secret", "ok", secret=self.place.bucket_secret)]

    def _cards(self) -> Iterable[Diagnosis]:
        cards = self.place.cards
        if not cards.per_node:
            return [self._found("cards", "ok", "none")]
        nodes = self._nodes()
        if nodes is None:
            return [self._found("cards", "ok", "unseen", command=self._grant_nodes())]
        able = {
            node["metadata"]["name"]: (int(count), node["metadata"].get("labels", {}).get(cards.product_label, "?"))
            for node in nodes
            if (count := node.get("status", {}).get("allocatable", {}).get(cards.resource, "0")) != "0"
        }
        if not able:
            return [self._found("cards", "warn", "missing", resource=cards.resource)]
        kinds = sorted({kind for _, kind in able.values()})
        if cards.products:
            able = {name: each for name, each in able.items() if each[1] in cards.products}
        if not able:
            values = {"products": ", ".join(cards.products), "label": cards.product_label, "kinds": ", ".join(kinds)}
            return [self._found("cards", "bad", "other", **values)]
        most = max(count for count, _ in able.values())
        if most < cards.per_node:
            return [self._found("cards", "warn", "fewer", most=most, per_node=cards.per_node)]
        kinds = sorted({kind for _, kind in able.values()})
        count = sum(count for count, _ in able.values())
        return [self._found("cards", "ok", cards=count, nodes=len(able), kinds=", ".join(kinds))]

    def _served(self) -> Iterable[Diagnosis]:
        if self.place.serving is None:
            return []
        return look_at_serving(self.place, self.place.serving, self.cluster, is_bucket=self.is_bucket)

    def _queue_settings(self) -> dict[str, str]:
        """Each queue that is set, and the setting that says it."""
        named = {"TUNESMITH_KUEUE_QUEUE": self.place.queue}
        if self.place.serving:
            named = {"TUNESMITH_SERVING_QUEUE": self.place.serving.queue, **named}
        return {queue: setting for setting, queue in named.items() if queue}

    def _queues(self) -> Iterable[Diagnosis]:
        for queue, setting in self._queue_settings().items():
            yield from self._queue(queue, setting)

    def _queue(self, queue: str, setting: str) -> Iterable[Diagnosis]:
        try:
            self.cluster.get(f"/apis/{KUEUE_API}")
        except Missing:
            return [self._found("queue", "bad", "no_kueue", queue=queue, setting=setting)]
        try:
            there = self.cluster.get(self.cluster.path(KUEUE_API, "localqueues", queue))
        except Missing:
            return [self._found("queue", "bad", "missing", queue=queue, setting=setting)]
        except Forbidden:
            command = self._grant("localqueues.kueue.x-k8s.io", ["get"])
            return [self._found("queue", "ok", "unseen", queue=queue, command=command)]
        for condition in there.get("status", {}).get("conditions", []):
            if condition["type"] == "Active" and condition["status"] != "True":
                return [self._found("queue", "bad", "inactive", queue=queue, error=condition.get("message", ""))]
        return [self._found("queue", "ok", queue=queue, cluster_queue=there["spec"]["clusterQueue"])]

    def _nodes(self) -> list[Json] | None:
        """None where they may not be listed."""
        try:
            nodes: list[Json] = self.cluster.get("/api/v1/nodes")["items"]
        except Forbidden:
            return None
        return nodes

    def _account(self) -> str:
        """Empty where the server does not tell (before Kubernetes 1.28)."""
        try:
            return self.cluster.account()
        except (Missing, Forbidden):
            return "?"

    def _grant(self, resource: str, verbs: Sequence[str]) -> str:
        """The commands of an administrator that give the rights."""
        kubectl = f"kubectl --namespace {self.cluster.namespace}"
        # Of the verbs too: another role of the resource may be there, from an earlier time.
        name = "-".join(("tunesmith", re.sub(r"[^a-z0-9]+", "-", resource.partition(".")[0]), *verbs))
        role = f"{kubectl} create role {name} --verb={','.join(verbs)} --resource={resource}"
        return f"{role} && {kubectl} create rolebinding {name} --role={name} {self._subject()}"

    def _grant_nodes(self) -> str:
        name = "tunesmith-nodes"
        role = f"kubectl create clusterrole {name} --verb=list --resource=nodes"
        return f"{role} && kubectl create clusterrolebinding {name} --clusterrole={name} {self._subject()}"

    def _subject(self) -> str:
        return f"--user={shlex.quote(self._account())}"
