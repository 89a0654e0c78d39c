"""What is watched of an API server: all objects of a kind, kept up to date by one open request."""

import threading
from contextlib import closing, suppress
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
        self._put: set[str] = set()
        """Names of what was put in since a list was last asked for."""
        self._gone: set[str] = set()
        """Uids of what we deleted, as long as the server may still say something of it."""
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
        name = thing["metadata"]["name"]
        with self._lock:
            self._put.add(name)
            if not _is_late(thing, self._objects.get(name)):
                self._objects[name] = thing

    def delete(self, name: str) -> None:
        """Delete one, and what it owns: the next look must not find it. Raises ClusterError."""
        uid = self._cluster.delete(f"{self._path}/{name}")
        with self._lock:
            if uid is not None:
                self._gone.add(uid)
            if name in self._objects and _uid(self._objects[name]) == uid:
                del self._objects[name]

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
            except Exception as error:
                if self._stop.is_wanted:
                    return
                self._trouble = _as_cluster_error(error)
                self._answered.set()
                trace = None if isinstance(error, ClusterError) else error
                log.warning("cluster.watch_broken", path=self._path, error=str(self._trouble), exc_info=trace)
                self._stop.pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _list(self) -> str:
        with self._lock:
            self._put.clear()
            gone = frozenset(self._gone)
        listed = self._cluster.get(self._path, labelSelector=self._labels)
        with self._lock:
            # What was deleted before the server was asked is not in its list, nor in what it says later.
            self._gone -= gone
            found = {item["metadata"]["name"]: item for item in listed["items"] if _uid(item) not in self._gone}
            # What was made since may be missing in it.
            for name in self._put & self._objects.keys():
                if not _is_late(self._objects[name], found.get(name)):
                    found[name] = self._objects[name]
            self._objects = found
        self._trouble = None
        self._answered.set()
        return str(listed["metadata"]["resourceVersion"])

    def _follow(self, version: str) -> str:
        watch = self._cluster.watch(self._path, labels=self._labels, version=version, on_open=self._stop.ends)
        with closing(watch) as events:
            for event in events:
                thing = event["object"]
                if event["type"] == "ERROR":
                    raise error_kind(thing.get("code", 0))(str(thing.get("message", "")))
                version = str(thing["metadata"]["resourceVersion"])
                if event["type"] != "BOOKMARK":
                    self._take_in(thing, is_deleted=event["type"] == "DELETED")
        return version

    def _take_in(self, thing: Json, *, is_deleted: bool) -> None:
        """What the server says of an object: a request of ours may have been told more, and sooner."""
        name, uid = thing["metadata"]["name"], _uid(thing)
        with self._lock:
            is_old = uid in self._gone or _is_late(thing, self._objects.get(name))
            if is_deleted:
                self._gone.discard(uid)
            if is_old:
                return
            if is_deleted:
                self._objects.pop(name, None)
            else:
                self._objects[name] = thing


def _as_cluster_error(error: Exception) -> ClusterError:
    if isinstance(error, ClusterError):
        return error
    # JSON of something before the API server, which has nothing of what a list or an event has.
    return Unreachable(f"the answer makes no sense: {type(error).__name__}: {error}"[:200])


def _uid(thing: Json) -> str:
    return str(thing["metadata"].get("uid", ""))


def _is_late(thing: Json, known: Json | None) -> bool:
    """Whether more is known already: of the same object, or of another one that has its name by now."""
    return known is not None and _version(thing) < _version(known)


def _version(thing: Json) -> int:
    # Numbers that can be compared: what Kubernetes promises since 1.35, and what has held before.
    return int(thing["metadata"]["resourceVersion"])
