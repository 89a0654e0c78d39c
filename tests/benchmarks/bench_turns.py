"""How soon a reply is there: run as ``python -m tests.benchmarks.bench_turns``.

50 threads speak to the real assistant over a real SQLite file; the engines behind it are fakes. *Burst*: all at the
same instant, again and again. *Steady*: each about once a second, as 50 people would.
"""

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from bot.replies import Reply
from bot.turns import ThreadRef, Turn
from bot.wiring import Application
from tests.harness import harness

Figure = dict[str, str | float]

THREADS = 50
ROUNDS = 10
SAID = ("/help", "/runs", "/finetune", "/new", "hello")


class Stopwatch:
    """A face that notes when a thread's first reply is there."""

    is_remote: ClassVar[bool] = False
    only_thread: ClassVar[str | None] = None

    def __init__(self) -> None:
        self.shown: dict[str, float] = {}

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        self.shown.setdefault(thread.key, time.perf_counter())
        return message_id

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        await self.show(thread, reply, message_id=message_id, shown_as=shown_as)


async def measure(application: Application, *, seconds: float) -> list[float]:
    """Milliseconds to the first reply of each message; ``seconds`` is what a round is spread over."""
    face = Stopwatch()
    application.faces["bench"] = face
    chance = random.Random(0)

    async def speak(number: int, turn: int) -> float:
        await asyncio.sleep(chance.random() * seconds)
        thread = ThreadRef(face="bench", key=f"{seconds}-{number}")
        face.shown.pop(thread.key, None)
        begin = time.perf_counter()
        text = SAID[(number + turn) % len(SAID)]
        await application.assistant.handle(Turn(event_id=f"{thread.key}-{turn}", thread=thread, text=text))
        return 1000 * (face.shown[thread.key] - begin)

    took: list[float] = []
    for turn in range(ROUNDS):
        took += await asyncio.gather(*(speak(number, turn) for number in range(THREADS)))
    return took


async def _figures(folder: Path) -> list[Figure]:
    found: list[Figure] = []
    async with harness(folder) as made:
        for name, seconds in (("steady", 1.0), ("burst", 0.0)):
            took = sorted(await measure(made.application, seconds=seconds))
            p99 = took[int(len(took) * 0.99) - 1]
            for what, value in (("median", statistics.median(took)), ("p99", p99)):
                found.append(
                    {"figure": f"first reply, 50 threads, {name}, {what}", "value": round(value, 1), "unit": "ms"}
                )
    return found


def figures() -> Iterator[Figure]:
    """Median and p99 of both."""
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_figures(Path(folder)))


def main() -> None:
    """Print one JSON line a figure."""
    for figure in figures():
        print(json.dumps(figure), flush=True)  # noqa: T201  its output


if __name__ == "__main__":
    main()
