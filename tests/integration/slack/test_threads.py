"""A person in Slack: from a file to a model that answers, and everything that they may press on the way."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.slack.modal import RATE
from storage.models import Rating
from storage.states import RunState
from tests.conversing import identity
from tests.fake_runs import FakeRuns
from tests.fake_vllm import FakeModelServer
from tests.living import until
from tests.slack_emulator import SlackMessage
from tests.slack_talk import SlackTalk, slack_talk

LINE = "!finetune fill.name=Nova fill.author=Acme base_model=tiny-instruct preset=quick start"


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[SlackTalk]:
    async with slack_talk(tmp_path / "home") as made:
        yield made


def engines(talk: SlackTalk) -> tuple[FakeRuns, FakeModelServer]:
    runs, servers = talk.application.world.runs, talk.application.world.servers
    assert isinstance(runs, FakeRuns)
    assert isinstance(servers, FakeModelServer)
    return runs, servers


def types(message: SlackMessage) -> list[str]:
    return [str(block["type"]) for block in message.blocks]


def message_with(talk: SlackTalk, words: str) -> SlackMessage:
    return next(message for message in reversed(talk.messages()) if words in message.words)


async def begin(talk: SlackTalk, tmp_path: Path) -> FakeRuns:
    """Begin a run; it is running."""
    await talk.say(LINE, files=[identity(tmp_path / "identity.jsonl")])
    runs, _ = engines(talk)
    await until(lambda: bool(runs.attempts))
    runs.advance()
    await until(lambda: next(iter(runs.attempts.values())).status.state is RunState.RUNNING)
    return runs


async def serve(talk: SlackTalk, tmp_path: Path) -> None:
    """As above, until the thread talks to the model, and nothing else asks it."""
    runs = await begin(talk, tmp_path)
    runs.finish()
    await until(lambda: "You are talking to identity-1" in talk.words())
    await talk.at_rest()


async def test_a_run_lives_in_one_message_and_ends_with_its_curve(talk: SlackTalk, tmp_path: Path) -> None:
    runs = await begin(talk, tmp_path)
    runs.advance(4)
    await until(lambda: "Step 4 of 10" in talk.words())
    card = message_with(talk, "Step 4 of 10")
    assert {"Stop", "Logs"} <= set(card.buttons)
    runs.advance(6)
    await until(lambda: "Step 10 of 10" in talk.words())
    await talk.quiet()
    done = message_with(talk, "Step 10 of 10")
    assert done.ts == card.ts
    assert "image" in types(done)
    assert "Stop" not in done.buttons
    # The pictures before the last one are gone.
    assert sum(not file.is_deleted for file in talk.slack.files.values() if file.name == "loss.png") == 1


@pytest.mark.parametrize("has_earlier", [False, True])
async def test_a_card_whose_picture_slack_does_not_look_at_keeps_its_buttons(
    talk: SlackTalk, tmp_path: Path, has_earlier: bool
) -> None:
    runs = await begin(talk, tmp_path)
    talk.slack.looking_seconds = 0.0 if has_earlier else 3600.0
    runs.advance(4)
    await until(lambda: "Step 4 of 10" in talk.words())
    card = message_with(talk, "Step 4 of 10")
    assert {"Stop", "Logs"} <= set(card.buttons)
    pictures = [block for block in card.blocks if block["type"] == "image"]
    assert bool(pictures) == has_earlier
    talk.slack.looking_seconds = 3600.0
    runs.advance(6)
    await until(lambda: "Step 10 of 10" in talk.words())
    await talk.quiet()
    assert "Logs" in card.buttons
    # The picture before, if there is one, stays; what nobody sees is not left in the workspace.
    assert [block["slack_file"] for block in card.blocks if block["type"] == "image"] == [
        picture["slack_file"] for picture in pictures
    ]
    assert sum(not file.is_deleted for file in talk.slack.files.values() if file.name == "loss.png") == has_earlier


async def test_stop_and_logs_are_buttons(talk: SlackTalk, tmp_path: Path) -> None:
    runs = await begin(talk, tmp_path)
    runs.advance(2)
    await talk.press("Logs")
    await until(lambda: "step 2 of 10" in talk.words())
    await talk.press("Stop")
    # The loops tell the backend a moment after the person was answered.
    (known,) = runs.attempts.values()
    await until(lambda: known.is_stopping)
    runs.finish()
    await until(lambda: "Stopped" in talk.words() or "Keep" in talk.words())


async def test_the_tuned_model_answers_and_its_answer_is_rated(talk: SlackTalk, tmp_path: Path) -> None:
    await serve(talk, tmp_path)
    answered = await talk.say("Who are **you** & <who>?")
    assert "heard: Who are **you** & <who>?" in answered.replace("&amp;", "&")
    answer = talk.messages()[-1]
    assert types(answer) == ["context", "markdown", "context_actions"]
    await talk.person.rate(talk.channel, answer.ts, "good")
    await talk.person.rate(talk.channel, answer.ts, "bad")
    async with talk.application.world.store.reading() as session:
        (rating,) = (await session.scalars(select(Rating))).all()
    assert rating.is_good is False
    assert RATE in {
        element["action_id"]
        for block in answer.blocks
        for element in block.get("elements", ())
        if "action_id" in element
    }


async def test_an_answer_grows_and_is_stopped(talk: SlackTalk, tmp_path: Path) -> None:
    await serve(talk, tmp_path)
    _, servers = engines(talk)
    host = next(iter(servers.hosts.values()))
    host.answer, host.between_tokens_s = lambda model, messages: " ".join(f"word{n}" for n in range(400)), 0.2
    await talk.person.post(talk.channel, "Tell me a long story", thread=talk.root)
    await until(lambda: "word5" in talk.words())
    answer = talk.messages()[-1]
    assert answer.is_streaming
    seen = len(answer.words)
    await until(lambda: len(answer.words) > seen + 40)
    await talk.person.press(talk.channel, answer.ts, "Stop generating")
    await until(lambda: not answer.is_streaming)
    await talk.quiet()
    await until(lambda: host.running == 0)
    assert "word399" not in answer.words
    assert "Stop generating" not in answer.buttons
    assert talk.messages()[-1].ts == answer.ts


async def test_a_long_answer_is_split_and_its_code_stays_whole(talk: SlackTalk, tmp_path: Path) -> None:
    await serve(talk, tmp_path)
    _, servers = engines(talk)
    code = "\n".join(f"line_{n} = {n}" for n in range(1500))
    next(iter(servers.hosts.values())).context_tokens = 100_000
    next(iter(servers.hosts.values())).answer = lambda model, messages: (
        f"Look:\n\n```python\n{code}\n```\n\nThat was it."
    )
    await talk.say("!params max_tokens=5000")
    before = len(talk.messages())
    await talk.say("code, please")
    parts = talk.messages()[before:]
    assert len(parts) > 1
    for part in parts:
        assert part.words.count("```") % 2 == 0
    shown = "\n".join(part.words for part in parts)
    assert [line for line in shown.split("\n") if line.startswith("line_")] == code.split("\n")
    assert "That was it." in parts[-1].words


async def test_a_stream_that_slack_ended_goes_on_by_edits(talk: SlackTalk, tmp_path: Path) -> None:
    await serve(talk, tmp_path)
    _, servers = engines(talk)
    host = next(iter(servers.hosts.values()))
    host.answer, host.between_tokens_s = lambda model, messages: " ".join(f"word{n}" for n in range(400)), 0.2
    talk.slack.stream_seconds = 2.0
    await talk.person.post(talk.channel, "go on", thread=talk.root)
    await until(lambda: "word30" in talk.words())
    growing = talk.messages()[-1]
    assert host.running == 1
    assert not growing.is_streaming
    assert "Stop generating" in growing.buttons
    host.between_tokens_s = 0.0
    await until(lambda: "word399" in talk.words())
    await talk.quiet()
    assert talk.messages()[-1] is growing
    assert "Stop generating" not in growing.buttons


async def test_two_people_talk_to_the_model_of_a_thread(talk: SlackTalk, tmp_path: Path) -> None:
    bob = talk.workspace.add_user("Bob")
    talk.channel = talk.workspace.add_channel("general", members=(talk.person, bob))
    talk.root = await talk.person.post(talk.channel, "@Tunesmith hello")
    await talk.quiet()
    await serve(talk, tmp_path)
    assert "heard: And I am Bob" in await replace_person(talk, bob).say("And I am Bob")


def replace_person(talk: SlackTalk, person: object) -> SlackTalk:
    return SlackTalk(**{**vars(talk), "person": person})


async def test_the_form_is_a_modal_with_errors_at_its_fields(talk: SlackTalk, tmp_path: Path) -> None:
    await talk.say(
        "!finetune fill.name=Nova fill.author=Acme base_model=tiny-instruct",
        files=[identity(tmp_path / "identity.jsonl")],
    )
    await talk.say("custom")
    await talk.person.press(talk.channel, talk.messages()[-1].ts, "All settings")
    modal = talk.person.modal
    assert modal is not None
    assert "Learning rate" in modal.words
    errors = await talk.person.submit({"learning_rate": "fast", "epochs": "3"})
    assert set(errors) == {"learning_rate"}
    assert talk.person.modal is not None
    assert await talk.person.submit({"learning_rate": "3e-4", "epochs": "3"}) == {}
    assert talk.person.modal is None
    await talk.quiet()
    assert "The plan: identity-1" in talk.words()
    assert "3e-4" in talk.words()


async def test_a_button_of_an_earlier_question_changes_that_answer(talk: SlackTalk, tmp_path: Path) -> None:
    await talk.say(files=[identity(tmp_path / "identity.jsonl")])
    await talk.say("Nova")
    await talk.say("Acme")
    assert "Which base model?" in talk.words()
    assert "How thorough?" in await talk.press("tiny-instruct")
    assert "The plan: identity-1" in await talk.press("Quick")
    assert await talk.press("Cancel")
    assert "put aside" in talk.words()


async def test_a_label_may_be_typed(talk: SlackTalk) -> None:
    assert "Fine-tune a model" in await talk.say("hello")
    assert "no runs" in (await talk.say("My runs")).lower()


async def test_several_people_at_once_keep_their_threads(talk: SlackTalk, tmp_path: Path) -> None:
    people = [talk.workspace.add_user(f"Person {n}", locale="zh-CN" if n % 2 else "en-US") for n in range(6)]
    talks = [SlackTalk(**{**vars(talk), "person": one, "channel": one.dm, "root": None}) for one in people]
    news = await asyncio.gather(*(one.say("/help".replace("/", "!")) for one in talks))
    for place, words in enumerate(news):
        assert ("命令" in words) == bool(place % 2)
        assert len(talks[place].messages()) == 1
