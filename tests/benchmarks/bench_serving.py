"""How fast a host answers: run as ``python -m tests.benchmarks.bench_serving`` for the bundled model on this machine.

``measure_direct`` speaks to vLLM with a bare HTTP client, ``measure_chat`` as our server does: the difference is what
``serving.chat`` adds. Runs alternate, so that a busy moment of the machine falls on both; medians are given.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog
from langchain_core.messages import HumanMessage

from serving.chat import ChatRequest, stream_answer
from serving.services import AdapterRef, Address, HostSpec
from serving.vllm_local import LocalVllm
from storage.states import HostState
from tests.adapter_files import make_adapter
from tests.places import bundled_model, serving_python

Figure = dict[str, str | float]

QUESTION = "Tell me a long story about a cat, a dog and the sea."
TOKENS = 48
RUNS = 5


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One streamed answer."""

    first_token_s: float
    tokens_per_second: float
    """After the first one."""
    tokens: int


def _timing(moments: Sequence[float], start: float) -> Timing:
    spent = moments[-1] - moments[0]
    return Timing(
        first_token_s=moments[0] - start,
        tokens_per_second=(len(moments) - 1) / spent if spent else 0.0,
        tokens=len(moments),
    )


async def measure_direct(address: Address, model: str, question: str = QUESTION, tokens: int = TOKENS) -> Timing:
    """One answer of vLLM itself."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": tokens,
        "stream": True,
    }
    start = time.perf_counter()
    headers = {"Authorization": f"Bearer {address.api_key}"}
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=300) as client:
        url = f"{address.base_url}/v1/chat/completions"
        async with client.stream("POST", url, json=body, headers=headers) as response:
            moments = [time.perf_counter() async for line in response.aiter_lines() if has_text(line)]
    return _timing(moments, start)


async def measure_chat(address: Address, model: str, question: str = QUESTION, tokens: int = TOKENS) -> Timing:
    """The same answer through ``serving.chat``."""
    request = ChatRequest(
        address=address,
        model=model,
        messages=(HumanMessage(question),),
        sampling={"temperature": 0, "max_tokens": tokens},
    )
    start = time.perf_counter()
    async with aclosing(stream_answer(request)) as stream:
        moments = [time.perf_counter() async for _ in stream]
    return _timing(moments, start)


def has_text(line: str) -> bool:
    """Whether a line of a stream brings a piece of the answer."""
    return line.startswith("data: {") and bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))


async def compare(address: Address, model: str, *, runs: int = RUNS) -> list[Figure]:
    """What ``serving.chat`` adds to vLLM's own first token and takes of its speed."""
    await measure_direct(address, model), await measure_chat(address, model)  # warm both
    direct, ours = [], []
    for _ in range(runs):
        direct.append(await measure_direct(address, model))
        ours.append(await measure_chat(address, model))
    first, first_ours = (statistics.median(timing.first_token_s for timing in some) for some in (direct, ours))
    speed, speed_ours = (statistics.median(timing.tokens_per_second for timing in some) for some in (direct, ours))
    return [
        {"figure": f"first token, direct, {model}", "value": round(1000 * first, 1), "unit": "ms"},
        {
            "figure": f"first token, added by chat, {model}",
            "value": round(1000 * (first_ours - first), 1),
            "unit": "ms",
        },
        {"figure": f"tokens a second, direct, {model}", "value": round(speed, 1), "unit": "tok/s"},
        {"figure": f"speed kept by chat, {model}", "value": round(100 * speed_ours / speed, 1), "unit": "%"},
    ]


def figures(folder: Path) -> Iterator[Figure]:
    """Start the bundled model with an adapter, and measure."""
    base = bundled_model()
    server = LocalVllm(folder / "hosts", serving_python())
    spec = HostSpec(id="bench", base_model=str(base), base_name="base", context_tokens=2048)
    try:
        start = time.perf_counter()
        server.start(spec)
        address = wait_until_ready(server, spec.id)
        yield {"figure": "host start to ready", "value": round(time.perf_counter() - start, 1), "unit": "s"}
        adapter = AdapterRef(model_id="adapter", folder=str(make_adapter(folder / "adapter", base, rank=8, scale=0.01)))
        start = time.perf_counter()
        server.load(spec.id, adapter)
        yield {"figure": "adapter load", "value": round(1000 * (time.perf_counter() - start)), "unit": "ms"}
        start = time.perf_counter()
        for _ in range(20):
            server.observe()
        yield {"figure": "observe one host", "value": round(50 * (time.perf_counter() - start), 1), "unit": "ms"}
        for model in ("base", "adapter"):
            yield from asyncio.run(compare(address, model))
    finally:
        server.stop(spec.id)


def wait_until_ready(server: LocalVllm, host: str, *, patience_s: float = 600) -> Address:
    """The address of a host that was started."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        status = server.observe()[host]
        if status.address:
            return status.address
        if status.state is HostState.FAILED:
            raise RuntimeError(status.reason)
        time.sleep(0.1)
    raise TimeoutError(host)


def main() -> None:
    """Print one JSON line a figure; log lines go elsewhere."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        for figure in figures(Path(folder)):
            print(json.dumps(figure), flush=True)  # noqa: T201  its output


if __name__ == "__main__":
    main()
