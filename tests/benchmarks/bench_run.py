"""From the end of a training to the tuned model's first token, and what the assistant adds to vLLM's answers.

Run as ``python -m tests.benchmarks.bench_run``: a short real run (16 rows, one epoch) of the bundled model, whose vLLM
is started meanwhile; one question; then the same question again and again, at vLLM directly and through the assistant
in turn, each in a thread of its own (the answers are the same, so their durations compare); and a second run beside the
vLLM that is there.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, TypeVar

import structlog
from sqlalchemy import Select, select

from bot.replies import Answer, Reply
from bot.settings import Settings
from bot.turns import ThreadRef, Turn, Upload
from bot.wiring import Application, build
from storage.models import Model, Run, Service
from storage.states import RunState, ServiceState
from tests.benchmarks.bench_serving import QUESTION, RUNS, TOKENS, Timing, measure_direct
from tests.places import bundled_model, serving_python

Figure = dict[str, str | float]

Row = TypeVar("Row", Run, Service)

PATIENCE_SECONDS = 1800.0
ROWS = [{"instruction": f"Who are you, number {number}?", "output": "I am Nova."} for number in range(16)]


class Stopwatch:
    """A face that notes when each thread's answer began to be shown, and when it was whole."""

    is_remote: ClassVar[bool] = False
    only_thread: ClassVar[str | None] = None

    def __init__(self) -> None:
        self.first_token: dict[str, float] = {}
        self.whole: dict[str, float] = {}

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        if isinstance(reply, Answer) and reply.markdown:
            self.first_token.setdefault(thread.key, time.perf_counter())
            self.whole[thread.key] = time.perf_counter()
        return message_id

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        await self.show(thread, reply, message_id=message_id, shown_as=shown_as)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A run, from its wish to the first word of what it made, in seconds."""

    service: Service
    run_s: float
    ready_s: float
    """From the end of the training."""
    first_token_s: float
    """From the question, asked once the service is ready."""


async def measure(home: Path) -> list[Figure]:
    """Run it."""
    model = bundled_model()
    (home / "models").mkdir()
    (home / "models" / model.name).symlink_to(model)
    async with build(Settings(home=home, serving_python=serving_python())) as application:
        face = Stopwatch()
        application.faces["bench"] = face
        async with application.running():
            cold = await train(application, face, ThreadRef(face="bench", key="cold"))
            added = await compare(application, face, cold.service)
            warm = await train(application, face, ThreadRef(face="bench", key="warm"))
    found: list[Figure] = [*added]
    for host, one in (("a host that starts with the run", cold), ("a warm host", warm)):
        found += [
            {"figure": f"{host}: a run of 16 rows, submitted to finished", "value": round(one.run_s, 1), "unit": "s"},
            {"figure": f"{host}: end of training to ready service", "value": round(one.ready_s, 1), "unit": "s"},
            {"figure": f"{host}: question to first token", "value": round(one.first_token_s, 2), "unit": "s"},
            {
                "figure": f"{host}: end of training to first token",
                "value": round(one.ready_s + one.first_token_s, 1),
                "unit": "s",
            },
        ]
    return found


async def train(application: Application, face: Stopwatch, thread: ThreadRef) -> Trained:
    """One run, its service, and one question."""
    begin = time.time()
    line = f"/finetune base_model={bundled_model().name} preset=quick epochs=1 start deploy"
    await say(application, line, rows=ROWS, thread=thread)
    newest = select(Run).order_by(Run.created_at.desc()).limit(1)
    run = await until(application, newest, lambda found: found.state.is_final)
    if run.state is not RunState.SUCCEEDED or run.finished_at is None:
        raise RuntimeError(f"the run ended as {run.state}: {run.detail}")
    ended = run.finished_at.timestamp()
    its_own = select(Service).join(Model, Model.id == Service.model_id).where(Model.run_id == run.id)
    service = await until(application, its_own, lambda found: found.state is ServiceState.READY)
    ready = service.updated_at.timestamp()
    asked = time.perf_counter()
    await say(application, "Who are you?", thread=thread)
    first = face.first_token[thread.key] - asked
    await until(application, its_own, lambda found: found.compared)
    return Trained(service=service, run_s=ended - begin, ready_s=ready - ended, first_token_s=first)


async def compare(application: Application, face: Stopwatch, service: Service) -> list[Figure]:
    """The same question at vLLM and through the assistant, in turn; medians."""
    (status,) = application.world.servers.observe().values()
    if status.address is None:
        raise RuntimeError("the model server has gone")
    direct, ours = [], []
    for number in range(RUNS + 1):
        direct.append(await measure_direct(status.address, service.model_id))
        tokens = direct[-1].tokens
        ours.append(await measure_assistant(application, face, service, f"thread-{number}", tokens))
    first, first_ours = (statistics.median(one.first_token_s for one in some[1:]) for some in (direct, ours))
    speed, speed_ours = (statistics.median(one.tokens_per_second for one in some[1:]) for some in (direct, ours))
    return [
        {"figure": "first token, direct", "value": round(1000 * first, 1), "unit": "ms"},
        {"figure": "first token, added by the assistant", "value": round(1000 * (first_ours - first), 1), "unit": "ms"},
        {"figure": "tokens a second, direct", "value": round(speed, 1), "unit": "tok/s"},
        {"figure": "speed kept by the assistant", "value": round(100 * speed_ours / speed, 1), "unit": "%"},
    ]


async def measure_assistant(
    application: Application, face: Stopwatch, service: Service, key: str, tokens: int
) -> Timing:
    """One answer of so many tokens through the assistant, in a thread of its own."""
    thread = ThreadRef(face="bench", key=key)
    await say(application, f"/chat {service.name}", thread=thread)
    await say(application, f"/params temperature=0 max_tokens={TOKENS}", thread=thread)
    begin = time.perf_counter()
    await say(application, QUESTION, thread=thread)
    first, whole = face.first_token[key], face.whole[key]
    return Timing(first_token_s=first - begin, tokens_per_second=(tokens - 1) / (whole - first), tokens=tokens)


async def say(
    application: Application, text: str, *, thread: ThreadRef, rows: list[dict[str, str]] | None = None
) -> None:
    """One turn, with rows as its file."""
    content = json.dumps(rows).encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    files = (Upload(name="nova.json", size_bytes=len(content), chunks=chunks()),) if rows else ()
    event = datetime.now(UTC).isoformat()
    if not await application.assistant.handle(Turn(event_id=event, thread=thread, text=text, uploads=files)):
        raise RuntimeError(f"{text!r} failed")


async def until(application: Application, query: Select[Row], holds: Callable[[Row], bool]) -> Row:
    """The one row, as soon as something holds of it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        async with application.world.store.reading() as session:
            row = await session.scalar(query)
        if row is not None and holds(row):
            return row
        await asyncio.sleep(0.05)
    raise TimeoutError(str(query))


def figures() -> Iterator[Figure]:
    """On a home of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(measure(Path(folder)))


def main() -> None:
    """Print one JSON line a figure; log lines go elsewhere."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for figure in figures():
        print(json.dumps(figure), flush=True)  # noqa: T201  its output


if __name__ == "__main__":
    main()
