"""A host in a cluster of one pod: the API server is one of a few lines, and so is the vLLM that it passes words to."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from serving.kubernetes import KubernetesVllm
from serving.manifest import CONTAINER, HOST_LABEL, SPEC_LABEL
from serving.services import AdapterRef, HostSpec
from tests.adapter_files import make_adapter, make_base_files
from tests.api_server import place_of
from training.places import ServingPlace

WAIT_S = 20
"""For others, at most."""


@dataclass
class Vllm:
    """The only pod, and the Deployment that it is of."""

    loaded: set[str] = field(default_factory=set)
    deployment: dict[str, Any] | None = None
    meeting: threading.Barrier | None = None
    """Where those meet who load at once."""
    late: threading.Event | None = None
    """The next answer to who asks which adapters there are is made at once, and comes when this is set."""

    def pods(self) -> list[dict[str, Any]]:
        if self.deployment is None:
            return []
        labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        return [
            {
                "metadata": {
                    "name": "pod-1",
                    "resourceVersion": "2",
                    "labels": {name: labels[name] for name in (HOST_LABEL, SPEC_LABEL)},
                },
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [{"name": CONTAINER, "containerID": "it"}],
                },
            }
        ]


class Handler(BaseHTTPRequestHandler):
    """Answers for the API server and, behind its proxy, for the pod."""

    vllm: Vllm

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if "watch=true" in query:
            self.send_response(200)
            self.end_headers()
            self.rfile.read(1)  # silent until the other side goes
        elif path.endswith("/v1/models"):
            names = ["tiny", *sorted(self.vllm.loaded)]
            late, self.vllm.late = self.vllm.late, None
            assert late is None or late.wait(WAIT_S)
            self._answer({"data": [{"id": name} for name in names]})
        elif path.endswith("/pods"):
            self._answer({"metadata": {"resourceVersion": "2"}, "items": self.vllm.pods()})
        elif path.endswith("/deployments"):
            items = [self.vllm.deployment] if self.vllm.deployment else []
            self._answer({"metadata": {"resourceVersion": "2"}, "items": items})
        else:
            self._answer({})

    def do_PATCH(self) -> None:
        body = self._body()
        body["metadata"]["resourceVersion"] = "1"
        if body["kind"] == "Deployment":
            body["metadata"]["uid"] = "1"
            self.vllm.deployment = body
        self._answer(body)

    def do_POST(self) -> None:
        body = self._body()
        if "lora_name" in body:
            if self.vllm.meeting is not None:
                self.vllm.meeting.wait(WAIT_S)
            change = self.vllm.loaded.discard if self.path.endswith("/unload_lora_adapter") else self.vllm.loaded.add
            change(body["lora_name"])
        self._answer(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@dataclass(kw_only=True)
class Stage:
    """A host that answers."""

    server: KubernetesVllm
    vllm: Vllm
    spec: HostSpec
    folder: Path
    """Of this disk."""

    def adapter(self, name: str) -> AdapterRef:
        folder = self.folder / "models" / name
        make_adapter(folder, Path(self.spec.base_model), rank=4)
        return AdapterRef(model_id=name, folder=str(folder), artifact=f"models/{name}")

    def known(self) -> frozenset[str]:
        return self.server.observe()[self.spec.id].adapters


@contextmanager
def one_pod(folder: Path, root: str | Path) -> Iterator[Stage]:
    """A host that is ready, with ``root`` for its artifacts, and ``folder`` for what lies on this disk."""
    vllm = Vllm()
    base = make_base_files(folder / "bases" / "tiny")
    spec = HostSpec(id="h1", base_model=str(base), base_name="tiny", context_tokens=512, artifact="bases/tiny")
    with place_of(type("OfOne", (Handler,), {"vllm": vllm}), folder, serving=ServingPlace(image="vllm:1")) as place:
        # Made before anybody watches: what happens later is told by a watch, and this one is silent.
        with closing(KubernetesVllm(place, root, secret=b"it")) as before:
            before.start(spec)
        with closing(KubernetesVllm(place, root, secret=b"it")) as server:
            server.start(spec)
            yield Stage(server=server, vllm=vllm, spec=spec, folder=folder)
