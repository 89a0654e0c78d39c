"""The server as a process: it says where it is, and ends cleanly while pages are open."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bot.settings import Settings
from chainlit_app.server import listen
from serving.vllm_local import free_port
from tests.web_page import open_page

START = "from bot.cli import main; main()"
ROOT = Path(__file__).parents[3]


async def begun(home: Path, **settings: object) -> Process:
    """A server as a process, which may not get ready."""
    command = (sys.executable, "-c", START, "up", "--port", "0", "--home", str(home))
    environment = os.environ | {f"TUNESMITH_{name.upper()}": str(value) for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=ROOT, env=environment)


@asynccontextmanager
async def started(home: Path, **settings: object) -> AsyncIterator[tuple[Process, str]]:
    """A server on a home, and its address."""
    process = await begun(home, **settings)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            line = (await process.stdout.readline()).decode()
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def client_of(address: str, **given: Any) -> httpx.AsyncClient:
    """A client with the patience that a server wants which has just begun on a busy machine."""
    return httpx.AsyncClient(base_url=address, timeout=60, **given)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_while_a_page_is_open(tmp_path: Path, number: signal.Signals) -> None:
    async with started(tmp_path) as (process, address), open_page(address) as page:
        await page.say("hello")
        await page.until(lambda: len(page.messages) == 2)
        process.send_signal(number)
        output, _ = await asyncio.wait_for(process.communicate(), timeout=60)
        assert process.returncode == 0
        assert output == b""


@pytest.mark.parametrize("sign", ["server.pid", "tunesmith.db"])
async def test_told_to_end_before_it_serves_it_ends_and_starts_again(tmp_path: Path, sign: str) -> None:
    process = await begun(tmp_path)
    async with asyncio.timeout(120):
        while not (tmp_path / sign).exists():  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        output, errors = await process.communicate()
    # Not by the signal itself, which a process 1 without a handler does not get.
    assert (process.returncode, output) == (128 + signal.SIGTERM, b"")
    assert b"Traceback" not in errors
    async with started(tmp_path) as (_, address), client_of(address) as client:
        assert (await client.get("/health")).json()["status"] == "ok"


async def test_what_was_said_is_there_after_a_kill(tmp_path: Path) -> None:
    async with started(tmp_path) as (process, address), open_page(address) as page:
        await page.say("hello")
        await page.until(lambda: len(page.named("first_interaction")) == 2)
        thread_id, texts = page.thread_id, page.texts()
        process.kill()
        await process.communicate()
    async with started(tmp_path) as (_, address), open_page(address, thread_id=thread_id) as page:
        await page.until(lambda: page.messages)
        assert page.texts() == texts


async def test_health_says_so(tmp_path: Path) -> None:
    async with started(tmp_path) as (_, address), client_of(address) as client:
        assert (await client.get("/health")).json()["status"] == "ok"


async def test_metrics_have_a_port_of_their_own_for_others_and_nothing_else_is_there(tmp_path: Path) -> None:
    port = free_port()
    async with started(tmp_path, metrics_port=port) as (process, address):
        elsewhere = {"Host": f"tunesmith-metrics.tunesmith.svc:{port}"}
        async with client_of(f"http://127.0.0.1:{port}", headers=elsewhere) as collector:
            answer = await collector.get("/metrics")
            assert answer.status_code == 200
            assert 'tunesmith_runs{state="running"} 0.0' in answer.text.splitlines()
            for path in ("/", "/health", "/metrics/", "/metrics/x", "/v1/models", "/slack/install", "/project/threads"):
                assert (await collector.get(path)).status_code == 404, path
            assert (await collector.post("/metrics")).status_code == 405
        async with client_of(address) as client:
            assert (await client.get("/metrics", headers=elsewhere)).status_code == 403
        listening = {
            one.laddr.port: one.laddr.ip
            for one in psutil.Process(process.pid).net_connections("inet")
            if one.status == psutil.CONN_LISTEN
        }
        assert listening.pop(port) in {"::", "0.0.0.0"}
        assert set(listening.values()) == {"127.0.0.1"}, "all else is this machine's own"
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), timeout=60)
        assert process.returncode == 0


async def test_a_metrics_port_that_is_taken_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = await begun(tmp_path, metrics_port=port)
        output, errors = await asyncio.wait_for(process.communicate(), timeout=120)
    assert (process.returncode, output) == (1, b"")
    (sentence,) = errors.decode().splitlines()
    assert sentence.startswith(f"TUNESMITH_METRICS_PORT: port {port} cannot be used")


async def test_a_small_piece_goes_out_at_once(tmp_path: Path) -> None:
    """Without waiting for the acknowledgement of the one before (Nagle's algorithm)."""
    accepted: list[int] = []

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport_socket = writer.get_extra_info("socket")
        accepted.append(transport_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen(Settings(home=tmp_path, port=0)) as listener:
        async with await asyncio.start_server(note, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
    assert accepted == [1]
