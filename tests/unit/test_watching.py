"""What is watched of an API server, and what our own requests have just changed of it: neither undoes the other."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tests.api_server import cluster_of
from training.cluster import Unreachable
from training.watching import Watched

PATIENCE_S = 30
Json = dict[str, Any]


def job(name: str, version: int, uid: str = "first") -> Json:
    return {"metadata": {"name": name, "uid": f"{uid}-{name}", "resourceVersion": str(version)}}


@dataclass(kw_only=True)
class Server:
    """An API server with Jobs, whose answers come when the test says so."""

    items: list[Json] = field(default_factory=list)
    version: int = 5
    is_asked: threading.Event = field(default_factory=threading.Event)
    may_list: threading.Event = field(default_factory=threading.Event)
    changes: SimpleQueue[tuple[str, Json] | None] = field(default_factory=SimpleQueue)

    def says(self, kind: str, thing: Json) -> None:
        self.changes.put((kind, thing))

    def listed(self) -> Json:
        self.is_asked.set()
        self.may_list.wait(PATIENCE_S)
        return {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.items)}

    def watched(self) -> Iterator[Json]:
        while (change := self.changes.get()) is not None:
            yield {"type": change[0], "object": change[1]}


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if "watch=true" not in self.path:
                self._answer(server.listed())
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in server.watched():
                line = json.dumps(event)
                self.wfile.write(f"{len(line) + 1:x}\r\n{line}\n\r\n".encode())
                self.wfile.flush()
            self.close_connection = True

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer({"kind": "Status", "status": "Success", "details": {"uid": "first-one"}})

        def log_message(self, *_: Any) -> None:
            """Nothing."""

        def _answer(self, body: Json) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def jobs(server: Server, tmp_path: Path) -> Iterator[Watched]:
    with cluster_of(handler_of(server), tmp_path) as cluster:
        try:
            with closing(Watched(cluster, cluster.path("batch/v1", "jobs"), labels="a=b")) as watched:
                yield watched
        finally:
            server.may_list.set()
            server.changes.put(None)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_list_that_was_made_before_hides_nothing_that_was_made_since(server: Server, jobs: Watched) -> None:
    server.items.append(job("old", 4))
    assert server.is_asked.wait(PATIENCE_S)
    jobs.put(job("new", 6))
    jobs.put(job("old", 7))
    server.may_list.set()
    assert jobs.objects() == {"new": job("new", 6), "old": job("old", 7)}
    server.says("DELETED", job("new", 8))
    until(lambda: set(jobs.objects()) == {"old"})


def test_a_list_that_was_made_since_is_what_holds(server: Server, jobs: Watched) -> None:
    server.items.append(job("one", 4))
    server.may_list.set()
    assert set(jobs.objects()) == {"one"}
    jobs.put(job("two", 6))
    server.items[:], server.version = [job("three", 9)], 10
    server.says("ERROR", {"code": 410, "message": "too old"})
    until(lambda: set(jobs.objects()) == {"three"})


def test_what_comes_late_undoes_no_change_of_ours(server: Server, jobs: Watched) -> None:
    server.items.append(job("one", 4))
    server.may_list.set()
    assert set(jobs.objects()) == {"one"}
    jobs.put(job("one", 8))
    server.says("MODIFIED", job("one", 6))
    server.says("ADDED", job("marker", 9))
    until(lambda: "marker" in jobs.objects())
    assert jobs.objects()["one"] == job("one", 8)


def test_what_was_deleted_is_gone_at_once_and_comes_back_under_its_name(server: Server, jobs: Watched) -> None:
    server.items.append(job("one", 4))
    server.may_list.set()
    assert set(jobs.objects()) == {"one"}
    jobs.delete("one")
    assert jobs.objects() == {}
    server.says("MODIFIED", job("one", 6))
    server.says("ADDED", job("marker", 6))
    until(lambda: "marker" in jobs.objects())
    assert set(jobs.objects()) == {"marker"}
    again = job("one", 9, uid="second")
    jobs.put(again)
    server.says("DELETED", job("one", 7))
    server.says("DELETED", job("marker", 8))
    until(lambda: "marker" not in jobs.objects())
    assert jobs.objects() == {"one": again}
    server.says("DELETED", job("one", 10, uid="second"))
    until(lambda: not jobs.objects())


def test_what_makes_no_sense_is_asked_for_again(server: Server, jobs: Watched) -> None:
    server.items.append({"metadata": {}})
    server.may_list.set()
    with pytest.raises(Unreachable, match="makes no sense"):
        jobs.objects()
    server.items[:] = [job("one", 4)]
    until(lambda: is_known(jobs, "one"))
    server.says("MODIFIED", {"metadata": {"name": "one", "resourceVersion": "page"}})
    server.items.append(job("two", 6))
    until(lambda: is_known(jobs, "two"))


def is_known(jobs: Watched, name: str) -> bool:
    try:
        return name in jobs.objects()
    except Unreachable:
        return False
