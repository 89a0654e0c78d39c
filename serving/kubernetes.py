"""vLLM on a Kubernetes cluster: each host is a Deployment of its own name, and what is known of it is watched.

Requests to the API server do not grow with the number of hosts: one watch of the Deployments, one of their pods. From
within the cluster replicas are spoken to at their own addresses, from outside through the API server's proxy.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from serving import conditions, guard, puller
from serving.manifest import (
    GROUPS,
    NAME_ANNOTATION,
    PORT,
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
from serving.services import AdapterRef, AdapterRefused, Address, HostSpec, HostStatus, Replica, ServerUnavailable
from serving.vllm_client import VllmClient
from serving.vllm_command import Build, require_slot, vllm_rank
from serving.vllm_log import awaited_telling_line
from storage.artifact_errors import ArtifactError
from storage.files import ArtifactFiles
from storage.states import HostState
from training.adapters import AdapterProblem, check_adapter
from training.base_copies import BaseCopies
from training.cluster import Cluster, ClusterError, Conflict, Invalid, Json, Missing, Unreachable
from training.places import ClusterPlace
from training.runs import BackendUnavailable, Preparing
from training.watching import Watched

log = structlog.get_logger(__name__)

PATIENCE = timedelta(seconds=5)
"""With a bucket that does not answer: the next look is a second away."""
ASK_AGAIN_S = 15.0
"""How long what a replica says it has loaded is believed: only we load and unload."""
KILLED = (137, 143)
"""The exit codes of a process that a signal ended: SIGKILL, SIGTERM."""
LONGEST_REASON = 500
LOG_PAUSES_S = (0.2, 0.3, 0.5)
"""Between looks at the log of a container that has just ended: the node may still be writing it."""
LOG_LINES = 400
"""Of a container that ended: its last error is among them."""


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """What a replica has: by its own word, and by what we have loaded and unloaded since."""

    asked_at: float
    adapters: frozenset[str]
    changed_at: float = 0.0
    """When we last changed it: what the replica was asked before then does not say so."""


class KubernetesVllm:
    """Implements :class:`serving.services.ModelServer` with Deployments of one place."""

    def __init__(self, place: ClusterPlace, artifacts_root: str | Path, *, secret: bytes) -> None:
        """``secret``: what the hosts' keys are made from; the same after every start of the server.

        Raises training.cluster.Unreachable where there is no way to any API server.
        """
        self.place = place
        self.cluster = Cluster(place)
        self._serving = serving_of(place)
        self._secret = secret
        self._files = ArtifactFiles(artifacts_root, patience=PATIENCE)
        self._bucket = None if self._files.folder is not None else self._files.root
        self._deployments = Watched(self.cluster, self.cluster.path("apps/v1", "deployments"), labels=selector(place))
        self._pods = Watched(self.cluster, self.cluster.path("v1", "pods"), labels=selector(place))
        self._bases = BaseCopies(self._files, user_id=place.user_id)
        self._client = VllmClient()
        self._specs: dict[str, HostSpec] = {}
        """What was asked for: a base model may have to be copied first."""
        self._loaded: dict[str, _Loaded] = {}
        """By a container's own id: one that was started again has nothing."""
        self._knowing = threading.Lock()
        """Of ``_loaded``: several threads look, load and unload at once."""
        self._wanting = threading.Lock()
        """Of what is wanted in a bucket: it is read, changed and written."""
        self._reasons: dict[str, str | None] = {}
        self._last: Mapping[str, HostStatus] = {}

    def close(self) -> None:
        """End the watches. The hosts run on."""
        self._deployments.close()
        self._pods.close()
        self._bases.close()
        self._client.close()
        self.cluster.close()

    # The port

    def start(self, host: HostSpec) -> None:
        """Send what the host is made of; what is there already is made so. One whose vLLM failed is started anew.

        Raises ServerUnavailable where the API server refuses it. While that does not answer, or the base model is being
        copied to the artifact root, the host is starting: each look tries again.
        """
        self._specs[host.id] = host
        try:
            self._apply(host)
            for pod in self.pods_of(host.id):
                if conditions.has_crashed(pod):
                    self._delete_pod(pod)
        except (Preparing, Unreachable):
            return
        except (ClusterError, ArtifactError, BackendUnavailable, OSError) as error:
            raise ServerUnavailable("serving.not_started", detail=str(error)) from error

    def observe(self) -> Mapping[str, HostStatus]:
        """All hosts of ours, by id; one that rests is stopped. While the API server is away, as they were last."""
        try:
            deployments, pods = self._deployments.objects(), self._pods.objects().values()
        except ClusterError as error:
            log.info("hosts.not_seen", place=self.place.name, error=str(error))
            away = HostStatus(state=HostState.STARTING, waiting="away")
            return {host: self._last.get(host, away) for host in self._last.keys() | self._specs.keys()}
        by_host: dict[str, list[Json]] = {}
        for pod in pods:
            by_host.setdefault(host_of(pod["metadata"]["labels"]), []).append(pod)
        found = {host_of(each["metadata"]["labels"]): each for each in deployments.values()}
        self._forget(pods)
        missing = {host: self._going_on(spec) for host, spec in list(self._specs.items()) if host not in found}
        present = {host: self._status(each, by_host.get(host, [])) for host, each in found.items()}
        self._last = {**missing, **present}
        return self._last

    def load(self, host: str, adapter: AdapterRef) -> None:
        """Load an adapter onto every replica that answers. Raises AdapterRefused, ServerUnavailable."""
        spec, sources = self._asked(host)
        rank = vllm_rank(spec.max_lora_rank)
        try:
            check_adapter(Path(adapter.folder), base=Path(spec.base_model), max_lora_rank=rank)
        except AdapterProblem as error:
            raise AdapterRefused(f"adapter.{error.code}", **error.params) from error
        artifact = self._artifact(adapter)
        there = AdapterRef(model_id=adapter.model_id, folder=sources.adapter(artifact))
        self._want(host, artifact, is_wanted=True)
        for pod, replica in self._answering(host):
            if adapter.model_id not in replica.adapters:
                require_slot(Build(self._serving.build), spec.max_loras, replica.adapters, adapter.model_id)
                self._load_there(replica, there)
                self._note(pod, adapter.model_id, is_loaded=True)

    def unload(self, host: str, model_id: str) -> None:
        """Unload an adapter from every replica that answers. Raises ServerUnavailable."""
        for pod, replica in self._answering(host):
            self._client.unload(replica.address, model_id)
            self._note(pod, model_id, is_loaded=False)
        self._want(host, model_id, is_wanted=False)

    def rest(self, host: str) -> None:
        """No replica any more; the Deployment and all else stay."""
        self._specs.pop(host, None)
        try:
            self._deployments.put(self.cluster.patch(self._path(host), {"spec": {"replicas": 0}}))
        except Missing:
            return
        except ClusterError as error:
            raise ServerUnavailable("serving.not_stopped", detail=str(error)) from error

    def stop(self, host: str) -> None:
        """Delete the Deployment and all that it owns. Raises ServerUnavailable."""
        self._specs.pop(host, None)
        try:
            self._deployments.delete(object_name(host))
            for plural, group in GROUPS.items():
                name = secret_name(host, self._key(host)) if plural == "secrets" else object_name(host)
                self.cluster.delete(self.cluster.path(group, plural, name))
            puller.forget(self._files, host)
        except (ClusterError, ArtifactError, OSError) as error:
            raise ServerUnavailable("serving.not_stopped", detail=str(error)) from error

    # Looking

    def _status(self, found: Json, pods: Sequence[Json]) -> HostStatus:
        if not found["spec"].get("replicas"):
            return HostStatus(state=HostState.STOPPED)
        replicas = tuple(replica for _, replica in self._replicas(found, pods))
        if replicas:
            return HostStatus(state=HostState.READY, replicas=replicas)
        # One on its way out ends, well or badly: what counts is the one that takes its place.
        pods = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        crashed = conditions.ended_container(pods)
        if crashed is not None:
            return HostStatus(state=HostState.FAILED, reason=self._reason(*crashed))
        if any(conditions.is_ready(pod) for pod in pods):
            return HostStatus(state=HostState.STARTING, waiting="unreachable")
        trouble = conditions.trouble(found, pods, self.place)
        if trouble.is_hopeless:
            return HostStatus(state=HostState.FAILED, reason=trouble.code, words=trouble.words)
        return HostStatus(state=HostState.STARTING, waiting=trouble.code, words=trouble.words)

    def _going_on(self, host: HostSpec) -> HostStatus:
        """Of a host that was asked for and is not there (yet): its base model is being copied, as a rule."""
        try:
            self.start(host)
        except ServerUnavailable as error:
            return HostStatus(state=HostState.STARTING, waiting="refused", words=str(error.params.get("detail", "")))
        return HostStatus(state=HostState.STARTING, waiting="copying")

    def _replicas(self, found: Json, pods: Iterable[Json]) -> Iterator[tuple[Json, Replica]]:
        base_name = found["metadata"]["annotations"][NAME_ANNOTATION]
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
            if not conditions.is_ready(pod):
                continue
            address = self._address(host_of(pod["metadata"]["labels"]), pod)
            adapters = self._adapters(pod, address)
            if adapters is not None:
                yield (
                    pod,
                    Replica(
                        name=pod["metadata"]["name"],
                        address=address,
                        adapters=adapters - {base_name},
                        template=conditions.template_of(pod),
                        is_current=conditions.is_current(pod, found),
                    ),
                )

    def _adapters(self, pod: Json, address: Address) -> frozenset[str] | None:
        """What a replica has, by its own word, which is remembered for a while; None where it does not answer."""
        container = conditions.container_id(pod)
        known = self._loaded.get(container)
        if known is not None and time.monotonic() - known.asked_at < ASK_AGAIN_S:
            return known.adapters
        asked_at = time.monotonic()
        try:
            adapters = self._client.models(address)
        except ServerUnavailable:
            # The cluster asks it more patiently than we do, and takes it out when it is ill.
            return known.adapters if known else None
        with self._knowing:
            known = self._loaded.get(container)
            if known is None or max(known.asked_at, known.changed_at) < asked_at:
                known = self._loaded[container] = _Loaded(asked_at=asked_at, adapters=adapters)
            return known.adapters

    def _note(self, pod: Json, model_id: str, *, is_loaded: bool) -> None:
        """Take in what we have just changed, whatever others changed meanwhile."""
        container = conditions.container_id(pod)
        with self._knowing:
            known = self._loaded.get(container)
            if known is not None:
                adapters = known.adapters | {model_id} if is_loaded else known.adapters - {model_id}
                self._loaded[container] = replace(known, adapters=adapters, changed_at=time.monotonic())

    def _forget(self, pods: Iterable[Json]) -> None:
        there = {conditions.container_id(pod) for pod in pods}
        with self._knowing:
            self._loaded = {container: loaded for container, loaded in self._loaded.items() if container in there}

    def _address(self, host: str, pod: Json) -> Address:
        headers = {guard.HEADER: self._key(host)}
        if self.cluster.is_within:
            return Address(base_url=f"http://{pod['status']['podIP']}:{PORT}", api_key="none", headers=headers)
        entrance, name = self.cluster.entrance(), pod["metadata"]["name"]
        return Address(
            base_url=entrance.url + self.cluster.path("v1", "pods", f"{name}:{PORT}", "proxy"),
            # The API server's own: it goes no further than there.
            api_key=(entrance.authorization or "none").removeprefix("Bearer "),
            headers=headers,
            tls=entrance.tls,
        )

    def _answering(self, host: str) -> list[tuple[Json, Replica]]:
        """The replicas that are made as the host now is. Raises ServerUnavailable where none is."""
        try:
            found = self._deployments.objects().get(object_name(host))
            pods = [pod for pod in self.pods_of(host) if found and conditions.is_current(pod, found)]
        except ClusterError as error:
            raise ServerUnavailable("serving.unavailable") from error
        replicas = list(self._replicas(found, pods)) if found else []
        if not replicas:
            raise ServerUnavailable("serving.unavailable")
        return replicas

    def pods_of(self, host: str) -> list[Json]:
        """The pods of a host, as they are. Raises ClusterError."""
        return [pod for pod in self._pods.objects().values() if host_of(pod["metadata"]["labels"]) == host]

    def _reason(self, pod: Json, container: str, how: Json) -> str:
        """Why a container ended: in its own words where it has any."""
        if how.get("reason") == "OOMKilled":
            return "out_of_memory"
        id_ = how.get("containerID", "")
        code = how.get("exitCode", 0)
        if id_ not in self._reasons:
            # Who was killed had no time for last words.
            self._reasons[id_] = self._telling_line(pod, container, () if code in KILLED else LOG_PAUSES_S)
        words = " ".join(str(how.get("message") or f"exit code {code}").split())
        return self._reasons[id_] or ("killed" if code in KILLED else f"{container}: {words}"[:LONGEST_REASON])

    def _telling_line(self, pod: Json, container: str, pauses_s: Iterable[float]) -> str | None:
        path = self.cluster.path("v1", "pods", pod["metadata"]["name"], "log")
        try:
            return awaited_telling_line(lambda: last_words(self.cluster, path, container), pauses_s)
        except ClusterError as error:
            log.info("host.no_log", pod=pod["metadata"]["name"], error=str(error))
            return None

    # Adapters

    def _asked(self, host: str) -> tuple[HostSpec, Sources]:
        spec = self._specs.get(host)
        if spec is None:
            raise ServerUnavailable("serving.unavailable")
        try:
            return spec, self._sources(spec)
        except (Preparing, BackendUnavailable, ArtifactError) as error:
            raise ServerUnavailable("serving.unavailable") from error

    def _artifact(self, adapter: AdapterRef) -> str:
        if adapter.artifact is not None:
            return adapter.artifact
        root = self._files.folder
        if root is None or not Path(adapter.folder).is_relative_to(root):
            raise AdapterRefused("serving.adapter_absent", detail=adapter.folder)
        return Path(adapter.folder).relative_to(root).as_posix()

    def _load_there(self, replica: Replica, adapter: AdapterRef) -> None:
        try:
            self._client.load(replica.address, adapter)
        except AdapterRefused as error:
            if error.code != "serving.adapter_absent":
                raise
            # The files are on their way to the pod.
            raise ServerUnavailable("serving.unavailable") from error

    def _want(self, host: str, artifact: str, *, is_wanted: bool) -> None:
        """In a bucket: say what is to be brought to the host's pods. ``artifact``: or the last part of it."""
        if self._bucket is None:
            return
        try:
            with self._wanting:
                wanted = puller.read_wanted(self._files, host)
                others = {key for key in wanted if key.rsplit("/", 1)[-1] != artifact.rsplit("/", 1)[-1]}
                now = others | {artifact} if is_wanted else others
                if now != wanted:
                    puller.write_wanted(self._files, host, sorted(now))
        except (ArtifactError, ValueError) as error:
            raise ServerUnavailable("serving.unavailable") from error

    # Sending

    def _apply(self, host: HostSpec) -> None:
        """Raises Preparing, ClusterError, ArtifactError, BackendUnavailable, OSError."""
        key, sources = self._key(host.id), self._sources(host)
        body = deployment(host, self.place, sources, size=fitting_size(host, self.place), key=key)
        made = self.cluster.apply(self._path(host.id), body)
        self._deployments.put(made)
        for plural, thing in owned(host, self.place, sources, owner=made, key=key).items():
            if plural == "secrets":
                # Never changed, and never read: its name says which key it holds.
                with suppress(Conflict):
                    self.cluster.create(self.cluster.path("v1", "secrets"), thing)
            else:
                self.cluster.apply(self.cluster.path(GROUPS[plural], plural, object_name(host.id)), thing)

    def _sources(self, host: HostSpec) -> Sources:
        artifact = host.artifact or self._bases.artifact(host.base_model).removeprefix("artifact:")
        return Sources(artifact=artifact, bucket=self._bucket)

    def _key(self, host: str) -> str:
        return hmac.digest(self._secret, f"host:{host}".encode(), hashlib.sha256).hex()

    def _path(self, host: str) -> str:
        return self.cluster.path("apps/v1", "deployments", object_name(host))

    def _delete_pod(self, pod: Json) -> None:
        self.cluster.delete(self.cluster.path("v1", "pods", pod["metadata"]["name"]), grace_s=0)


def last_words(cluster: Cluster, path: str, container: str) -> str:
    """The end of a container's log, ``path``, after that of the one before it.

    One that ended is started again by its node, at first at once: by the time when we ask, the log of the one that we
    were told of may be either. Raises ClusterError.
    """
    logs = []
    for query in ({"previous": "true"}, {}):
        # There is none before the first, and none yet of one that is about to begin.
        with suppress(Invalid, Missing):
            logs.append(cluster.text(path, container=container, tailLines=LOG_LINES, **query))
    return "\n".join(logs)
