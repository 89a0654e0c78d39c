"""Who may start, stop and deploy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.replies import Text
from bot.turns import Rights
from tests.conversing import Bench, bench, has_started, identity

ASK = Rights(may_manage=False, whom_to_ask=("Ann Lee",))
ELSEWHERE = Rights(may_manage=False, places=("#training",))
LINE = "/finetune fill.name=Nova fill.author=Acme base_model=tiny-instruct preset=quick start"


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home") as made:
        yield made


@pytest.mark.parametrize(
    "command", ["/stop", "/stop identity-1", "/retry identity-1", "/delete identity-1 yes", "/deploy", "/undeploy x"]
)
async def test_a_refusal_says_whom_to_ask(talk: Bench, command: str) -> None:
    (reply,) = await talk.say(command, rights=ASK)
    assert isinstance(reply, Text)
    assert reply.markdown.endswith("Ask Ann Lee.")
    assert not talk.went_well


async def test_a_plan_is_made_by_anybody_and_started_by_who_may(talk: Bench, tmp_path: Path) -> None:
    replies = await talk.say(LINE, files=[identity(tmp_path / "identity.jsonl")], rights=ELSEWHERE, language="zh-CN")
    assert not has_started(replies)
    assert any(isinstance(reply, Text) and "只能在#training中进行" in reply.markdown for reply in replies)
    assert await talk.draft() is not None
    assert has_started(await talk.say("start", user="ann"))
    (run,) = await talk.runs()
    assert (await talk.user_name(run.user_id)) == "ann"


async def test_answers_are_stopped_and_lists_read_by_everybody(talk: Bench) -> None:
    assert "Ann Lee" not in str(await talk.say("/stop answer", rights=ASK))
    assert "Ann Lee" not in str(await talk.say("/runs", rights=ASK))
    assert "Ann Lee" in str(await talk.say("/models add /nowhere", rights=ASK))
