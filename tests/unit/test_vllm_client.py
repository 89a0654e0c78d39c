"""What is asked of a vLLM besides answers, by several threads at once."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from serving import vllm_client
from serving.connecting import Connecting, connecting
from serving.services import Address, ServerUnavailable
from serving.vllm_client import VllmClient
from tests.fake_vllm import FakeVllm


@pytest.fixture
def vllm() -> Iterator[FakeVllm]:
    with FakeVllm() as fake:
        yield fake


def connections_to(address: Address) -> int:
    """How many of this process lead there."""
    port = int(address.base_url.rpartition(":")[2])
    return sum(bool(one.raddr) and one.raddr.port == port for one in psutil.Process().net_connections("tcp"))


def test_threads_that_ask_first_together_leave_nothing_open(vllm: FakeVllm, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(address: Address) -> Connecting:
        time.sleep(0.05)
        return connecting(address)

    monkeypatch.setattr(vllm_client, "connecting", slowly)
    client = VllmClient(answer_s=60)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: client.models(vllm.address), range(8))) == {frozenset({"base"})}
    assert connections_to(vllm.address)
    client.close()
    assert connections_to(vllm.address) == 0


def test_a_request_that_is_under_way_ends_and_closes_its_connection() -> None:
    client = VllmClient(answer_s=60)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        address = Address(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", api_key="none")
        asking = threads.submit(client.models, address)
        with listener.accept()[0] as connection:
            connection.recv(65536)
            client.close()
            assert not asking.done()
            assert connections_to(address) == 1
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            with pytest.raises(ServerUnavailable):
                asking.result(60)
        assert connections_to(address) == 0


def test_who_asks_after_the_end_is_answered_and_leaves_nothing_open(vllm: FakeVllm) -> None:
    client = VllmClient(answer_s=60)
    client.close()
    assert client.models(vllm.address) == {"base"}
    assert connections_to(vllm.address) == 0
