"""A real cluster for the session, and accounts with no more rights than the product's own."""

import errno
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_socket import socket_allow_hosts

from tests.cluster import charts
from tests.cluster.cluster import Cluster
from tests.cluster.stage import ROWS, ClusterStage, make_namespace, make_owned, place_for
from tests.tiny_model import make_tiny_model

NAMESPACE = "trainings"


class ClosingSocket(ssl.SSLSocket):
    """Closes itself where the peer went between the connection and TLS, as when an API server is killed.

    Before Python 3.11.8 and 3.12.2 it stays open until it is collected (cpython issue 113280).
    """

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except OSError as error:
            if self.version() is None and error.errno not in (errno.ENOTCONN, errno.EINVAL):
                self.close()
            raise


@pytest.fixture(scope="session", autouse=True)
def close_what_was_never_tls() -> Iterator[None]:
    """Tests kill the API server, and a socket that is left open fails whichever test runs when it is collected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "sslsocket_class", ClosingSocket)
        yield


@pytest.fixture(autouse=True)
def reach_the_cluster() -> None:
    """The API server of the test cluster is on a network of its own on this machine."""
    allow_cluster()


def allow_cluster() -> None:
    """The same, for fixtures that outlive a test."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost", "10.0.0.0/8"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


KEPT_NAMESPACES = frozenset({NAMESPACE, "kueue-system"})


@pytest.fixture(scope="module", autouse=True)
def tidy(cluster: Cluster) -> Iterator[None]:
    """What a module leaves running in namespaces of its own would take the next one's place on the nodes."""

    def namespaces() -> set[str]:
        return set(cluster.kubectl("get", "namespaces", "-o", "name").split())

    before = namespaces()
    yield
    kept = before | {f"namespace/{name}" for name in KEPT_NAMESPACES}
    if left := namespaces() - kept:
        cluster.kubectl("delete", *sorted(left), "--wait=false")


@pytest.fixture(scope="session")
def volume(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the namespace's claim stands for."""
    folder = make_owned(tmp_path_factory.mktemp("volume"))
    make_namespace(cluster, NAMESPACE, folder)
    return folder


@pytest.fixture(scope="session")
def account(cluster: Cluster, volume: Path) -> Path:
    """The kubeconfig of the chart's own account: no more rights than the product has, from outside of the cluster."""
    return charts.install_account(cluster, NAMESPACE, rbac={"proxyPods": True})


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [text for row in ROWS for text in row]
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", texts=texts)


@pytest.fixture
def stage(account: Path, volume: Path, tiny_model: Path, request: pytest.FixtureRequest) -> Iterator[ClusterStage]:
    """A backend that sees nothing of what other tests leave."""
    instance = f"t{abs(hash(request.node.nodeid)) % 10**10}"
    make_owned(volume / instance)
    stage = ClusterStage(place_for(account, NAMESPACE, instance), volume, tiny_model)
    yield stage
    stage.close()
