"""Talking to a model in a thread."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.replies import Comparison, Log, Reply
from bot.routing import Waiting
from bot.speaking import SECONDS_BETWEEN_SHOWINGS, Speaking
from storage.artifact_errors import StoreUnavailable
from storage.models import Host, Message, Model, Service, Thread
from storage.states import MessageState
from tests.living import Living, living, make_due, until


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Living]:
    """A thread that talks to a tuned model."""
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        assert not await life.is_busy()
        yield life


async def asked(life: Living) -> list[dict[str, str]]:
    """The messages of the last request."""
    host = await life.row(Host)
    messages: list[dict[str, str]] = life.servers.hosts[host.id].requests[-1]["messages"]
    return messages


async def test_the_history_goes_with_every_question_and_each_speaker_has_its_own(life: Living) -> None:
    model = (await life.rows(Model))[-1]
    await life.house.say("One")
    await life.house.say("Two")
    said = [(message["role"], message["content"]) for message in await asked(life)]
    assert said == [("user", "One"), ("assistant", f"{model.id} heard: One"), ("user", "Two")]
    await life.house.say("/base")
    await life.house.say("Three")
    assert [message["content"] for message in await asked(life)] == ["Three"]
    answer = life.answers()[-1]
    assert (answer.author, answer.speaker) == ("tiny-instruct (base)", "base")
    assert answer.markdown == "tiny-instruct heard: Three"
    assert life.notices()[-1] == "You are talking to tiny-instruct (base)"
    await life.house.say("/tuned")
    await life.house.say("Four")
    assert len(await asked(life)) == 5


async def test_a_switch_with_a_question_asks_it(life: Living) -> None:
    await life.house.say("/base Who are you?")
    assert [message["content"] for message in await asked(life)] == ["Who are you?"]
    assert (life.answers()[-1].speaker, life.answers()[-1].markdown) == ("base", "tiny-instruct heard: Who are you?")


async def test_the_answer_is_there_before_it_is_spoken_and_grows(life: Living) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    host.answer, host.is_held = lambda *_: " ".join(["word"] * 12), True
    speaking = asyncio.create_task(life.house.say("Who are you?"))
    for count in range(1, 8):
        host.let_go = 1
        await until(lambda count=count: words_shown(life) == count)  # type: ignore[misc]
        await asyncio.sleep(SECONDS_BETWEEN_SHOWINGS)
    host.is_held = False
    await speaking
    states = [
        (reply.state, len(reply.markdown.split())) for _, _, reply in life.house.face.showings if reply.kind == "answer"
    ]
    assert states[:2] == [("streaming", 0), ("streaming", 1)]
    assert states[-1] == ("complete", 12)
    counts = [count for _, count in states]
    assert counts == sorted(counts)
    assert counts[:8] == list(range(8))
    assert len(states) <= 15


def words_shown(life: Living) -> int:
    """Of the last answer."""
    return len(life.answers()[-1].markdown.split()) if life.answers() else 0


async def test_two_messages_in_a_thread_are_answered_one_after_the_other(life: Living) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    host.between_tokens_s = 0.01
    await asyncio.gather(life.house.say("One"), life.house.say("Two"))
    assert [message["content"] for message in await asked(life)][0::2] == ["One", "Two"]
    assert [answer.state for answer in life.answers()] == ["complete", "complete"]


async def stop_in_the_middle(life: Living) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    host.answer, host.is_held, host.let_go = lambda *_: " ".join(["word"] * 1000), True, 10
    speaking = asyncio.create_task(life.house.say("Tell me everything"))
    await until(lambda: words_shown(life) > 0)
    await life.house.say("/stop answer")
    await speaking
    await until(lambda: host.running == 0)
    host.is_held = False


async def test_a_stopped_answer_is_kept_and_the_server_stops(life: Living) -> None:
    await stop_in_the_middle(life)
    answer = life.answers()[-1]
    assert (answer.state, answer.note) == ("stopped", "Stopped.")
    assert answer.markdown.startswith("word")
    assert answer.choices == ()
    await life.house.say("/stop answer")
    assert life.notices()[-1] == "No answer is under way here."


async def two_under_way(life: Living) -> list[asyncio.Task[list[Reply]]]:
    """An answer that is spoken, and one that waits for its turn."""
    host = life.servers.hosts[(await life.row(Host)).id]
    host.answer, host.is_held, host.let_go = lambda *_: "one two three", True, 1
    first = asyncio.create_task(life.house.say("First"))
    await until(lambda: words_shown(life) > 0)
    second = asyncio.create_task(life.house.say("Second"))
    await until(lambda: len(life.answers()) == 2)
    return [first, second]


async def test_the_button_of_an_answer_stops_that_one(life: Living) -> None:
    saying = await two_under_way(life)
    [stop] = life.answers()[1].choices
    await life.house.say(stop.say)
    await until(lambda: life.answers()[1].state == "stopped")
    assert (life.answers()[1].note, life.answers()[1].choices) == ("Stopped.", ())
    assert life.answers()[0].state == "streaming"
    life.servers.hosts[(await life.row(Host)).id].is_held = False
    await asyncio.gather(*saying)
    assert [(answer.state, answer.markdown) for answer in life.answers()] == [
        ("complete", "one two three"),
        ("stopped", ""),
    ]
    await life.house.say(stop.say)
    assert life.notices()[-1] == "No answer is under way here."
    await life.house.say("Third")
    assert [message["content"] for message in await asked(life)] == ["First", "one two three", "Third"]


async def test_to_stop_without_saying_what_stops_all_that_is_said_in_the_thread(life: Living) -> None:
    saying = await two_under_way(life)
    await life.house.say("/stop answer")
    await asyncio.gather(*saying)
    assert [(answer.state, answer.markdown) for answer in life.answers()] == [("stopped", "one"), ("stopped", "")]
    assert not await life.is_busy()


async def test_an_answer_is_stopped_before_its_first_look_at_the_database(
    life: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    before = len(host.requests)
    begin, may_begin = Speaking._begin, asyncio.Event()

    async def begin_late(speaking: Speaking, message_id: str) -> object:
        await may_begin.wait()
        return await begin(speaking, message_id)

    monkeypatch.setattr(Speaking, "_begin", begin_late)
    saying = asyncio.create_task(life.house.say("Tell me everything"))
    await until(lambda: life.answers() != [])
    await life.house.say(life.answers()[-1].choices[0].say)
    may_begin.set()
    await saying
    assert life.answers()[-1].state == "stopped"
    assert len(host.requests) == before


async def test_the_end_of_the_server_interrupts_an_answer_that_grows(life: Living) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    host.answer, host.is_held, host.let_go = lambda *_: "one two three", True, 1
    async with life.house.application.running():
        saying = asyncio.create_task(life.house.say("Count"))
        await until(lambda: words_shown(life) > 0)
    assert life.servers.hosts == {}
    with pytest.raises(asyncio.CancelledError):
        await saying
    [message] = [row for row in await life.rows(Message) if row.body["kind"] == "answer"]
    assert (message.body["state"], message.body["markdown"]) == ("interrupted", "one")
    assert message.body["choices"][0]["say"] == "Count"


async def test_stopping_says_nothing_of_other_threads(life: Living) -> None:
    await life.house.say("/chat", thread="thread-2")
    await life.house.say("/stop answer", thread="thread-2")
    assert life.notices("thread-2")[-1] == "No answer is under way here."
    await life.house.say("Hello", thread="thread-2")
    assert life.answers("thread-2")[-1].state == "complete"


async def test_a_killed_vllm_makes_the_message_wait_and_then_answers_it(life: Living) -> None:
    await life.house.say("One")
    life.servers.kill((await life.row(Host)).id)
    waiting = asyncio.create_task(life.house.say("Two"))
    await until(lambda: bool(life.answers()[-1].note) and life.answers()[-1].state == "streaming")
    assert "Your message waits" in life.answers()[-1].note
    await life.loops.once()
    assert life.card("service").is_live
    await make_due(life)
    for _ in range(3):
        await life.loops.once()
    assert await waiting is not None
    answer = life.answers()[-1]
    assert (answer.state, answer.note) == ("complete", "")
    assert answer.markdown.endswith("heard: Two")


async def test_an_answer_that_breaks_off_says_so_and_can_be_asked_again(life: Living) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    host.answer, host.breaks_after = lambda *_: "one two three four", 2
    await life.house.say("Count")
    answer = life.answers()[-1]
    assert answer.state == "failed"
    assert answer.markdown == "one two"
    assert answer.choices[0].say == "Count"
    host.breaks_after = None
    await life.house.say("Count")
    assert [message["content"] for message in await asked(life)] == ["Count"], "what failed is no history"


async def test_a_message_that_does_not_fit_is_refused_with_numbers(life: Living) -> None:
    await life.house.say("word " * 9000)
    answer = life.answers()[-1]
    assert answer.state == "failed"
    assert "too long" in answer.note
    assert "7,680" in answer.note


async def make_silent(life: Living) -> None:
    def change(messages: list[Message]) -> None:
        for message in messages:
            message.updated_at = datetime(2000, 1, 1, tzinfo=UTC)

    await life.execute(change)


async def test_an_answer_whose_server_was_killed_is_marked_and_can_be_asked_again(
    life: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> bool:
        return False

    with monkeypatch.context() as patched:
        patched.setattr("bot.speaking.Speaking.speak", die)
        await life.house.say("Who are you?")
    assert life.answers()[-1].state == "streaming"
    await life.loops.once()
    assert life.answers()[-1].state == "streaming", "somebody may still be speaking"
    assert await life.is_busy()
    await make_silent(life)
    await life.loops.once()
    answer = life.answers()[-1]
    assert (answer.state, answer.choices[0].say) == ("interrupted", "Who are you?")
    assert not await life.is_busy()
    await life.house.say(answer.choices[0].say)
    assert [message["content"] for message in await asked(life)] == ["Who are you?"]


async def test_partial_text_is_saved_every_second(life: Living) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    host.answer, host.is_held, host.let_go = lambda *_: " ".join(["word"] * 400), True, 10
    speaking = asyncio.create_task(life.house.say("Tell me"))
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0.1)
            kept = [row for row in await life.rows(Message) if row.body["kind"] == "answer"]
            if kept and kept[-1].body["markdown"]:
                break
    message = kept[-1]
    assert message.state is MessageState.STREAMING
    assert not speaking.done()
    host.is_held = False
    await speaking


async def test_compare_asks_both(life: Living) -> None:
    await life.house.say("What is your name?")
    await life.house.say("/compare")
    comparison = life.shown(Comparison)[-1]
    [row] = comparison.rows
    assert row.question == "What is your name?"
    assert row.base == "tiny-instruct heard: What is your name?"
    assert row.tuned.endswith("heard: What is your name?")
    assert comparison.note == ""
    await life.house.say("/compare And yours?")
    assert life.shown(Comparison)[-1].rows[0].question == "And yours?"
    assert not await life.is_busy()


def comparison(life: Living) -> Comparison | None:
    """The last one."""
    shown = life.shown(Comparison)
    return shown[-1] if shown else None


def note_of(life: Living) -> str:
    found = comparison(life)
    return found.note if found else ""


async def test_a_comparison_is_stopped(life: Living) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    host.is_held = True
    saying = asyncio.create_task(life.house.say("/compare Who are you?"))
    await until(lambda: host.running == 2)
    await life.house.say("/stop answer")
    await saying
    assert note_of(life) == "Stopped."
    await until(lambda: host.running == 0)
    assert not await life.is_busy()
    host.is_held = False


async def test_a_comparison_asks_once_more_where_the_server_fails(life: Living) -> None:
    host = life.servers.hosts[(await life.row(Host)).id]
    before, host.breaks_after = len(host.requests), 0
    saying = asyncio.create_task(life.house.say("/compare Who are you?"))
    await until(lambda: len(host.requests) == before + 2 and host.running == 0)
    host.breaks_after = None
    await saying
    found = comparison(life)
    assert found is not None
    assert [found.rows[0].base, found.rows[0].tuned.split()[1]] == ["tiny-instruct heard: Who are you?", "heard:"]
    assert found.note == ""


async def test_a_comparison_says_in_a_sentence_why_there_is_none(life: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble: list[Exception] = [StoreUnavailable("the bucket is away"), RuntimeError("a bug")]

    async def fail(*_: object, **__: object) -> None:
        raise trouble[0]

    monkeypatch.setattr(Speaking, "request", fail)
    for words in ("the bucket is away", "Something went wrong"):
        await life.house.say("/compare Who are you?")
        found = comparison(life)
        assert found is not None
        assert words in found.rows[0].base
        assert words in found.rows[0].tuned
        assert found.note == ""
        assert not await life.is_busy()
        trouble.pop(0)


async def test_a_comparison_tells_its_place_in_the_queue(life: Living) -> None:
    routes, service, leave = life.house.application.routes, await life.row(Service), asyncio.Event()

    async def be_patient(_: Waiting) -> None:
        pass

    async def hold() -> None:
        async with routes.lease(service.id, asks_base=False, sticky="another", waiting=be_patient):
            await leave.wait()

    holding = [asyncio.create_task(hold()) for _ in range(8)]
    await until(lambda: life.house.application.world.meters.of(service.id).running == 8)
    saying = asyncio.create_task(life.house.say("/compare Who are you?"))
    await until(lambda: note_of(life) == "The model is busy. You are next.")
    leave.set()
    await asyncio.gather(*holding, saying)
    found = comparison(life)
    assert found is not None
    assert found.rows[0].tuned.endswith("heard: Who are you?")
    assert found.note == ""


async def test_system_prompt_and_sampling(life: Living) -> None:
    await life.house.converse(
        [
            ("/system", "There is no system prompt"),
            ("/system Answer like a pirate.", "The system prompt is set"),
            ("/system", "> Answer like a pirate."),
            ("/params temperature=0.5 max_tokens=20", "`temperature` = 0.5"),
            ("/params temperature=9", "temperature"),
            ("/params hotter", "name=value"),
            ("/params heat=1", "There is no parameter heat"),
        ]
    )
    await life.house.say("Hello")
    assert (await asked(life))[0] == {"role": "system", "content": "Answer like a pirate."}
    host = life.servers.hosts[(await life.row(Host)).id]
    assert host.requests[-1]["temperature"] == 0.5
    assert host.requests[-1].get("max_completion_tokens", host.requests[-1].get("max_tokens")) == 20
    await life.house.converse([("/system reset", "own system prompt"), ("/params reset", "`temperature` = 0.2")])
    await life.house.say("Hello")
    assert (await asked(life))[0]["role"] == "user"


async def test_the_system_prompt_of_the_data_is_the_models_own(life: Living) -> None:
    async with life.house.application.world.store.transaction() as session:
        model = await session.get_one(Model, (await life.rows(Model))[-1].id)
        model.system_prompt = "You are Nova."
    await life.house.say("Hello")
    assert (await asked(life))[0] == {"role": "system", "content": "You are Nova."}
    await life.house.say("/base")
    await life.house.say("Hello")
    assert (await asked(life))[0]["role"] == "user", "the base model never saw it"


async def test_leaving_and_coming_back(life: Living) -> None:
    await life.house.say("/leave")
    thread = next(row for row in await life.rows(Thread) if row.face_key == "thread-1")
    assert thread.service_id is None
    await life.house.converse([("/base", "Nobody answers"), ("/chat", "You are talking to"), ("Hello", "heard: Hello")])
    await life.house.converse([("/services", "Ready"), ("/undeploy", "is ended"), ("Hello", "I turn a data set")])


async def test_lists_name_what_is_there_and_what_to_do(life: Living) -> None:
    run_name = life.card("run").title
    await life.house.converse(
        [
            ("/runs", "Finished in"),
            ("/models", "tuned, being served"),
            ("/status", "Step 10 of"),
            (f"/status {run_name}x", f"Did you mean `{run_name}`?"),
            ("/stop", "has ended already"),
            ("/retry", "nothing to retry"),
        ]
    )
    assert isinstance((await life.house.say("/logs 3"))[-1], Log)
    log = life.shown(Log)[-1]
    assert len(log.text.splitlines()) == 3


async def test_commands_have_words_for_nothing(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.house.converse(
            [
                ("/runs", "There are no runs yet"),
                ("/status", "There are no runs yet"),
                ("/logs", "There are no runs yet"),
                ("/stop", "There are no runs yet"),
                ("/services", "No service is running"),
                ("/deploy", "There is no tuned model yet"),
                ("/undeploy", "No service is running"),
                ("/chat", "No service is running"),
                ("/compare Hello", "Nobody answers"),
                ("/models", "tiny-instruct"),
                ("/models add", "ORGANISATION/NAME"),
                ("/models add nothing-here", "neither a folder"),
                (f"/models add {tmp_path}/no-such-folder", "no-such-folder"),
            ]
        )
        await life.house.converse([("/runs", "还没有运行")], thread="zh", language="zh-CN")


async def test_a_button_sends_the_question_itself(life: Living) -> None:
    from bot.turns import ThreadRef, Turn

    turn = Turn(
        event_id="pressed", thread=ThreadRef(face="test", key="thread-1"), text="Who are you?", said_as="Ask again"
    )
    await life.house.assistant.handle(turn)
    answer = life.answers()[-1]
    assert answer.markdown.endswith("heard: Who are you?")
    assert [row.body["text"] for row in await life.rows(Message) if row.role == "user"][-1] == "Who are you?"
