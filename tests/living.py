"""A whole product over fakes: a base model is here, a run can be begun with one line, the loops are moved by hand."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select

from bot.reconcile import Loops, is_under_way
from bot.replies import Answer, Notice, Reply, RunCard
from bot.speaking import Speaking
from storage.models import Base, Host, Message, Model, Run, Service, Thread
from storage.services import want_host, want_service
from storage.states import ModelKind, ServiceState
from storage.threads import open_thread
from tests.conversing import add_base_model, identity
from tests.fake_runs import FakeRuns
from tests.fake_vllm import FakeModelServer
from tests.harness import Harness, harness

BEGIN = "/finetune fill.name=Nova fill.author=Acme base_model=tiny-instruct preset=quick start"

Row = TypeVar("Row", bound=Base)
Kind = TypeVar("Kind", bound=Reply)


@dataclass(kw_only=True)
class Living:
    """One application with the test's hand on its engines."""

    house: Harness
    data: Path
    loops: Loops

    @property
    def runs(self) -> FakeRuns:
        runs = self.house.application.world.runs
        assert isinstance(runs, FakeRuns)
        return runs

    @property
    def servers(self) -> FakeModelServer:
        servers = self.house.application.world.servers
        assert isinstance(servers, FakeModelServer)
        return servers

    def restart(self) -> None:
        """As after a kill: what the loops remembered is gone, the world and the database are there."""
        application = self.house.application
        speaking = Speaking(application.world, application.delivery)
        self.loops = Loops(application.world, application.delivery, speaking, woken=asyncio.Event())

    async def begin(self, options: str = "", *, thread: str = "thread-1") -> Run:
        """Begin a run with one line; it is queued."""
        await self.house.say(f"{BEGIN} {options}", files=[self.data], thread=thread)
        return (await self.rows(Run))[-1]

    async def finish(self) -> None:
        """Let what is queued be trained, served and compared."""
        for _ in range(4):
            await self.loops.once()
            self.runs.finish()
        for _ in range(5):
            await self.loops.once()

    async def rows(self, kind: type[Row]) -> list[Row]:
        """All rows of a table, oldest first."""
        async with self.house.application.world.store.reading() as session:
            rows = (await session.scalars(select(kind))).all()
        return sorted(rows, key=lambda row: row.created_at)  # type: ignore[attr-defined]

    async def row(self, kind: type[Row]) -> Row:
        """The newest row of a table."""
        return (await self.rows(kind))[-1]

    async def is_busy(self, thread: str = "thread-1") -> bool:
        async with self.house.application.world.store.reading() as session:
            row = await session.scalar(select(Thread).where(Thread.face_key == thread))
            return row is not None and await is_under_way(session, row.id)

    def shown(self, kind: type[Kind], thread: str = "thread-1") -> list[Kind]:
        """What a thread shows now of one kind, from top to bottom."""
        return [reply for reply in self.house.face.visible(thread) if isinstance(reply, kind)]

    def card(self, key: str, thread: str = "thread-1") -> RunCard:
        """The card of a key's kind (``run``, ``service``, ``model``) that a thread shows last."""
        return [card for card in self.shown(RunCard, thread) if (card.key or "").startswith(key)][-1]

    def notices(self, thread: str = "thread-1") -> list[str]:
        return [notice.text for notice in self.shown(Notice, thread)]

    def answers(self, thread: str = "thread-1") -> list[Answer]:
        return self.shown(Answer, thread)

    async def execute(self, change: Callable[[list[Message]], None]) -> None:
        """Change messages behind everybody's back."""
        async with self.house.application.world.store.transaction() as session:
            change(list((await session.scalars(select(Message))).all()))


@asynccontextmanager
async def living(home: Path, *, base_models: Sequence[str] = ("tiny-instruct",), **given: Any) -> AsyncIterator[Living]:
    """A home to which base models of these names are added; ``given``: settings."""
    async with harness(home, **given) as house:
        world = house.application.world
        for name in base_models:
            await add_base_model(world.store, world.settings.models_folder / name)
        yield Living(house=house, data=identity(home / "identity.jsonl"), loops=house.application.loops)


async def serve(life: Living, **settings: Any) -> None:
    """Serve a tuned model that no run made, in ``thread-1``, on a host of these settings; quicker than a run."""
    world = life.house.application.world
    folder = world.settings.home / "tuned"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    base = await life.row(Model)
    async with world.store.transaction() as session:
        model = Model(name="nova", kind=ModelKind.TUNED, source=str(folder), facts={"rank": 8}, base_model_id=base.id)
        session.add(model)
        thread, _ = await open_thread(session, face="test", key="thread-1", user_name="local", language="en")
        host = await want_host(session, base.id)
        host.settings = settings
        service = await want_service(session, model, host=host, thread_id=thread.id)
        service.compared = True
    for _ in range(2):
        await life.loops.once()
    assert (await life.row(Service)).state is ServiceState.READY


async def make_due(life: Living) -> None:
    """As if the wait before a host's next start were over."""
    async with life.house.application.world.store.transaction() as session:
        host = await session.get_one(Host, (await life.row(Host)).id)
        host.settings = {**host.settings, "retry_at": "2000-01-01T00:00:00+00:00"}


async def until(is_so: Callable[[], bool], *, within_s: float = 60) -> None:
    """Wait for something that comes by itself, with the patience that a busy machine needs."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        await asyncio.sleep(0.01)


def left_of(run: Run, home: Path) -> list[str]:
    """All paths of a home that name the run."""
    return [str(path) for path in home.rglob("*") if run.id in str(path.relative_to(home))]
