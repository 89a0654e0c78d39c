"""An API server of a few lines for what a real one seldom says."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from training.cluster import Cluster
from training.places import ClusterPlace


@contextmanager
def cluster_of(handler: type[BaseHTTPRequestHandler], folder: Path) -> Iterator[Cluster]:
    """A cluster whose API server answers as ``handler`` does; its kubeconfig is written to ``folder``."""
    with place_of(handler, folder) as place, closing(Cluster(place)) as cluster:
        yield cluster


@contextmanager
def place_of(handler: type[BaseHTTPRequestHandler], folder: Path, **more: Any) -> Iterator[ClusterPlace]:
    """A place on such a cluster; ``more``: what else is said of it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield _place(f"http://127.0.0.1:{server.server_port}", folder, **more)
        finally:
            server.shutdown()
            thread.join()


def _place(url: str, folder: Path, **more: Any) -> ClusterPlace:
    config = {
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
        "current-context": "it",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    return ClusterPlace(name="it", kubeconfig=folder / "kubeconfig", image="trainer:1", **more)
