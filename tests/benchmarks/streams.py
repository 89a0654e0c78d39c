"""Programs that stream answers at the same time, as a process of their own: what measures takes nothing from what is
measured.

``python -m tests.benchmarks.streams`` reads an Asking as JSON from its input, and writes a list of Streamed.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import httpx

from tests.benchmarks.bench_serving import has_text
from tests.places import PROJECT


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Who asks whom, and what."""

    base_url: str
    api_key: str
    model: str
    questions: Sequence[str]
    """One a stream."""
    tokens: int
    spread_s: float
    """The streams begin evenly over this time, as people do."""


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """One answer, in seconds from its question."""

    first_s: float
    whole_s: float
    tokens: int


def pause_s(place: int, count: int, spread_s: float) -> float:
    """How long a stream waits before it begins."""
    return spread_s * place / count


async def ask(asking: Asking) -> list[Streamed]:
    """All streams, from a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.streams"),
        cwd=PROJECT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(json.dumps(asdict(asking)).encode())
    if process.returncode != 0:
        raise RuntimeError("the streams broke off")
    return [Streamed(**one) for one in json.loads(output)]


async def _all(asking: Asking) -> list[Streamed]:
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {asking.api_key}"}
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=600, limits=limits, headers=headers) as client:
        return await asyncio.gather(*(_one(client, asking, place) for place in range(len(asking.questions))))


async def _one(client: httpx.AsyncClient, asking: Asking, place: int) -> Streamed:
    await asyncio.sleep(pause_s(place, len(asking.questions), asking.spread_s))
    body = {
        "model": asking.model,
        "messages": [{"role": "user", "content": asking.questions[place]}],
        "temperature": 0,
        "max_tokens": asking.tokens,
        "stream": True,
    }
    begin = time.perf_counter()
    async with client.stream("POST", f"{asking.base_url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        moments = [time.perf_counter() async for line in response.aiter_lines() if has_text(line)]
    return Streamed(first_s=moments[0] - begin, whole_s=time.perf_counter() - begin, tokens=len(moments))


def main() -> None:
    """Ask, and write the times."""
    streamed = asyncio.run(_all(Asking(**json.load(sys.stdin))))
    json.dump([asdict(one) for one in streamed], sys.stdout)


if __name__ == "__main__":
    main()
