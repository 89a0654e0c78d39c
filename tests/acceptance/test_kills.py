"""Kill -9 at the worst moments: nothing is lost, nothing shows twice, what runs goes on."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import ServerProcess, kill, processes, server_with_model, wait_until
from tests.tiny_model import make_tiny_model
from tests.web_page import Page, open_page

ROWS = [{"instruction": f"What is number {n}?", "output": f"It is {n}, said Nova."} for n in range(24)]
LONG = 240
"""Seconds for what takes a machine with two busy cores long: a training, the start of vLLM."""


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny-instruct", context=1024, hidden=128)


@pytest.fixture
def server(tmp_path: Path, tiny_model: Path) -> Iterator[ServerProcess]:
    with server_with_model(tmp_path / "home", tiny_model) as server:
        yield server


@asynccontextmanager
async def reloaded(server: ServerProcess, thread_id: str) -> AsyncIterator[Page]:
    async with open_page(server.address, thread_id=thread_id) as page:
        # Whatever is shown at this moment may come before the thread itself.
        await page.until(lambda: page.named("resume_thread"))
        yield page


async def say_and_hear(page: Page, text: str, expected: str) -> None:
    """Say something, and wait for the words of its reply."""
    await page.say(text)
    await page.until(lambda: shows(page, expected) and not page.is_loading)


def props(page: Page, name: str) -> list[dict[str, Any]]:
    """What the thread's cards of one kind show, from top to bottom."""
    cards = [page.elements[message_id] for message_id in page.messages if message_id in page.elements]
    return [card["props"] for card in cards if card["name"] == name]


def run_card(page: Page) -> dict[str, Any]:
    """The one card of the thread's one run."""
    (card,) = [card for card in props(page, "RunCard") if card["key"].startswith("run:")]
    return card


def step_of(card: dict[str, Any]) -> int:
    """The last step of the card's curve."""
    return max((point[0] for curve in card["curves"] for point in curve["points"]), default=0)


def spoken(page: Page) -> list[str]:
    """What the tuned model says, whole or not, under its name."""
    return [message["output"] for message in page.messages.values() if message["name"] == "numbers-1"]


def answers(page: Page) -> list[dict[str, Any]]:
    """The tuned model's answers that have ended, from top to bottom."""
    return [
        message for message in page.messages.values() if message["name"] == "numbers-1" and not message["streaming"]
    ]


def shows(page: Page, words: str) -> bool:
    """Whether these words stand anywhere in the thread."""
    return words in json.dumps([page.messages, page.elements], ensure_ascii=False)


async def begin(page: Page, *options: str) -> None:
    """Start a run on dropped data with one line."""
    file_id = await page.upload("numbers.jsonl", "\n".join(map(json.dumps, ROWS)).encode())
    line = " ".join(("/finetune base_model=tiny-instruct preset=quick", *options, "start"))
    await page.say(line, files=(file_id,))
    await page.until(lambda: props(page, "RunCard"), seconds=LONG)


async def interrupt_an_answer(server: ServerProcess, thread_id: str) -> int:
    """Kill the server while the tuned model speaks; returns how many answers that took."""
    for count in range(1, 6):
        # By chance a model that draws its words may end an answer in the very moment: then it is asked again.
        if await is_interrupted(server, thread_id, count):
            return count
    raise AssertionError("every answer had ended before the kill")


async def is_interrupted(server: ServerProcess, thread_id: str, count: int) -> bool:
    """Kill the server in the thread's ``count``-th answer; returns whether that was in the middle of it."""
    async with reloaded(server, thread_id) as page:
        await say_and_hear(page, f"/params max_tokens={800 + count} temperature=1", f"`max_tokens` = {800 + count}")
        await page.say("What is number 3?")
        await page.until(lambda: has_begun(page, count), seconds=LONG)
    server.restart()
    async with reloaded(server, thread_id) as page:
        await page.until(lambda: len(answers(page)) == count, seconds=LONG)
        # What is said next is shown after the answer's own end, whichever that is.
        # From now on the likeliest word, as drawing might end an answer before its first.
        await say_and_hear(page, f"/params max_tokens={20 + count} temperature=0", f"`max_tokens` = {20 + count}")
        return any(card["state"] == "interrupted" for card in props(page, "Answer"))


def has_begun(page: Page, count: int) -> bool:
    """Whether words of the ``count``-th answer stand there, or it has ended; it may have ended without any."""
    return len(answers(page)) == count or any("\n\n" in text for text in spoken(page)[count - 1 :])


async def test_killed_in_the_middle_of_a_question(server: ServerProcess) -> None:
    async with open_page(server.address) as page:
        file_id = await page.upload("numbers.jsonl", "\n".join(map(json.dumps, ROWS)).encode())
        await page.say("", files=(file_id,))
        await page.until(lambda: props(page, "Question") and not page.is_loading, seconds=LONG)
        await page.say("tiny-instruct")
        await page.until(lambda: len(props(page, "Question")) == 2 and not page.is_loading, seconds=LONG)
        thread_id, texts = page.thread_id, page.texts()
    server.restart()
    async with reloaded(server, thread_id) as page:
        assert page.texts() == texts
        answered, opened = props(page, "Question")
        assert answered["answered"]
        assert opened["id"] == "preset"
        assert not opened["answered"]
        await page.say("quick")
        await page.until(lambda: props(page, "Review"), seconds=LONG)
        assert len(props(page, "Question")) == 2
        assert "tiny-instruct" in json.dumps(props(page, "Review"))


async def test_killed_in_the_middle_of_a_run_of_a_load_and_of_an_answer(server: ServerProcess) -> None:
    async with open_page(server.address) as page:
        await begin(page, "epochs=50", "logging_steps=1")
        await page.until(lambda: step_of(run_card(page)) > 5, seconds=LONG)
        thread_id, step = page.thread_id, step_of(run_card(page))

    server.kill()
    assert processes(str(server.home), "training.trainer.launch")
    server.start()
    async with reloaded(server, thread_id) as page:
        await page.until(lambda: props(page, "RunCard"))
        await page.until(lambda: step_of(run_card(page)) > step, seconds=LONG)
        # No event of the page tells it.
        await asyncio.to_thread(wait_until, lambda: processes(str(server.home), "vllm"), seconds=LONG)

    # The model server is coming up: in the middle of a load.
    server.restart()
    async with reloaded(server, thread_id) as page:
        await page.until(lambda: props(page, "Comparison") and shows(page, "talking to"), seconds=LONG)

    count = await interrupt_an_answer(server, thread_id)
    async with reloaded(server, thread_id) as page:
        assert len(props(page, "Comparison")) == 1
        assert run_card(page)["fraction"] == 1
        # An answer before it may carry a note, too: it had ended by itself, cut or empty.
        (answer,) = [card for card in props(page, "Answer") if card["state"] == "interrupted"]
        assert answer["choices"][0]["say"] == "What is number 3?"
        await page.say("What is number 3?")
        await page.until(lambda: len(spoken(page)) == count + 1, seconds=LONG)

    # Kill the model server: it comes back with its adapters, and the answer waits for it.
    kill(processes(str(server.home), "vllm"))
    async with reloaded(server, thread_id) as page:
        await page.say("What is number 4?")
        await page.until(lambda: len(answers(page)) == count + 2, seconds=LONG)
        assert shows(page, "What is number 4?")
        assert "\n\n" in answers(page)[-1]["output"]
        ids = [message["id"] for message in page.messages.values()]
        assert len(ids) == len(set(ids))
    assert server.stop() == 0
    wait_until(lambda: not processes(str(server.home)))


async def test_a_killed_trainer_fails_with_its_reason_and_retry_goes_on_from_the_checkpoint(
    server: ServerProcess,
) -> None:
    async with open_page(server.address) as page:
        await begin(page, "epochs=50", "logging_steps=1", "save_steps=10", "deploy=no")
        await page.until(lambda: step_of(run_card(page)) > 22, seconds=LONG)
        kill(processes(str(server.home), "training.trainer"))
        await page.until(lambda: not run_card(page)["is_live"], seconds=60)
        card = run_card(page)
        assert card["note"]
        assert card["log_lines"]
        retry = next(choice for choice in card["choices"] if choice["say"].startswith("/retry"))
        await page.press(say=retry["say"], label=retry["label"])
        await page.until(lambda: len(props(page, "RunCard")) == 2, seconds=LONG)
        await page.until(lambda: props(page, "RunCard")[1]["fraction"] == 1, seconds=LONG)
        first_step = min(point[0] for curve in props(page, "RunCard")[1]["curves"] for point in curve["points"])
        assert first_step > 20


def test_a_second_server_on_the_same_home_says_so_and_ends(server: ServerProcess) -> None:
    second = ServerProcess(home=server.home)
    with pytest.raises(AssertionError, match="already works on"):
        second.start()
    assert second.process is not None
    assert second.process.wait(timeout=60) == 1
    assert server.is_healthy()
