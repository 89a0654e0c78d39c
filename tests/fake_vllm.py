"""A small server that speaks what we use of vLLM's API, over real HTTP; and a ModelServer that runs such servers."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from serving.services import AdapterRef, AdapterRefused, Address, HostSpec, HostStatus, ServerUnavailable
from serving.vllm_client import VllmClient
from serving.vllm_command import vllm_rank
from storage.states import HostState
from training.adapters import AdapterProblem, check_adapter

Body = dict[str, Any]
Answer = Callable[[str, list[dict[str, str]]], str]
"""(model, messages) -> what it says; one word is one token."""


def echo(model: str, messages: list[dict[str, str]]) -> str:
    return f"{model} heard: {messages[-1]['content']}"


@dataclass
class FakeVllm:
    """Counts one token a word. Use as a context manager; change the fields while it runs."""

    base_name: str = "base"
    context_tokens: int = 2048
    api_key: str = "secret-key"
    answer: Answer = echo
    first_token_s: float = 0
    between_tokens_s: float = 0
    breaks_after: int | None = None
    """Drop the connection after so many tokens."""
    sick: bool = False
    """The engine has died: everything answers 500."""
    refuses_chat: str | None = None
    """The reason for which every chat request is refused."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Model id -> the reason for which it is not loaded."""
    loaded: dict[str, str] = field(default_factory=dict)
    """Adapter -> its folder."""
    requests: list[Body] = field(default_factory=list)
    """The chat requests' bodies, in order."""
    running: int = 0
    port: int = 0
    """0: any free one."""

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port))
        settings = uvicorn.Config(
            _app(self), log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def address(self) -> Address:
        port = self._socket.getsockname()[1]
        return Address(base_url=f"http://127.0.0.1:{port}", api_key=self.api_key)

    def open(self) -> "FakeVllm":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def close(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()

    def __enter__(self) -> "FakeVllm":
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


def _app(fake: FakeVllm) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Any]) -> Response:
        if fake.sick:
            return _error(500, "EngineDeadError: the engine has died", "InternalServerError")
        if request.url.path.startswith("/v1/") and request.headers.get("authorization") != f"Bearer {fake.api_key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        response: Response = await call_next(request)
        return response

    @app.get("/health")
    async def health() -> Response:
        return Response()

    @app.get("/metrics")
    async def metrics() -> Response:
        name = f'vllm:num_requests_running{{engine="0",model_name="{fake.base_name}"}}'
        return PlainTextResponse(f"{name} {float(fake.running)}\n")

    @app.get("/v1/models")
    async def models() -> Body:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in (fake.base_name, *fake.loaded)]}

    @app.post("/v1/load_lora_adapter")
    async def load(body: Body) -> Response:
        return _load(fake, body["lora_name"], body["lora_path"])

    @app.post("/v1/unload_lora_adapter")
    async def unload(body: Body) -> Response:
        if fake.loaded.pop(body["lora_name"], None) is None:
            return _error(404, f"The lora adapter '{body['lora_name']}' cannot be found.", "NotFoundError")
        return PlainTextResponse("Success")

    @app.post("/tokenize")
    async def tokenize(body: Body) -> Body:
        count = _tokens(body["messages"])
        return {"count": count, "max_model_len": fake.context_tokens, "tokens": list(range(count))}

    @app.post("/v1/chat/completions")
    async def chat(body: Body) -> Response:
        return await _chat(fake, body)

    return app


def _load(fake: FakeVllm, name: str, folder: str) -> Response:
    if name in fake.loaded:
        return _error(400, f"The lora adapter '{name}' has already been loaded.", "InvalidUserInput")
    if not (Path(folder) / "adapter_config.json").is_file():
        return _error(404, f"Loading lora {name} failed: No adapter found for <path>", "NotFoundError")
    if name in fake.refused:
        return _error(500, fake.refused[name], "InternalServerError")
    fake.loaded[name] = folder
    return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")


async def _chat(fake: FakeVllm, body: Body) -> Response:
    fake.requests.append(body)
    model, limit = body["model"], fake.context_tokens
    if model != fake.base_name and model not in fake.loaded:
        return _error(404, f"The model `{model}` does not exist. Valid aliases: {fake.base_name}.", "NotFoundError")
    if fake.refuses_chat:
        return _error(400, fake.refuses_chat, "BadRequestError")
    prompt = _tokens(body["messages"])
    if prompt >= limit:
        words = (
            f"This model's maximum context length is {limit} tokens. However, your prompt contains at least {prompt}"
        )
        return _error(400, f"{words} input tokens. (parameter=input_tokens, value={prompt})", "BadRequestError")
    allowed = min(body.get("max_completion_tokens") or body.get("max_tokens") or limit, limit - prompt)
    words_said = fake.answer(model, body["messages"]).split(" ")
    reason = "length" if len(words_said) > allowed else "stop"
    said = _spoken(fake, words_said[:allowed])
    if body.get("stream"):
        return StreamingResponse(_events(said, model, reason), media_type="text/event-stream")
    message = {"role": "assistant", "content": "".join([piece async for piece in said])}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return JSONResponse({"id": "chatcmpl-1", "object": "chat.completion", "model": model, "choices": [choice]})


async def _spoken(fake: FakeVllm, words: list[str]) -> AsyncIterator[str]:
    fake.running += 1
    try:
        await asyncio.sleep(fake.first_token_s)
        for place, word in enumerate(words):
            if place == fake.breaks_after:
                raise ConnectionAbortedError
            yield word if place == 0 else f" {word}"
            await asyncio.sleep(fake.between_tokens_s)
    finally:
        fake.running -= 1


async def _events(said: AsyncIterator[str], model: str, reason: str) -> AsyncIterator[str]:
    yield _event(model, {"role": "assistant", "content": ""}, None)
    async for piece in said:
        yield _event(model, {"content": piece}, None)
    yield _event(model, {}, reason)
    yield "data: [DONE]\n\n"


def _event(model: str, delta: Mapping[str, str], reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"


def _tokens(messages: list[dict[str, str]]) -> int:
    return sum(len(message["content"].split()) + 1 for message in messages)


def _error(status: int, message: str, kind: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": status}}, status)


class FakeModelServer:
    """A ModelServer whose hosts are FakeVllm servers of this process; ready ``start_s`` seconds after their start.

    With ``checks_adapters`` it looks at the files as the real one does; without, any folder with an
    ``adapter_config.json`` loads.
    """

    def __init__(
        self, *, answer: Answer = echo, start_s: float = 0, between_tokens_s: float = 0, checks_adapters: bool = False
    ) -> None:
        self.answer = answer
        self.start_s = start_s
        self.between_tokens_s = between_tokens_s
        self.refused: dict[str, str] = {}
        self.hosts: dict[str, FakeVllm] = {}
        self.specs: dict[str, HostSpec] = {}
        self.starts = 0
        self._checks_adapters = checks_adapters
        self._ready_at: dict[str, float] = {}
        self._killed: set[str] = set()
        self._client = VllmClient()

    def close(self) -> None:
        for host in list(self.hosts):
            self.stop(host)
        self._client.close()

    def __enter__(self) -> "FakeModelServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def kill(self, host: str) -> None:
        """As a kill -9 of the process."""
        self.hosts[host].close()
        self._killed.add(host)

    def start(self, host: HostSpec) -> None:
        if self.specs.get(host.id) == host and host.id not in self._killed:
            return
        self.stop(host.id)
        fake = FakeVllm(
            base_name=host.base_name,
            context_tokens=host.context_tokens,
            answer=self.answer,
            refused=self.refused,
            between_tokens_s=self.between_tokens_s,
        )
        self.hosts[host.id], self.specs[host.id] = fake.open(), host
        self._ready_at[host.id] = time.monotonic() + self.start_s
        self.starts += 1

    def observe(self) -> Mapping[str, HostStatus]:
        return {host: self._status(host) for host in list(self.hosts)}

    def load(self, host: str, adapter: AdapterRef) -> None:
        address = self._ready(host)
        if self._checks_adapters:
            spec = self.specs[host]
            try:
                rank = vllm_rank(spec.max_lora_rank)
                check_adapter(Path(adapter.folder), base=Path(spec.base_model), max_lora_rank=rank)
            except AdapterProblem as exc:
                raise AdapterRefused(f"adapter.{exc.code}", **exc.params) from exc
        self._client.load(address, adapter)

    def unload(self, host: str, model_id: str) -> None:
        self._client.unload(self._ready(host), model_id)

    def stop(self, host: str) -> None:
        fake = self.hosts.pop(host, None)
        self.specs.pop(host, None)
        if fake and host not in self._killed:
            fake.close()
        self._killed.discard(host)

    def _ready(self, host: str) -> Address:
        address = self._status(host).address if host in self.hosts else None
        if address is None:
            raise ServerUnavailable("serving.unavailable")
        return address

    def _status(self, host: str) -> HostStatus:
        if host in self._killed:
            return HostStatus(state=HostState.FAILED, reason="killed")
        if time.monotonic() < self._ready_at[host]:
            return HostStatus(state=HostState.STARTING)
        address = self.hosts[host].address
        try:
            adapters = self._client.models(address) - {self.specs[host].base_name}
        except ServerUnavailable:
            return HostStatus(state=HostState.FAILED, reason="silent")
        return HostStatus(state=HostState.READY, address=address, adapters=adapters)
