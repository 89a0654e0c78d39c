"""Asking before a run is deleted, and refusing where something stands in the way."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.replies import Question, Reply, RunCard, Text
from bot.turns import Rights
from storage.models import Message, Model, Run
from storage.services import want_host, want_service
from storage.states import ModelKind, RunState, Wish
from tests.conversing import PLACES, Bench, bench, identity
from tests.ended import end_run
from tests.recording import words

BEGIN = "/finetune fill.name=Nova fill.author=Acme base_model=tiny-instruct preset=quick start"


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home") as made:
        await made.say(BEGIN, files=[identity(tmp_path / "identity.jsonl")])
        yield made


async def ended(talk: Bench) -> Run:
    """A run that has ended without a model."""
    (run,) = await talk.runs()
    await end_run(talk.world.store, run.name)
    return run


async def with_model(talk: Bench, *, wanted: Wish | None = None) -> str:
    """A run that has made the model ``nova``; with ``wanted`` there is a service ``helpdesk`` of it."""
    (run,) = await talk.runs()
    await end_run(talk.world.store, run.name, RunState.SUCCEEDED)
    async with talk.world.store.transaction() as session:
        model = Model(id=run.id, name="nova", kind=ModelKind.TUNED, source="artifact:models/x", facts={}, run_id=run.id)
        model.base_model_id = run.base_model_id
        session.add(model)
        await session.flush()
        if wanted is not None:
            host = await want_host(session, run.base_model_id)
            service = await want_service(session, model, host=host, thread_id=None, name="helpdesk")
            service.wanted = wanted
    return model.id


def question(replies: list[Reply]) -> Question:
    (found,) = [reply for reply in replies if isinstance(reply, Question) and reply.answered is None]
    return found


async def is_wanted(talk: Bench) -> list[str]:
    return [run.name for run in await talk.runs() if run.deletion_wanted_at is not None]


async def test_it_asks_and_only_a_yes_deletes(talk: Bench) -> None:
    run = await ended(talk)
    asked = question(await talk.say("/delete"))
    assert [choice.say for choice in asked.choices] == ["/delete identity-1 yes", "/delete identity-1 no"]
    assert asked.choices[0].style == "danger"
    assert "model" not in asked.markdown
    await talk.say("maybe")
    assert await is_wanted(talk) == []
    replies = await talk.say(asked.choices[0].say, about=asked.id)
    assert await is_wanted(talk) == [run.name]
    (card,) = [reply for reply in replies if isinstance(reply, RunCard)]
    assert (card.status, card.tone, card.choices) == ("Deleted", "plain", ())
    closed = [reply for reply in talk.face.visible("thread") if isinstance(reply, Question)]
    assert [reply.answered for reply in closed] == ["deleted"]


@pytest.mark.parametrize("said", ["/delete identity-1 yes", "/delete identity-1 是", "/delete identity-1 确认"])
async def test_a_yes_in_the_same_line_asks_nothing(talk: Bench, said: str) -> None:
    await ended(talk)
    replies = await talk.say(said)
    assert not [reply for reply in replies if isinstance(reply, Question)]
    assert await is_wanted(talk) == ["identity-1"]


@pytest.mark.parametrize("said", ["no", "Keep", "2", "cancel", "/delete identity-1 no", "不要"])
async def test_a_no_keeps_it(talk: Bench, said: str) -> None:
    await ended(talk)
    await talk.say("/delete")
    assert "**identity-1** is kept." in words((await talk.say(said))[-1])
    await talk.say("yes")
    assert await is_wanted(talk) == []


@pytest.mark.parametrize("said", ["yes", "Delete", "1", "delete it", "确定"])
async def test_a_yes_can_be_said(talk: Bench, said: str) -> None:
    await ended(talk)
    await talk.say("/delete")
    await talk.say(said)
    assert await is_wanted(talk) == ["identity-1"]


async def test_asked_again_the_question_stands_below(talk: Bench) -> None:
    await ended(talk)
    first = question(await talk.say("/delete"))
    await talk.say("/help")
    second = question(await talk.say("/delete"))
    assert first.key != second.key
    shown = [reply.answered for reply in talk.face.visible("thread") if isinstance(reply, Question)]
    assert shown == ["asked again below", None]


async def test_a_question_of_another_run_of_that_name_deletes_nothing(talk: Bench) -> None:
    await ended(talk)
    replies = await talk.say("/delete identity-1 yes", about="delete.of-an-earlier-run")
    assert "That question is closed; nothing was changed." in words(replies[-1])
    assert await is_wanted(talk) == []


async def test_what_is_under_way_is_stopped_first(talk: Bench) -> None:
    (refusal,) = await talk.say("/delete identity-1 yes")
    assert isinstance(refusal, Text)
    assert not talk.went_well
    assert [choice.say for choice in refusal.choices] == ["/stop identity-1"]
    await talk.say("/stop identity-1")
    (refusal,) = await talk.say("/delete identity-1 yes")
    assert "just stopping" in words(refusal)
    assert await is_wanted(talk) == []


async def test_what_is_served_is_ended_first(talk: Bench) -> None:
    await with_model(talk, wanted=Wish.UP)
    (refusal,) = await talk.say("/delete identity-1 yes")
    assert isinstance(refusal, Text)
    assert "is being served: **helpdesk**" in refusal.markdown
    assert [choice.say for choice in refusal.choices] == ["/undeploy helpdesk"]
    await talk.say("/undeploy helpdesk")
    asked = question(await talk.say("/delete"))
    assert "the model **nova** that it made\n- the ended service **helpdesk**" in asked.markdown


async def test_what_others_were_made_from_stays(talk: Bench) -> None:
    model_id = await with_model(talk)
    async with talk.world.store.transaction() as session:
        session.add(Model(name="child", kind=ModelKind.TUNED, source="x", facts={}, base_model_id=model_id))
    (refusal,) = await talk.say("/delete identity-1 yes")
    assert "Made from the model of identity-1: **child**" in words(refusal)
    assert await is_wanted(talk) == []


async def test_a_model_to_be_deleted_is_in_no_list_and_cannot_be_deployed(talk: Bench) -> None:
    await with_model(talk, wanted=Wish.DOWN)
    assert "nova" in words((await talk.say("/models"))[-1])
    await talk.say("/delete identity-1 yes")
    assert "nova" not in words((await talk.say("/models"))[-1])
    assert "called “nova”" in words((await talk.say("/deploy nova"))[-1])
    assert "helpdesk was deleted." in words((await talk.say("/deploy helpdesk"))[-1])


async def test_only_who_may_deletes(talk: Bench) -> None:
    await ended(talk)
    for said in ("/delete identity-1 yes", "yes"):
        await talk.say("/delete")
        (reply,) = await talk.say(said, rights=Rights(may_manage=False, whom_to_ask=("Ann Lee",)))
        assert "Ask Ann Lee." in words(reply)
    assert await is_wanted(talk) == []


async def test_the_question_names_the_cluster_where_jobs_are(tmp_path: Path) -> None:
    async with bench(tmp_path / "home", places=PLACES) as made:
        await made.say(f"{BEGIN} place=shanghai-2", files=[identity(tmp_path / "identity.jsonl")])
        await ended(made)
        assert "- its jobs in shanghai-2" in question(await made.say("/delete")).markdown


async def test_the_card_elsewhere_says_so_in_its_own_language(talk: Bench) -> None:
    run = await ended(talk)
    await talk.say("你好", thread="other", language="zh-CN")
    await talk.say(f"/delete {run.name} 是", thread="other", language="zh-CN")
    async with talk.world.store.reading() as session:
        message = await session.scalar(select(Message).where(Message.key == f"run:{run.id}"))
    assert message is not None
    assert (message.body["status"], message.body["choices"]) == ("Deleted", [])
