"""The whole path beside vLLM itself: run as ``python -m tests.benchmarks.bench_path``.

One site with one tuned model is asked the same by 1, 8 and 32 at once in three ways, in turn: vLLM directly, the
endpoint for programs, and a person's messages up to their face (a browser's own drawing is not in it). First with a
stand-in for vLLM that speaks at a graphics card's pace and computes nothing, so that what is left is ours; then with
vLLM and the bundled model. At last the model server rests, and a message wakes it.
"""

import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from sqlalchemy import select

from bot.settings import Settings
from bot.turns import ThreadRef
from bot.wiring import Application, build
from chainlit_app.server import address_of, listen, run, site_of
from serving.services import Address
from storage.keys import make_key
from storage.models import Host, Model, Service
from storage.services import want_host, want_service
from storage.states import ModelKind, ServiceState
from storage.threads import open_thread, open_user
from tests.adapter_files import make_adapter
from tests.benchmarks.bench_run import Stopwatch, say, until
from tests.benchmarks.streams import Asking, Streamed, ask, pause_s
from tests.places import bundled_model, serving_python
from tests.vllm_stand_in import stand_in_python

Figure = dict[str, str | float]

STREAMS = (1, 8, 32)
SPREAD_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is measured, and how long."""

    name: str
    python: Path
    """Of what stands for vLLM."""
    tokens: int
    """Of each answer."""
    rounds: int
    """The first one warms up, and does not count."""
    question: str


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running site and its one service."""

    application: Application
    face: Stopwatch
    service: Service
    direct: Asking
    """At vLLM; its questions are to be filled in."""
    program: Asking
    """At our endpoint."""


@asynccontextmanager
async def running(bench: Bench, home: Path) -> AsyncIterator[Site]:
    """The site in this process, its model server in another."""
    (home / "models").mkdir(parents=True)
    base = bundled_model()
    (home / "models" / base.name).symlink_to(base)
    settings = Settings(home=home, port=0, serving_python=bench.python, streams_per_replica=max(STREAMS))
    ready = asyncio.Event()
    with listen(settings) as listener:
        async with build(settings) as application, site_of(application) as site:
            face = Stopwatch()
            application.faces["bench"] = face
            serving = asyncio.create_task(run(site, listener, ready.set))
            await ready.wait()
            service = await add_service(application, make_adapter(home / "adapter", base, rank=8, scale=0.01))
            address = address_of_host(application, service)
            direct = Asking(
                base_url=address.base_url,
                api_key=address.api_key,
                model=service.model_id,
                questions=(),
                tokens=bench.tokens,
                spread_s=SPREAD_SECONDS,
            )
            key = await add_key(application)
            ours = replace(direct, base_url=address_of(listener), api_key=key, model=service.name)
            yield Site(application=application, face=face, service=service, direct=direct, program=ours)
            signal.raise_signal(signal.SIGTERM)
            await serving


async def add_service(application: Application, adapter: Path) -> Service:
    """A tuned model that no run made, once it is ready. Whether its answers end by themselves is no question here."""
    async with application.world.store.transaction() as session:
        base = (await session.scalars(select(Model).where(Model.kind == ModelKind.BASE))).one()
        model = Model(name="tuned", kind=ModelKind.TUNED, source=str(adapter), facts={"rank": 8}, base_model_id=base.id)
        session.add(model)
        await session.flush()
        host = await want_host(session, base.id)
        service = await want_service(session, model, host=host, thread_id=None)
        service.compared, service.accepts_endless = True, model.id
    application.world.wake()
    return await until(application, select(Service), lambda found: found.state is ServiceState.READY)


async def add_key(application: Application) -> str:
    """A key that nothing limits."""
    async with application.world.store.transaction() as session:
        user = await open_user(session, "local")
        _, secret = await make_key(session, user_id=user.id, name="bench", services=[], requests_per_minute=1_000_000)
    return secret


def address_of_host(application: Application, service: Service) -> Address:
    """Where its vLLM listens. Raises RuntimeError where there is none."""
    address = application.world.servers.observe()[service.host_id].address
    if address is None:
        raise RuntimeError("the model server has gone")
    return address


async def talk(site: Site, questions: Sequence[str], tokens: int, name: str) -> list[Streamed]:
    """The same questions as messages, each in a new thread, whose first message opens it as the service's."""
    async with site.application.world.store.transaction() as session:
        for place in range(len(questions)):
            key = f"{name}-{place}"
            thread, _ = await open_thread(session, face="bench", key=key, user_name="local", language="en")
            thread.service_id, thread.speaker = site.service.id, "tuned"
            thread.sampling = {"temperature": 0, "max_tokens": tokens}

    async def one(place: int) -> Streamed:
        await asyncio.sleep(pause_s(place, len(questions), SPREAD_SECONDS))
        key, begin = f"{name}-{place}", time.perf_counter()
        await say(site.application, questions[place], thread=ThreadRef(face="bench", key=key))
        first, whole = site.face.first_token[key], site.face.whole[key]
        return Streamed(first_s=first - begin, whole_s=whole - begin, tokens=tokens)

    return await asyncio.gather(*(one(place) for place in range(len(questions))))


async def compare(site: Site, bench: Bench, streams: int) -> list[Figure]:
    """So many at once, in the three ways in turn."""
    questions = [f"{bench.question} Number {place}." for place in range(streams)]
    direct: list[Streamed] = []
    program: list[Streamed] = []
    person: list[Streamed] = []
    for number in range(bench.rounds):
        for ways in (direct, program, person) if number == 1 else ():
            ways.clear()
        direct += await ask(replace(site.direct, questions=questions))
        program += await ask(replace(site.program, questions=questions))
        person += await talk(site, questions, bench.tokens, f"{bench.name}-{streams}-{number}")
    first = _first_ms(direct)
    speed = sum(one.tokens for one in direct) / sum(one.whole_s for one in direct)
    found: list[Figure] = [
        {"figure": f"{bench.name}, {streams} at once: first token, direct", "value": round(first, 1), "unit": "ms"},
        {"figure": f"{bench.name}, {streams} at once: each, direct", "value": round(speed, 1), "unit": "tok/s"},
    ]
    for way, ours in (("a program", program), ("a person", person)):
        share = sum(one.whole_s for one in direct) / sum(one.whole_s for one in ours)
        if sum(one.tokens for one in ours) != sum(one.tokens for one in direct):
            raise RuntimeError("the answers are not of the same length")
        what = f"{bench.name}, {streams} at once, {way}"
        found += [
            {"figure": f"{what}: first token, added", "value": round(_first_ms(ours) - first, 1), "unit": "ms"},
            {"figure": f"{what}: share of the direct throughput", "value": round(100 * share, 1), "unit": "%"},
        ]
    return found


def _first_ms(streamed: Sequence[Streamed]) -> float:
    return 1000 * statistics.median(one.first_s for one in streamed)


async def wake(site: Site, bench: Bench) -> Figure:
    """A message to a model server that rests, up to its first token."""
    application = site.application
    async with application.world.store.transaction() as session:
        (await session.get_one(Host, site.service.host_id)).is_asleep = True
    application.world.wake()
    await until(application, select(Service), lambda found: found.state is ServiceState.ASLEEP)
    while application.world.servers.observe():  # noqa: ASYNC110  another process ends
        await asyncio.sleep(0.05)
    (one,) = await talk(site, [bench.question], bench.tokens, f"{bench.name}-wake")
    return {"figure": f"{bench.name}, wake from rest to first token", "value": round(one.first_s, 1), "unit": "s"}


async def measure(bench: Bench, home: Path) -> list[Figure]:
    """All of it, on a home of its own."""
    async with running(bench, home) as site:
        found = [figure for streams in STREAMS for figure in await compare(site, bench, streams)]
        return [*found, await wake(site, bench)]


def figures(folder: Path) -> Iterator[Figure]:
    """With the stand-in, then with vLLM."""
    paced = stand_in_python(folder / "bin", first_token_s=0.05, between_tokens_s=0.02)
    words = " ".join(["word"] * 100)
    story = "Tell me a long story about a cat, a dog and the sea."
    for bench in (
        Bench(name="stand-in", python=paced, tokens=100, rounds=4, question=words),
        Bench(name="vLLM", python=serving_python(), tokens=24, rounds=3, question=story),
    ):
        yield from asyncio.run(measure(bench, folder / bench.name))


def main() -> None:
    """Print one JSON line a figure; log lines go elsewhere."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        for figure in figures(Path(folder)):
            print(json.dumps(figure), flush=True)  # noqa: T201  its output


if __name__ == "__main__":
    main()
