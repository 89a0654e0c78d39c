"""An API server that keeps what it is given, lists and watches it, and refuses what a test wants refused."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
Events = SimpleQueue[Json | None]


class Refusal(Exception):
    """The answer is no: an HTTP status, with the API server's reason and words."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"kind": "Status", "status": "Failure", "reason": reason, "message": message}


@dataclass(kw_only=True)
class KeptObjects:
    """The objects of one namespace, by their paths. Nothing acts upon them: there is no controller."""

    objects: dict[str, Json] = field(default_factory=dict)
    refusals: dict[tuple[str, str], Refusal] = field(default_factory=dict)
    """Method and plural (``POST``, ``jobs``) -> what is answered instead."""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request."""
    _version: int = 0
    _watches: list[tuple[str, Events]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def named(self, plural: str) -> dict[str, Json]:
        """All objects of a kind, by name."""
        return {path.rsplit("/")[-1]: each for path, each in self.objects.items() if f"/{plural}/" in path}

    def put(self, path: str, thing: Json, kind: str = "MODIFIED") -> Json:
        """Keep an object, as somebody else's request would, and tell whoever watches."""
        with self._lock:
            self._version += 1
            metadata = {"uid": f"uid-{self._version}", "creationTimestamp": "2026-01-01T00:00:00Z"}
            metadata |= thing["metadata"] | {"resourceVersion": str(self._version)}
            kept = {"status": {}, **thing, "metadata": metadata}
            self.objects[path] = kept
            self._tell(path, kind, kept)
            return kept

    def remove(self, path: str) -> Json:
        """Take an object away, as somebody else's request would, and tell whoever watches."""
        with self._lock:
            gone = self.objects.pop(path)
            self._version += 1
            gone = {**gone, "metadata": gone["metadata"] | {"resourceVersion": str(self._version)}}
            self._tell(path, "DELETED", gone)
            return gone

    def close(self) -> None:
        """End the watches."""
        for _, events in self._watches:
            events.put(None)

    def answer(self, method: str, path: str, body: Json) -> Json:
        """What a request is answered. Raises Refusal."""
        with self._lock:
            self.asked.append(f"{method} {path}")
            plural = path.partition("/namespaces/")[2].split("/")[1]
            if (refusal := self.refusals.get((method, plural))) is not None:
                raise refusal
            if method == "GET" and path.endswith(f"/{plural}"):
                items = [each for key, each in self.objects.items() if key.startswith(f"{path}/")]
                return {"metadata": {"resourceVersion": str(self._version)}, "items": items}
            if method == "POST":
                path = f"{path}/{body['metadata']['name']}"
                if path in self.objects:
                    raise Refusal(409, "AlreadyExists", f"{path} already exists")
                return self.put(path, body, "ADDED")
            if path not in self.objects:
                raise Refusal(404, "NotFound", f"{path} not found")
            if method == "PATCH":
                return self.put(path, _merged(self.objects[path], body))
            if method == "DELETE":
                gone = self.remove(path)
                return {"kind": "Status", "status": "Success", "details": {"uid": gone["metadata"]["uid"]}}
            return self.objects[path]

    def watch(self, path: str, version: int) -> Iterator[Json]:
        """What changes below ``path`` after ``version``."""
        events: Events = SimpleQueue()
        with self._lock:
            for key, each in self.objects.items():
                if key.startswith(f"{path}/") and int(each["metadata"]["resourceVersion"]) > version:
                    events.put({"type": "ADDED", "object": each})
            self._watches.append((path, events))
        while (event := events.get()) is not None:
            yield event

    def _tell(self, path: str, kind: str, thing: Json) -> None:
        for watched, events in self._watches:
            if path.startswith(f"{watched}/"):
                events.put({"type": kind, "object": thing})


def handler_of(kept: KeptObjects) -> type[BaseHTTPRequestHandler]:
    """How a server of these objects answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            if "watch" not in query:
                self._answer("GET")
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in kept.watch(url.path, int(query["resourceVersion"][0])):
                line = json.dumps(event)
                self.wfile.write(f"{len(line) + 1:x}\r\n{line}\n\r\n".encode())
                self.wfile.flush()
            self.close_connection = True

        def do_POST(self) -> None:
            self._answer("POST")

        def do_PATCH(self) -> None:
            self._answer("PATCH")

        def do_DELETE(self) -> None:
            self._answer("DELETE")

        def log_message(self, *_: Any) -> None:
            """Nothing."""

        def _answer(self, method: str) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                status, body = 200, kept.answer(method, urlsplit(self.path).path, json.loads(data or b"{}"))
            except Refusal as refusal:
                status, body = refusal.status, refusal.body
            answer = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    return Handler


def _merged(thing: Json, change: Json) -> Json:
    merged = dict(thing)
    for name, value in change.items():
        merged[name] = _merged(merged.get(name, {}), value) if isinstance(value, dict) else value
    return merged
