"""What is watched of an API server: all objects of a kind, kept up to date by one open request."""

import threading
from contextlib import suppress
from typing import Any

import structlog

from training.cluster import REQUEST_TIMEOUT_S, Cluster, ClusterError, Gone, Json, Unreachable, error_kind

log = structlog.get_logger(__name__)

LONGEST_PAUSE_S = 10


class Stop:
    """Ends a thread that waits for the next event."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._answer: Any = None

    @property
    def is_wanted(self) -> bool:
        """Whether to end."""
        return self._wanted.is_set()

    def ends(self, answer: Any) -> None:
        """What the thread waits on now."""
        self._answer = answer
        if self.is_wanted:
            self._break()

    def set(self) -> None:
        """Want it, and break off the waiting."""
        self._wanted.set()
        self._break()

    def pause(self, seconds: float) -> None:
        """Wait, unless the end is wanted."""
        self._wanted.wait(seconds)

    def _break(self) -> None:
        if self._answer is not None:
            with suppress(Exception):
                self._answer.shutdown()


class Watched:
    """All objects of one kind with our labels, kept up to date by one open request, whatever their number."""

    def __init__(self, cluster: Cluster, path: str, *, labels: str) -> None:
        self._cluster = cluster
        self._path = path
        self._labels = labels
        self._objects: dict[str, Json] = {}
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._trouble: ClusterError | None = None
        self._stop = Stop()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)
        self._thread.start()

    def objects(self, *, patience_s: float = REQUEST_TIMEOUT_S) -> dict[str, Json]:
        """Name -> object, as of now. Raises ClusterError while the server cannot be asked."""
        if not self._answered.wait(patience_s):
            raise Unreachable("no list yet")
        if self._trouble is not None:
            raise self._trouble
        with self._lock:
            return dict(self._objects)

    def put(self, thing: Json) -> None:
        """Take in what a request of ours has just made: the next look must not miss it."""
        with self._lock:
            known = self._objects.get(thing["metadata"]["name"])
            if known is None or _version(known) < _version(thing):
                self._objects[thing["metadata"]["name"]] = thing

    def close(self) -> None:
        """End the watch."""
        self._stop.set()
        self._thread.join(REQUEST_TIMEOUT_S)

    def _run(self) -> None:
        pause_s = 0.2
        while not self._stop.is_wanted:
            try:
                version = self._list()
                pause_s = 0.2
                while not self._stop.is_wanted:
                    version = self._follow(version)
            except Gone:
                continue
            except ClusterError as error:
                if self._stop.is_wanted:
                    return
                self._trouble = error
                self._answered.set()
                log.warning("cluster.watch_broken", path=self._path, error=str(error))
                self._stop.pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _list(self) -> str:
        listed = self._cluster.get(self._path, labelSelector=self._labels)
        with self._lock:
            self._objects = {item["metadata"]["name"]: item for item in listed["items"]}
        self._trouble = None
        self._answered.set()
        return str(listed["metadata"]["resourceVersion"])

    def _follow(self, version: str) -> str:
        for event in self._cluster.watch(self._path, labels=self._labels, version=version, on_open=self._stop.ends):
            thing = event["object"]
            if event["type"] == "ERROR":
                raise error_kind(thing.get("code", 0))(str(thing.get("message", "")))
            version = str(thing["metadata"]["resourceVersion"])
            with self._lock:
                if event["type"] == "DELETED":
                    self._objects.pop(thing["metadata"]["name"], None)
                elif event["type"] != "BOOKMARK":
                    self._objects[thing["metadata"]["name"]] = thing
        return version


def _version(thing: Json) -> int:
    # Numbers that can be compared: what Kubernetes promises since 1.35, and what has held before.
    return int(thing["metadata"]["resourceVersion"])
