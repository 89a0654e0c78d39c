"""What an API server, or something before it, may answer: each becomes an error of ours that says so."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from serving.kubernetes import last_words
from tests.api_server import cluster_of
from training.cluster import Cluster, ClusterError, Conflict, Forbidden, Unreachable

EVENT = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "one", "resourceVersion": "1"}}})


class Answers(BaseHTTPRequestHandler):
    """Answers by the path; counts its connections."""

    protocol_version = "HTTP/1.1"
    connections = 0
    logs: ClassVar[dict[bool, str]] = {}
    """Of the container before the last, and of the last."""

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/ok":
                self._answer(200, b'{"kind": "Thing"}')
            case "/page":
                self._answer(200, b"<html>Log in</html>")
            case "/forbidden":
                self._answer(403, b'{"message": "things are\\nforbidden"}')
            case "/starting":
                self._answer(403, b'{"message": "things \\"a\\" is forbidden: not yet ready to handle request"}')
            case "/there":
                self._answer(409, b'{"message": "one is there", "reason": "AlreadyExists"}')
            case "/crossed":
                self._answer(409, b'{"message": "try again", "reason": "Conflict"}')
            case "/bare":
                self._answer(503, b"upstream connect error")
            case "/broken":
                self._answer(403, b'{"message": "thi', length=1000)
                self.close_connection = True
            case "/log":
                words = self.logs.get("previous=true" in self.path)
                self._answer(200 if words else 400, (words or '{"message": "no such container"}').encode())
            case "/watch":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(f"{len(EVENT) + 1:x}\r\n{EVENT}\n\r\n".encode())
                self.wfile.flush()
                self.rfile.read(1)  # silent until the other side goes
                self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _answer(self, status: int, body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[Cluster, type[Answers]]]:
    handler = type("Counted", (Answers,), {})
    with cluster_of(handler, tmp_path) as cluster:
        yield cluster, handler


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/page", Unreachable, "the answer is no JSON"),
        ("/forbidden", Forbidden, "things are forbidden"),
        ("/starting", Unreachable, 'things "a" is forbidden: not yet ready to handle request'),
        ("/there", Conflict, "one is there"),
        ("/crossed", Unreachable, "try again"),
        ("/bare", Unreachable, "HTTP 503"),
        ("/broken", Unreachable, "ProtocolError"),
    ],
)
def test_a_bad_answer_says_what_it_is(
    api: tuple[Cluster, type[Answers]], path: str, kind: type[ClusterError], message: str
) -> None:
    cluster, _ = api
    with pytest.raises(kind) as raised:
        cluster.get(path)
    assert str(raised.value) == message
    assert cluster.get("/ok") == {"kind": "Thing"}


def test_the_connection_of_a_watch_that_is_left_is_not_used_again(api: tuple[Cluster, type[Answers]]) -> None:
    cluster, handler = api
    cluster.get("/ok")
    cluster.get("/ok")
    assert handler.connections == 1, "what was read whole leaves its connection for the next"
    events = cluster.watch("/watch", labels="", version="0", on_open=lambda _: None)
    assert next(events)["type"] == "ADDED"
    events.close()
    assert cluster.get("/ok") == {"kind": "Thing"}
    assert handler.connections == 2


@pytest.mark.parametrize("logs", [{True: "an error"}, {False: "an error"}, {True: "an error", False: "Starting"}])
def test_last_words_are_found_in_whichever_log_they_are(
    api: tuple[Cluster, type[Answers]], logs: dict[bool, str]
) -> None:
    cluster, handler = api
    handler.logs = logs
    assert "an error" in last_words(cluster, "/log", "vllm").splitlines()


def test_a_container_that_wrote_nothing_has_no_last_words(api: tuple[Cluster, type[Answers]]) -> None:
    assert last_words(api[0], "/log", "vllm") == ""
