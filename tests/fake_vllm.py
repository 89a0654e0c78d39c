"""A small server that speaks what we use of vLLM's API, over real HTTP; and a ModelServer that runs such servers."""

import asyncio
import importlib
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from tokenizers import Tokenizer

from serving.services import AdapterRef, AdapterRefused, Address, HostSpec, HostStatus, Replica, ServerUnavailable
from serving.vllm_client import VllmClient
from serving.vllm_command import KEEP_ALIVE_S, Build, require_slot, vllm_rank
from storage.states import HostState
from tests.served import Served
from training.adapters import AdapterProblem, check_adapter
from training.conversation import ChatMessage, ChatRole
from training.templates import ChatTemplate, TemplateRefused

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Body = dict[str, Any]
Answer = Callable[[str, list[dict[str, str]]], str]
"""(model, messages) -> what it says; one word is one token."""


AT_LENGTH = "Say it again and again."
"""What is answered until ``max_tokens`` ends it: an answer that goes on while something is looked at."""


def echo(model: str, messages: list[dict[str, str]]) -> str:
    heard = f"{model} heard: {messages[-1]['content']}"
    return " ".join([heard] * 500) if heard.endswith(AT_LENGTH) else heard


@dataclass
class FakeVllm:
    """Counts one token a word. Use as a context manager; change the fields while it runs."""

    base_name: str = "base"
    base_model: Path | None = None
    """A checkpoint's folder: where it has a tokenizer and a template, ``/tokenize`` (and nothing else) goes by them."""
    chat_template: str | None = None
    """In place of the checkpoint's own: ``--chat-template``."""
    context_tokens: int = 2048
    api_key: str | None = "secret-key"
    """None: whoever comes may ask."""
    host: str = "127.0.0.1"
    middleware: str | None = None
    """As vLLM's ``--middleware``: ``module.Class``."""
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
    most_running: int = 0
    """At once, so far."""
    is_held: bool = False
    """Requests are taken, and get no further token until this is over."""
    let_go: int = 0
    """So many tokens are said all the same, of whatever request."""
    headers: dict[str, str] = field(default_factory=dict)
    """Of the last request."""
    template: str = ""
    """What its pod would be made from."""
    port: int = 0
    """0: any free one."""

    def __post_init__(self) -> None:
        self._socket = socket.create_server((self.host, self.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as vLLM's loop does
        settings = uvicorn.Config(
            _guarded(self),
            log_level="critical",
            lifespan="off",
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        self._served = Served(settings, self._socket)

    @property
    def address(self) -> Address:
        port = self._socket.getsockname()[1]
        return Address(base_url=f"http://127.0.0.1:{port}", api_key=self.api_key or "none")

    def open(self) -> "FakeVllm":
        self._served.start()
        return self

    def close(self) -> None:
        self._served.stop()
        self._socket.close()

    def __enter__(self) -> "FakeVllm":
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


def _guarded(fake: FakeVllm) -> ASGIApp:
    app = _app(fake)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        is_guarded = request.url.path.startswith("/v1/")
        if fake.sick:
            await _error(500, "EngineDeadError: the engine has died", "InternalServerError")(scope, receive, send)
        elif is_guarded and fake.api_key and request.headers.get("authorization") != f"Bearer {fake.api_key}":
            await JSONResponse({"error": "Unauthorized"}, 401)(scope, receive, send)
        else:
            fake.headers = dict(request.headers)
            await app(scope, receive, send)

    return guard


def _app(fake: FakeVllm) -> FastAPI:
    app = FastAPI(openapi_url=None)

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
    async def tokenize(body: Body) -> Response:
        return _tokenize(fake, body)

    @app.post("/v1/chat/completions")
    async def chat(body: Body, request: Request) -> Response:
        return await _chat(fake, body, request)

    @app.post("/v1/completions")
    async def complete(body: Body) -> Response:
        return await _complete(fake, body)

    if fake.middleware:
        module, _, name = fake.middleware.rpartition(".")
        app.add_middleware(getattr(importlib.import_module(module), name))
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


def _tokenize(fake: FakeVllm, body: Body) -> Response:
    if body["model"] != fake.base_name and body["model"] not in fake.loaded:
        return _error(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
    if fake.base_model is not None and (fake.base_model / "tokenizer.json").is_file():
        try:
            tokens = _tokens_of(fake.base_model, fake.chat_template, body)
        except TemplateRefused as error:
            return _error(400, str(error), "BadRequestError")
    else:
        tokens = list(range(_tokens(body["messages"])))
    return JSONResponse({"count": len(tokens), "max_model_len": fake.context_tokens, "tokens": tokens})


def _tokens_of(folder: Path, template: str | None, body: Body) -> list[int]:
    """What a checkpoint's own files make of messages, exactly as they come: nothing is prepared for the template."""
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    file = folder / "chat_template.jinja"
    own = file.read_text(encoding="utf-8") if file.is_file() else config["chat_template"]
    special = {name: str(value) for name, value in config.items() if name.endswith("_token") and value}
    chat = [ChatMessage(role=cast(ChatRole, one["role"]), content=one["content"]) for one in body["messages"]]
    rendering = ChatTemplate(template or own, special)
    text = rendering.render(chat, add_generation_prompt=body["add_generation_prompt"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


async def _chat(fake: FakeVllm, body: Body, request: Request) -> Response:
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
        return _Streamed(_events(said, model, reason), media_type="text/event-stream")
    message = {"role": "assistant", "content": await _heard_out(said, request)}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    usage = {"prompt_tokens": prompt, "completion_tokens": len(words_said), "total_tokens": prompt + len(words_said)}
    return JSONResponse(
        {"id": "chatcmpl-1", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}
    )


async def _complete(fake: FakeVllm, body: Body) -> Response:
    """Goes on with a text; never streamed here."""
    fake.requests.append(body)
    words = fake.answer(body["model"], [{"role": "user", "content": body["prompt"]}]).split(" ")
    said = "".join([piece async for piece in _spoken(fake, words)])
    choice = {"index": 0, "text": said, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": len(words) + 1}
    return JSONResponse(
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }
    )


async def _heard_out(said: AsyncGenerator[str, None], request: Request) -> str:
    """All of it, or what there is when the client leaves: vLLM ends such a request too."""
    pieces = []
    async with aclosing(said):
        async for piece in said:
            pieces.append(piece)
            if await request.is_disconnected():
                break
    return "".join(pieces)


class _Streamed(StreamingResponse):
    """Ends its generators when it ends: where a client leaves, Starlette would leave that to the garbage collector."""

    body_iterator: AsyncGenerator[str, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)


async def _spoken(fake: FakeVllm, words: list[str]) -> AsyncGenerator[str, None]:
    fake.running += 1
    fake.most_running = max(fake.most_running, fake.running)
    try:
        await _held(fake)
        await asyncio.sleep(fake.first_token_s)
        for place, word in enumerate(words):
            if place == fake.breaks_after:
                raise ConnectionAbortedError
            if place:
                await _held(fake)
            yield word if place == 0 else f" {word}"
            await asyncio.sleep(fake.between_tokens_s)
    finally:
        fake.running -= 1


async def _held(fake: FakeVllm) -> None:
    """Wait until a token may be said."""
    while fake.is_held:
        if fake.let_go > 0:
            fake.let_go -= 1
            return
        await asyncio.sleep(0.005)


async def _events(said: AsyncGenerator[str, None], model: str, reason: str) -> AsyncGenerator[str, None]:
    yield _event(model, {"role": "assistant", "content": ""}, None)
    async with aclosing(said):
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


def _one_at_a_time(
    method: Callable[Concatenate["FakeModelServer", Arguments], Result],
) -> Callable[Concatenate["FakeModelServer", Arguments], Result]:
    @wraps(method)
    def locked(self: "FakeModelServer", /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        with self._lock:
            return method(self, *arguments, **named)

    return locked


class FakeModelServer:
    """A ModelServer whose hosts are FakeVllm servers of this process; ready ``start_s`` seconds after their start.

    With ``checks_adapters`` it looks at the files as the real one does; without, any folder with an
    ``adapter_config.json`` loads. Tests and the loops' threads may use it at once: each sees what the other did whole.
    """

    def __init__(
        self,
        *,
        answer: Answer = echo,
        start_s: float = 0,
        between_tokens_s: float = 0,
        checks_adapters: bool = False,
        build: Build = Build.CUDA,
    ) -> None:
        self.answer = answer
        self.start_s = start_s
        self.between_tokens_s = between_tokens_s
        self.chat_template: str | None = None
        """Of the hosts that are started from now on; None: their checkpoints' own."""
        self.template = ""
        """What replicas are made from, from now on: those that are there become old ones."""
        self.words = ""
        """What hosts that start wait for, in the scheduler's words."""
        self.refused: dict[str, str] = {}
        self.build = build
        """On a CPU a replica holds no more adapters than its host was started for."""
        self.replicas: dict[str, dict[str, FakeVllm]] = {}
        """Host -> its replicas by name."""
        self.specs: dict[str, HostSpec] = {}
        self.starts = 0
        self.looks = 0
        """How often somebody observed."""
        self._checks_adapters = checks_adapters
        self._ready_at: dict[str, float] = {}
        self._killed: set[str] = set()
        self._is_closed = False
        self._lock = threading.RLock()
        # A replica that is busy for a while, as all of this process may be, is there.
        self._client = VllmClient(answer_s=60)

    @property
    @_one_at_a_time
    def hosts(self) -> dict[str, FakeVllm]:
        """Host -> its first replica."""
        return {host: next(iter(replicas.values())) for host, replicas in self.replicas.items() if replicas}

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            for host in list(self.replicas):
                self.stop(host)
        self._client.close()

    def __enter__(self) -> "FakeModelServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @_one_at_a_time
    def kill(self, host: str) -> None:
        """As a kill -9 of the process."""
        for fake in self.replicas[host].values():
            fake.close()
        self._killed.add(host)

    @_one_at_a_time
    def lose(self, host: str, replica: str) -> FakeVllm:
        """A replica's node is gone."""
        fake = self.replicas[host].pop(replica)
        fake.close()
        return fake

    @_one_at_a_time
    def add(self, host: str, replica: str) -> FakeVllm:
        """A new replica comes up, without any adapter."""
        spec = self.specs[host]
        fake = FakeVllm(
            base_name=spec.base_name,
            base_model=Path(spec.base_model),
            chat_template=self.chat_template,
            context_tokens=spec.context_tokens,
            answer=self.answer,
            refused=self.refused,
            between_tokens_s=self.between_tokens_s,
            template=self.template,
        )
        self.replicas.setdefault(host, {})[replica] = fake.open()
        return fake

    @_one_at_a_time
    def start(self, host: HostSpec) -> None:
        if self._is_closed or (self.specs.get(host.id) == host and host.id not in self._killed):
            return  # a thread of the loops may come when all is over
        self.stop(host.id)
        self.specs[host.id] = host
        names = [""] if host.instances == 1 else [f"replica-{number}" for number in range(host.instances)]
        for name in names:
            self.add(host.id, name)
        self._ready_at[host.id] = time.monotonic() + self.start_s
        self.starts += 1

    @_one_at_a_time
    def observe(self) -> Mapping[str, HostStatus]:
        self.looks += 1
        return {host: self._status(host) for host in list(self.replicas)}

    @_one_at_a_time
    def load(self, host: str, adapter: AdapterRef) -> None:
        replicas = [replica for replica in self._ready(host) if replica.is_current]
        if not replicas:
            raise ServerUnavailable("serving.unavailable")
        spec = self.specs[host]
        if self._checks_adapters:
            try:
                rank = vllm_rank(spec.max_lora_rank)
                check_adapter(Path(adapter.folder), base=Path(spec.base_model), max_lora_rank=rank)
            except AdapterProblem as exc:
                raise AdapterRefused(f"adapter.{exc.code}", **exc.params) from exc
        for replica in replicas:
            require_slot(self.build, spec.max_loras, replica.adapters, adapter.model_id)
            self._client.load(replica.address, adapter)

    @_one_at_a_time
    def unload(self, host: str, model_id: str) -> None:
        for replica in self._ready(host):
            self._client.unload(replica.address, model_id)

    def rest(self, host: str) -> None:
        self.stop(host)

    @_one_at_a_time
    def stop(self, host: str) -> None:
        replicas = self.replicas.pop(host, {})
        self.specs.pop(host, None)
        if host not in self._killed:
            for fake in replicas.values():
                fake.close()
        self._killed.discard(host)

    def _ready(self, host: str) -> tuple[Replica, ...]:
        replicas = self._status(host).replicas if host in self.replicas else ()
        if not replicas:
            raise ServerUnavailable("serving.unavailable")
        return replicas

    def _status(self, host: str) -> HostStatus:
        if host in self._killed:
            return HostStatus(state=HostState.FAILED, reason="killed")
        if time.monotonic() < self._ready_at[host]:
            return HostStatus(state=HostState.STARTING, words=self.words)
        found = [self._replica(host, name, fake) for name, fake in sorted(self.replicas[host].items())]
        replicas = tuple(replica for replica in found if replica is not None)
        if not replicas:
            return HostStatus(state=HostState.FAILED, reason="silent")
        return HostStatus(state=HostState.READY, replicas=replicas)

    def _replica(self, host: str, name: str, fake: FakeVllm) -> Replica | None:
        try:
            adapters = self._client.models(fake.address) - {self.specs[host].base_name}
        except ServerUnavailable:
            return None
        is_current = fake.template == self.template
        return Replica(
            name=name, address=fake.address, adapters=adapters, template=fake.template, is_current=is_current
        )
