"""The product over a cluster: its loops running, a tiny base model in the catalogue, a data set to drop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import select

from bot.replies import RunCard
from storage.models import Model, Run
from storage.states import ModelKind
from tests.cluster.stage import DEADLINE_S, ROWS
from tests.conversing import write_rows
from tests.harness import Harness, harness
from training.checkpoints import inspect_checkpoint
from training.places import ClusterPlace
from training.runs import RunBackend

PLAN = "learning_rate=5e-3 epochs=2 batch_size=4 gradient_accumulation=1 logging_steps=1 cpu=1 memory_gib=2"


@asynccontextmanager
async def house_with(
    home: Path, runs: RunBackend, place: ClusterPlace, base: Path, root: str | Path
) -> AsyncIterator[Harness]:
    """The product over a cluster, its loops running, with the tiny model in the catalogue."""
    async with harness(home, backend=runs, places=[place], artifacts_root=root, runs="kubernetes") as house:
        async with house.application.world.store.transaction() as session:
            facts = inspect_checkpoint(base).to_json()
            session.add(Model(name="tiny", kind=ModelKind.BASE, source=str(base), facts=facts))
        async with house.application.running():
            yield house


async def newest_run(house: Harness) -> Run:
    async with house.application.world.store.reading() as session:
        run = await session.scalar(select(Run).order_by(Run.created_at.desc()).limit(1))
        assert run is not None
        return run


async def wait_for(house: Harness, holds: Callable[[Run], bool], *, seconds: float = DEADLINE_S) -> Run:
    deadline = time.monotonic() + seconds
    while not holds(run := await newest_run(house)):
        assert time.monotonic() < deadline, (run.state, run.reason, run.detail)
        await asyncio.sleep(0.1)
    return run


def cards(house: Harness, name: str) -> list[RunCard]:
    shown = [reply for _, _, reply in house.face.showings]
    runs = [reply for reply in shown if isinstance(reply, RunCard) and (reply.key or "").startswith("run:")]
    return [card for card in runs if card.title == name]


def is_over(run: Run) -> bool:
    return run.state.is_final


def data(folder: Path, name: str) -> Path:
    rows: list[dict[str, object]] = [{"instruction": said, "input": "", "output": answer} for said, answer in ROWS]
    return write_rows(folder / f"{name}.jsonl", [*rows])
