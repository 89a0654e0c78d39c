"""Model servers on the cluster, with a quick stand-in for vLLM in real pods: the contract, and what only pods can go
through."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serving.kubernetes import KubernetesVllm
from serving.manifest import PORT
from serving.services import AdapterRef, HostSpec, HostStatus, ServerUnavailable
from serving.vllm_command import Build
from storage.files import ArtifactFiles
from storage.states import HostState
from tests.adapter_files import make_adapter, make_base_files
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import NAMESPACE, allow_cluster
from tests.cluster.outside import ask, run_outside
from tests.cluster.serving_stage import SECRET, kill_vllm, pods_of, stand_in_place
from tests.cluster.stage import in_bucket, make_owned
from tests.contracts.model_servers import Case, ModelServerContract
from tests.s3_server import s3_server
from training.places import ClusterPlace

INSTANCE = "serving"


@pytest.fixture(scope="module")
def place(account: Path, volume: Path, tmp_path_factory: pytest.TempPathFactory) -> ClusterPlace:
    make_owned(volume / INSTANCE)
    return stand_in_place(account, NAMESPACE, INSTANCE, tmp_path_factory.mktemp("stand-in"))


class TestKubernetesVllm(ModelServerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, cluster: Cluster, place: ClusterPlace, volume: Path) -> Iterator[Case]:
        allow_cluster()
        root = volume / INSTANCE
        made = [KubernetesVllm(place, root, secret=SECRET)]

        def again() -> KubernetesVllm:
            made.append(KubernetesVllm(place, root, secret=SECRET))
            return made[-1]

        case = Case(
            server=made[0],
            spec=HostSpec(
                id="h1",
                base_model=str(make_base_files(root / "base")),
                base_name="tiny",
                context_tokens=512,
                cpu=1,
                memory_gib=1,
            ),
            kill=lambda: kill_vllm(made[-1], "h1"),
            processes=lambda: len(pods_of(cluster, NAMESPACE, "h1")),
            again=again,
            folder=root,
            start_s=120,
            build=Build.CPU,
            mends_itself=True,
        )
        yield case
        case.server.stop("h1")
        for server in made:
            server.close()


@dataclass(kw_only=True)
class Stage:
    """A host of the cluster, under the test's hand."""

    server: KubernetesVllm
    spec: HostSpec
    root: Path

    def until(self, holds: Callable[[HostStatus], bool]) -> HostStatus:
        deadline = time.monotonic() + 120
        while not holds(status := self.server.observe().get(self.spec.id, GONE)):
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
        return status

    def load(self, adapter: AdapterRef) -> None:
        """Until its files are there, as the loops do it."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.server.load(self.spec.id, adapter)
            except ServerUnavailable:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            else:
                return


GONE = HostStatus(state=HostState.STOPPED)


@contextmanager
def staged(place: ClusterPlace, root: str | Path, base: Path, **spec: Any) -> Iterator[Stage]:
    allow_cluster()
    server = KubernetesVllm(place, root, secret=SECRET)
    host = HostSpec(
        id=f"h{time.monotonic_ns()}",
        base_model=str(base),
        base_name="tiny",
        context_tokens=512,
        cpu=1,
        memory_gib=1,
        **spec,
    )
    stage = Stage(server=server, spec=host, root=base.parent)
    with closing(server):
        server.start(host)
        try:
            yield stage
        finally:
            server.stop(host.id)
            stage.until(lambda status: status is GONE)


@pytest.fixture(scope="module")
def base(volume: Path, place: ClusterPlace) -> Path:
    return make_base_files(make_owned(volume / INSTANCE) / "more" / "base")


def test_every_replica_gets_the_adapters_and_a_new_one_too(
    cluster: Cluster, place: ClusterPlace, volume: Path, base: Path
) -> None:
    with staged(place, volume / INSTANCE, base, instances=2) as stage:
        stage.until(lambda status: len(status.replicas) == 2)
        make_adapter(base.parent / "good", base, rank=4, scale=0.3)
        adapter = AdapterRef(model_id="good", folder=str(base.parent / "good"))
        stage.load(adapter)
        status = stage.until(lambda status: len(status.having("good")) == 2)
        names = {replica.name for replica in status.replicas}
        cluster.kubectl("delete", "pod", min(names), "-n", NAMESPACE, "--wait=false")
        kept = max(names)

        def has_another(status: HostStatus) -> bool:
            found = {replica.name for replica in status.replicas}
            return kept in found and bool(found - names)

        status = stage.until(has_another)
        assert [replica.name for replica in status.having("good")] == [kept]
        stage.load(adapter)
        assert len(stage.until(lambda status: status.adapters == {"good"}).replicas) == 2


def test_nobody_else_gets_in(cluster: Cluster, place: ClusterPlace, volume: Path, base: Path) -> None:
    """From another pod: the load endpoints, the models, the numbers are closed; only the cluster's probe is open."""
    with staged(place, volume / INSTANCE, base) as stage:
        name = stage.until(lambda status: bool(status.replicas)).replicas[0].name
        address = cluster.kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "jsonpath={.status.podIP}")
        asks = [
            ask(f"http://{address}:{PORT}/{path}") for path in ("health", "v1/models", "metrics", "v1/chat/completions")
        ]
        load = ask(f"http://{address}:{PORT}/v1/load_lora_adapter", body={})
        assert run_outside(cluster, NAMESPACE, [*asks, load]) == [200, 401, 401, 401, 401]


def test_from_a_bucket_the_pods_bring_what_they_serve(
    cluster: Cluster, account: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_cluster()
    with s3_server(tmp_path / "s3", host=cluster.plan.host) as server:
        bucket = server.new_bucket()
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        made = stand_in_place(account, NAMESPACE, "bucket", tmp_path / "stand-in", has_pullers=True)
        root = f"s3://{bucket}/tunes"
        make_adapter(tmp_path / "good", base, rank=4, scale=0.3)
        ArtifactFiles(root).keep_folder(tmp_path / "good", "models/good")
        adapter = AdapterRef(model_id="good", folder=str(tmp_path / "good"), artifact="models/good")
        with staged(in_bucket(cluster, made, server), root, base) as stage:
            stage.until(lambda status: bool(status.replicas))
            stage.load(adapter)
            assert stage.until(lambda status: bool(status.adapters)).adapters == {"good"}
        assert not ArtifactFiles(root).sizes(f"hosts/{stage.spec.id}")


def test_while_the_api_server_is_away_hosts_stay_as_they_were(
    cluster: Cluster, place: ClusterPlace, volume: Path, base: Path
) -> None:
    with staged(place, volume / INSTANCE, base) as stage:
        name = stage.until(lambda status: bool(status.replicas)).replicas[0].name
        cluster.stop_api_server()
        try:
            stage.server.start(stage.spec)
            assert stage.server.observe()[stage.spec.id].replicas[0].name == name
            with pytest.raises(ServerUnavailable):
                stage.server.stop(stage.spec.id)
        finally:
            cluster.start_api_server()
        assert stage.until(lambda status: bool(status.replicas)).replicas[0].name == name


def test_what_cannot_be_says_why(place: ClusterPlace, volume: Path, base: Path) -> None:
    with staged(place, volume / INSTANCE, base, arguments=("--max-model-len", "many")) as stage:
        status = stage.until(lambda status: status.state is HostState.FAILED)
        assert "invalid int value: 'many'" in str(status.reason)
    huge = place.model_copy(update={"pending_minutes": 0.02})
    with staged(huge, volume / INSTANCE, base, gpus=3) as stage:
        assert stage.until(lambda status: status.state is HostState.FAILED).reason == "no_node"
