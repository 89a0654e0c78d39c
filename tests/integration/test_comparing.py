"""Base and tuned model side by side: what becomes of a comparison that cannot go on as it began."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.reconcile.comparing import Comparing
from bot.replies import Comparison
from bot.speaking import Speaking
from bot.texts import texts
from storage.artifacts import Artifacts
from storage.models import Host, Model, Run, Service, Thread
from storage.services import change_service
from storage.states import ServiceState
from tests.fake_vllm import FakeVllm
from tests.living import Living, living, until


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Living]:
    """A service whose models are to be compared once more."""
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        await forget_comparison(life)
        yield life


async def forget_comparison(life: Living) -> None:
    """As if it had not been made yet."""
    async with life.house.application.world.store.transaction() as session:
        (await session.get_one(Service, (await life.row(Service)).id)).compared = False


async def host_of(life: Living) -> FakeVllm:
    return life.servers.hosts[(await life.row(Host)).id]


async def compare(life: Living, **others: Any) -> Speaking:
    """As the loop does it, by a process that knows nothing yet (``others``: of its world); returns the way it took."""
    application = life.house.application
    world = replace(application.world, **others)
    speaking = Speaking(world, application.delivery)
    await Comparing(world, application.delivery, speaking).compare((await life.row(Service)).id)
    return speaking


async def test_a_model_that_comes_meanwhile_is_compared_itself(life: Living) -> None:
    (first,) = await life.rows(Run)
    second = await life.begin("deploy=no", thread="thread-2")
    await life.finish()
    await forget_comparison(life)
    replica = await host_of(life)
    replica.is_held = True
    passing = asyncio.create_task(life.loops.once())
    await until(lambda: replica.running == 2)
    await life.house.say(f"/deploy {second.name} service={first.name}", thread="thread-2")
    replica.is_held = False
    await passing
    assert not (await life.row(Service)).compared
    await life.finish()
    (service,) = await life.rows(Service)
    assert (service.model_id, service.compared) == (second.id, True)
    rows = life.shown(Comparison, "thread-2")[-1].rows
    assert all(row.tuned.startswith(f"{second.id} heard") for row in rows)


async def test_a_question_that_does_not_fit_is_said_in_its_place(life: Living) -> None:
    async with life.house.application.world.store.transaction() as session:
        run = await session.get_one(Run, (await life.row(Run)).id)
        run.questions = ["word " * 9000, *run.questions]
        (await session.get_one(Thread, (await life.row(Thread)).id)).language = "zh-CN"
    await life.loops.once()
    too_long, *others = life.shown(Comparison)[-1].rows
    beginning = texts("zh-CN")("serving.chat_too_long", tokens=1, limit=2).partition("1")[0]
    assert too_long.base.startswith(beginning)
    assert too_long.tuned.startswith(beginning)
    assert all("heard:" in row.tuned for row in others)
    assert (await life.row(Service)).compared


async def test_what_is_broken_off_holds_no_place(life: Living) -> None:
    replica, host = await host_of(life), await life.row(Host)
    async with life.house.application.world.store.transaction() as session:
        change_service(await session.get_one(Service, (await life.row(Service)).id), ServiceState.LOADING)
    replica.is_held = True  # the base model could be asked, and does not answer
    async with asyncio.timeout(30):
        speaking = await compare(life)
    assert not speaking.routes.is_busy(host.id)
    await until(lambda: replica.running == 0)
    assert not (await life.row(Service)).compared
    await speaking.routes.close()


async def test_without_its_tokenizer_each_question_is_answered_with_why(life: Living) -> None:
    base = (await life.rows(Model))[0]
    (Path(base.source) / "tokenizer.json").write_text("no JSON")
    speaking = await compare(life)
    rows = life.shown(Comparison)[-1].rows
    assert len(rows) == 3
    assert all(row.base == row.tuned and "tokenizer.json" in row.base for row in rows)
    await speaking.routes.close()


async def test_while_files_are_away_it_is_begun_anew(life: Living) -> None:
    async with life.house.application.world.store.transaction() as session:
        base = await session.get_one(Model, (await life.rows(Model))[0].id)
        source, base.source = base.source, "artifact:bases/away"
    nowhere = Artifacts("s3://away/prefix")
    speaking = await compare(life, artifacts=nowhere)
    assert not (await life.row(Service)).compared
    await speaking.routes.close()
    async with life.house.application.world.store.transaction() as session:
        (await session.get_one(Model, base.id)).source = source
    speaking = await compare(life, artifacts=nowhere)
    assert (await life.row(Service)).compared
    await speaking.routes.close()
