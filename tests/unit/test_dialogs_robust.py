"""Restarts between any two turns, two tabs, and anything at all typed at any question."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.draft import Draft
from bot.replies import Form, Question, Review, Text
from bot.texts import texts
from tests.conversing import Bench, add_base_model, bench, has_started, identity, support
from tests.recording import words

GARBAGE = (
    "", " \n", "🤖🔥", "是", "{{name}}", "%s {}", "0", "-1", "1e999", "99999999999999999999", "==", "fill.=", "lr=",
    "epochs=epochs", "//", "@", "\x00'; DROP TABLE", "<b>[link](http://x)", "学" * 5000, "lr 1e-4 " * 300, "a b " * 400,
    "什么", "lr=1e-4=2", "“", "base_model=", "İßﬁ",
)  # fmt: skip


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home") as made:
        yield made


def is_bug(replies: object, desk: Bench) -> bool:
    said = {texts(language)("error.bug") for language in ("en", "zh-CN")}
    return any(isinstance(reply, Text) and reply.markdown in said for reply in desk.face.visible("thread"))


OPENINGS = {
    "dataset": ("/finetune",),
    "bad_rows": ("FILE:support",),
    "fill": ("FILE:identity",),
    "base_model": ("FILE:identity", "Nova", "Acme"),
    "preset": ("FILE:identity", "Nova", "Acme", "1"),
    "form": ("FILE:identity", "Nova", "Acme", "1", "custom"),
    "review": ("FILE:identity", "Nova", "Acme", "1", "quick"),
    "offer": ("FILE:identity", "Nova", "FILE:support"),
}


async def open_at(desk: Bench, tmp_path: Path, where: str, *, thread: str = "thread") -> Draft:
    for said in OPENINGS[where]:
        if said == "FILE:support":
            await desk.say(files=[support(tmp_path / "support.jsonl")], thread=thread)
        elif said == "FILE:identity":
            await desk.say(files=[identity(tmp_path / "identity.jsonl")], thread=thread)
        else:
            await desk.say(said, thread=thread)
    draft = await desk.draft(thread)
    assert draft is not None
    assert draft.open.partition(".")[0] == where
    return draft


def keeps(before: Draft, after: Draft | None) -> bool:
    """Whether everything given is still there, or was answered anew."""
    return (
        after is not None
        and after.version_id is not None
        and before.fills.keys() <= after.fills.keys()
        and before.values.keys() <= after.values.keys()
        and bool(after.base_model or not before.base_model)
        and bool(after.preset or not before.preset)
    )


@pytest.mark.parametrize("where", [where for where in OPENINGS if where != "dataset"])
async def test_garbage_at_every_question_loses_nothing(desk: Bench, tmp_path: Path, where: str) -> None:
    before = await open_at(desk, tmp_path, where)
    for place, garbage in enumerate(GARBAGE):
        replies = await desk.say(garbage, language="zh-CN" if place % 2 else "en")
        assert not is_bug(replies, desk), f"{garbage[:60]!r} at {where}"
        assert replies, f"silence after {garbage[:60]!r}"
        after = await desk.draft()
        assert keeps(before, after), f"{garbage[:60]!r} at {where}"
        assert isinstance(replies[-1], Question | Review | Form), garbage[:60]


async def test_garbage_while_a_data_set_is_asked_for(desk: Bench, tmp_path: Path) -> None:
    await open_at(desk, tmp_path, "dataset")
    for garbage in GARBAGE:
        assert not is_bug(await desk.say(garbage), desk), garbage[:60]


async def test_any_text_at_any_question(desk: Bench, tmp_path: Path) -> None:
    """Hypothesis makes the texts; they are said in threads that wait at different questions."""
    places = ["bad_rows", "fill", "base_model", "preset", "review"]
    begun = {place: await open_at(desk, tmp_path, place, thread=place) for place in places}
    pieces = st.sampled_from(
        ["lr", "学习率", "=", " ", "1e-4", "改成", "秩", "16", ",", "，", "均衡", "best", "fill.name", "“", "@", "?"]
    )
    said = st.one_of(st.text(max_size=80), st.lists(pieces, max_size=12).map("".join))
    loop = asyncio.get_running_loop()
    texts_said: list[tuple[str, str]] = []

    @given(place=st.sampled_from(places), text=said.filter(lambda text: not text.strip().startswith("/")))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def collect(place: str, text: str) -> None:
        texts_said.append((place, text))

    await loop.run_in_executor(None, collect)
    for place, text in texts_said:
        replies = await desk.say(text, thread=place)
        bug = texts("en")("error.bug")
        assert bug not in [reply.markdown for reply in replies if isinstance(reply, Text)], (place, text)
        after = await desk.draft(place)
        if after is None:
            # The words were a cancel or a start: begin again.
            begun[place] = await open_at(desk, tmp_path, place, thread=place)
        else:
            assert keeps(begun[place], after), (place, text)


async def test_a_restart_between_any_two_turns(tmp_path: Path) -> None:
    home = tmp_path / "home"
    turns = ["FILE", "Nova", "Acme", "1", "balanced, rank 16", "epochs 2", "start"]
    for place, said in enumerate(turns):
        async with bench(home, base_models=("tiny-instruct",) if place == 0 else ()) as desk:
            files = [identity(tmp_path / "identity.jsonl")] if said == "FILE" else []
            replies = await desk.say("" if files else said, files=files, event_id=f"event {place}")
            assert desk.went_well
            if said == "start":
                assert has_started(replies)
                (run,) = await desk.runs()
                assert (run.fills, run.spec["lora_rank"]) == ({"name": "Nova", "author": "Acme"}, 16)


async def test_a_delivery_again_after_a_restart_does_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with bench(home) as desk:
        await desk.say(files=[identity(tmp_path / "identity.jsonl")], event_id="a")
        await desk.say("Nova", event_id="b")
        before = await desk.draft()
    async with bench(home, base_models=()) as desk:
        assert await desk.say("Nova", event_id="b") == []
        assert await desk.draft() == before


async def test_two_tabs_answer_the_same_question(desk: Bench, tmp_path: Path) -> None:
    await open_at(desk, tmp_path, "base_model")
    await desk.say("tiny-instruct", about="base_model")
    replies = await desk.say("tiny-instruct", about="base_model")
    assert "answered like this already" in words(replies[-1])
    open_now = desk.open_question()
    assert isinstance(open_now, Question)
    assert open_now.id == "preset"


async def test_an_answered_question_shows_its_answer(desk: Bench, tmp_path: Path) -> None:
    await open_at(desk, tmp_path, "preset")
    questions = [reply for reply in desk.face.visible("thread") if isinstance(reply, Question)]
    assert [(question.id, question.answered) for question in questions] == [
        ("fill.name", "Nova"),
        ("fill.author", "Acme"),
        ("base_model", "tiny-instruct"),
        ("preset", None),
    ]


async def test_a_button_of_an_earlier_question_changes_that_answer(desk: Bench, tmp_path: Path) -> None:
    await add_base_model(desk.world.store, desk.world.settings.models_folder / "second-instruct")
    await open_at(desk, tmp_path, "preset")
    replies = await desk.say("second-instruct", about="base_model")
    assert "Noted: Base model second-instruct" in "\n".join(map(words, replies))
    draft = await desk.draft()
    assert draft is not None
    assert (draft.base_model, draft.open) == ("second-instruct", "preset")
    await desk.say("best")
    replies = await desk.say("quick", about="preset")
    assert isinstance(replies[-1], Review)
    draft = await desk.draft()
    assert draft is not None
    assert draft.preset == "quick"


async def test_turns_at_once_in_many_threads(desk: Bench, tmp_path: Path) -> None:
    path = identity(tmp_path / "identity.jsonl")
    threads = [f"thread {place}" for place in range(6)]
    await asyncio.gather(*(desk.say(files=[path], thread=thread, event_id=f"{thread} file") for thread in threads))
    for said in ("Nova", "Acme", "1", "quick", "start"):
        await asyncio.gather(*(desk.say(said, thread=thread, event_id=f"{thread} {said}") for thread in threads))
    assert sorted(run.name for run in await desk.runs()) == sorted(f"identity-{number}" for number in range(1, 7))


async def test_a_model_that_cannot_learn_from_the_data_is_said(desk: Bench, tmp_path: Path) -> None:
    folder = desk.world.settings.models_folder / "odd-instruct"
    await add_base_model(desk.world.store, folder, template="{{ raise_exception('only one turn') }}")
    await open_at(desk, tmp_path, "base_model")
    replies = await desk.say("odd-instruct")
    seen = "\n".join(map(words, replies))
    assert "**odd-instruct** cannot learn from this data" in seen
    assert "only one turn" in seen
    open_now = desk.open_question()
    assert isinstance(open_now, Question)
    assert open_now.id == "base_model"
    await desk.say("tiny-instruct")
    assert has_started(await desk.say("start"))


@pytest.mark.parametrize("where", OPENINGS)
async def test_every_button_can_be_pressed_and_typed(desk: Bench, tmp_path: Path, where: str) -> None:
    """In a thread for each, pressed in English and typed in Chinese: it must never be "I did not understand"."""
    await open_at(desk, tmp_path, where)
    waiting = desk.face.last("thread")
    assert isinstance(waiting, Question | Review | Form)
    hints = waiting.hints if isinstance(waiting, Question) else ()
    for choice in (*waiting.choices, *hints):
        for about, language in ((waiting.id, "en"), (None, "zh-CN")):
            thread = f"{choice.say} {about}"
            await open_at(desk, tmp_path, where, thread=thread)
            await desk.say(f"/language {language}", thread=thread)
            replies = await desk.say(choice.say, about=about, thread=thread)
            assert replies
            assert desk.went_well, (choice, [words(reply) for reply in replies])


async def test_without_a_base_model_the_way_to_one_is_shown(tmp_path: Path) -> None:
    async with bench(tmp_path / "home", base_models=()) as desk:
        replies = await desk.say(files=[support(tmp_path / "support.jsonl", bad=0)])
        assert "tokens are not counted" in words(replies[0])
        assert "There is no base model here yet" in words(replies[-1])
        for said in ("skip", "start", "anything", "quick, 2 epochs"):
            await desk.say(said)
            open_now = desk.open_question()
            assert isinstance(open_now, Question)
            assert open_now.id == "base_model"
        await add_base_model(desk.world.store, desk.world.settings.models_folder / "mine")
        replies = await desk.say("mine")
        assert isinstance(replies[-1], Review)
        assert has_started(await desk.say("start"))
