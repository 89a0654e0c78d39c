"""The guard before vLLM in a pod: who is let in, and that its text stands alone."""

import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.guard import CLASS, HEADER, KEY_VARIABLE, MODULE, source
from serving.guard_middleware import App, Guard, Receive, Send

KEY = "k-0123456789"


async def answer(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Guard:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    return Guard(answer)


async def ask(app: App, method: str, path: str, headers: list[tuple[str, str]] | None = None) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://pod:8000") as client:
        return await client.request(method, path, headers=headers)


PATHS = [
    "/metrics",
    "/v1/models",
    "/v1/chat/completions",
    "/v1/load_lora_adapter",
    "/tokenize",
    "/version",
    "/docs",
    "/",
]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
async def test_the_key_opens_everything_and_nothing_else_does(guard: Guard, method: str, path: str) -> None:
    assert (await ask(guard, method, path, [(HEADER, KEY)])).status_code == 200
    for headers in ([], [(HEADER, "other")], [(HEADER, "")], [("Authorization", f"Bearer {KEY}")]):
        assert (await ask(guard, method, path, headers)).status_code == 401


async def test_a_refusal_is_an_error_as_openai_writes_it(guard: Guard) -> None:
    refused = await ask(guard, "POST", "/v1/chat/completions")
    assert refused.headers["content-type"] == "application/json"
    assert refused.json()["error"].keys() == {"message", "type", "param", "code"}
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert KEY not in refused.text


async def test_the_probe_needs_no_key(guard: Guard) -> None:
    assert (await ask(guard, "GET", "/health")).text == "in"
    for method, path in [
        ("POST", "/health"),
        ("GET", "/health/"),
        ("GET", "/health/../v1/models"),
        ("GET", "//health"),
    ]:
        assert (await ask(guard, method, path)).status_code == 401


async def test_a_header_given_twice_is_none(guard: Guard) -> None:
    assert (await ask(guard, "GET", "/v1/models", [(HEADER, KEY), (HEADER, "other")])).status_code == 401


async def test_what_is_not_ascii_is_refused_and_no_error(guard: Guard) -> None:
    sent = await scoped(
        guard, {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-tunesmith-key", b"\xff")]}
    )
    assert sent[0]["status"] == 401


async def scoped(guard: Guard, scope: dict[str, Any]) -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await guard(scope, receive, send)
    return sent


async def test_a_websocket_needs_the_key_too(guard: Guard) -> None:
    scope: dict[str, Any] = {"type": "websocket", "path": "/health", "headers": []}
    assert await scoped(guard, scope) == [{"type": "websocket.close", "code": 1008}]
    scope["headers"] = [(b"x-tunesmith-key", KEY.encode())]
    assert (await scoped(guard, scope))[-1]["body"] == b"in"


async def test_the_server_itself_starts_and_ends(guard: Guard) -> None:
    assert (await scoped(guard, {"type": "lifespan"}))[-1]["body"] == b"in"


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_nothing_starts(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    if key is not None:
        monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(RuntimeError, match=KEY_VARIABLE):
        Guard(answer)


def test_its_text_stands_alone(tmp_path: Path) -> None:
    (tmp_path / f"{MODULE}.py").write_text(source())
    module, _, name = CLASS.rpartition(".")
    # -S: without the packages of this environment.
    code = f"import sys; sys.path.insert(0, sys.argv[1]); from {module} import {name}; print(callable({name}))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, tmp_path], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
