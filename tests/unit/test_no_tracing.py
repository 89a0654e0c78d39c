"""Conversations stay here, whatever the environment of the process says."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ASK = """
import asyncio
from langchain_core.messages import HumanMessage
from serving.chat import ChatRequest, answer
from tests.fake_vllm import FakeVllm

with FakeVllm() as fake:
    print(asyncio.run(answer(ChatRequest(address=fake.address, model="base", messages=(HumanMessage("Hello"),)))))
    from langchain_core.tracers.langchain import wait_for_all_tracers
    wait_for_all_tracers()
"""


def test_no_trace_and_no_proxy_hears_of_a_conversation() -> None:
    heard: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def handle(self) -> None:
            heard.append(str(self.rfile.readline()))

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        elsewhere = f"http://127.0.0.1:{server.server_port}"
        hostile = {
            "LANGSMITH_TRACING": "true",
            "LANGCHAIN_TRACING_V2": "true",
            "LANGSMITH_API_KEY": "key",
            "LANGSMITH_ENDPOINT": elsewhere,
            "HTTP_PROXY": elsewhere,
            "HTTPS_PROXY": elsewhere,
            "ALL_PROXY": elsewhere,
            "OPENAI_PROXY": elsewhere,
            "OPENAI_BASE_URL": elsewhere,
            "OPENAI_API_BASE": elsewhere,
        }
        said = subprocess.run(
            [sys.executable, "-c", ASK],
            env={**os.environ, **hostile},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        server.shutdown()
    assert said.stdout.split("\n")[0] == "base heard: Hello"
    assert heard == []
