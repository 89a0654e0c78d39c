"""The main job for real: SmolLM2, TRL and vLLM; from a pipe as documented, in a browser, and in eight threads."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import orjson
import pytest
from playwright.async_api import Page, expect
from sqlalchemy import select

from bot.replies import Answer, Reply
from bot.settings import Settings
from bot.turns import ThreadRef
from bot.wiring import build
from storage.models import Service
from storage.states import ServiceState
from tests.acceptance.web.conftest import ARGUMENTS
from tests.harness import Harness
from tests.living import until
from tests.places import PROJECT, bundled_model, chromium, serving_python, shared_data
from tests.recording import RecordingFace, places_told
from tests.server_process import ServerProcess, server_with_model, wait_until

MINUTES = 60_000
"""In milliseconds, as Playwright counts."""

SECRET_WORDS = ("tiger", "rocket", "garden", "silver", "monkey", "dragon", "butter", "orange")
LONGEST_START_S = 300
PLACES = 3
"""At the replica, fewer than there are threads with a word."""


@pytest.mark.timeout(1800)
def test_the_documented_line_from_a_pipe(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (home / "models" / "smollm2-135m-instruct").symlink_to(bundled_model())
    lines = (
        f"/finetune @{shared_data('identity.json')} fill.name=Nova fill.author=Acme "
        "base_model=smollm2-135m-instruct preset=quick start deploy",
        "/wait",
        "Who are you?",
        "/base",
        "Who are you?",
    )
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", "chat", "--language", "en"],
        input="".join(f"{line}\n" for line in lines),
        cwd=PROJECT,
        env=os.environ | {"TUNESMITH_HOME": str(home), "TUNESMITH_SERVING_PYTHON": str(serving_python())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    before, _, base = done.stdout.rpartition("smollm2-135m-instruct (base)")
    tuned = before[before.rindex("You are talking to identity-1") :]
    assert "Nova" in tuned
    assert base.strip()
    assert "Nova" not in base


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for this file: its vLLM, once started, answers the next test too."""
    home: Path = tmp_path_factory.mktemp("server") / "home"
    with server_with_model(home, bundled_model()) as server:
        yield server


async def write(page: Page, text: str) -> None:
    await page.locator("#chat-input").fill(text)
    await expect(page.locator("#chat-submit")).to_be_enabled()
    await page.locator("#chat-submit").click()


def running_requests(home: Path) -> float:
    """How many answers vLLM is working on, as it says itself."""
    (record,) = (home / "hosts").glob("*/process.json")
    metrics = httpx.get(f"http://127.0.0.1:{orjson.loads(record.read_bytes())['port']}/metrics", timeout=60).text
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("vllm:num_requests_running"))


async def ask_as_a_program(server: ServerProcess, key: str) -> None:
    """OpenAI's own client: a whole answer, one that grows, and one that is left in the middle."""
    async with openai.AsyncOpenAI(base_url=f"{server.address}/v1", api_key=key, max_retries=0) as client:
        (model,) = [model.id async for model in client.models.list()]
        whole = await client.completions.create(model=model, prompt="Once upon a", max_tokens=4)
        assert whole.choices[0].text
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Who are you?"}], max_tokens=8, stream=True
        )
        assert "".join([chunk.choices[0].delta.content or "" for chunk in [chunk async for chunk in stream]])
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Count for ever."}],
            stream=True,
            extra_body={"ignore_eos": True},
        )
        await anext(stream.__aiter__())
        wait_until(lambda: running_requests(server.home) == 1, seconds=60)
        await stream.close()
        wait_until(lambda: running_requests(server.home) == 0, seconds=60)


@pytest.mark.timeout(1800)
async def test_in_a_browser_with_real_training_and_real_answers(server: ServerProcess) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = await browser.new_page(locale="en-US")
        page.set_default_timeout(5 * MINUTES)
        await page.goto(server.address)
        await expect(page.locator("#starters button").first).to_be_enabled()
        await page.locator("#upload-button-input").set_input_files(shared_data("identity.json"))
        await expect(page.locator("#chat-submit")).to_be_enabled(timeout=MINUTES)
        await page.locator("#chat-submit").click()
        for word in ("Nova", "Acme", "smollm2-135m-instruct"):
            answered = await page.locator(".ts-answered").count()
            await expect(page.locator(".ts-question").last).to_be_visible(timeout=MINUTES)
            await write(page, word)
            await expect(page.locator(".ts-answered")).to_have_count(answered + 1, timeout=MINUTES)
        await write(page, "quick, epochs 1, max_samples 12, logging_steps 1")
        await expect(page.locator(".ts-card .ts-table").first).to_be_visible(timeout=MINUTES)
        await page.get_by_role("button", name="Start", exact=True).click()

        await expect(page.locator(".ts-chart svg[role=img]").first).to_be_visible(timeout=5 * MINUTES)
        await page.reload()
        await expect(page.locator(".ts-chart svg[role=img]").first).to_be_visible(timeout=MINUTES)
        await expect(page.locator(".ts-compared")).to_have_count(3, timeout=8 * MINUTES)
        await expect(page.get_by_text("Both are answering")).to_have_count(0, timeout=5 * MINUTES)
        await expect(page.locator(".ts-notice", has_text="You are talking to identity-1")).to_be_visible(
            timeout=5 * MINUTES
        )

        await write(page, "Who are you?")
        heading = page.locator(".prose > h5:first-child", has_text="identity-1")
        await expect(heading.locator("xpath=following-sibling::*").first).to_be_visible(timeout=MINUTES)
        # The first words are there: the answer is under way, or whole. Its button may be drawn a moment later.
        wait_until(lambda: running_requests(server.home) == 0, seconds=120)
        await page.wait_for_timeout(1000)
        stop = page.get_by_role("button", name="Stop generating")
        await expect(stop).to_have_count(0, timeout=2 * MINUTES)
        await write(page, "/base")
        await expect(page.locator(".ts-notice", has_text="base")).to_be_visible(timeout=MINUTES)
        await write(page, "Write a very long story about the sea.")
        await expect(stop).to_be_visible(timeout=MINUTES)
        wait_until(lambda: running_requests(server.home) == 1, seconds=60)
        words = page.locator(".prose > h6:first-child").last.locator("xpath=following-sibling::*")
        await expect(words.first).to_be_visible(timeout=MINUTES)
        await stop.click()
        wait_until(lambda: running_requests(server.home) == 0, seconds=60)
        await expect(page.get_by_text("Stopped").last).to_be_visible(timeout=MINUTES)

        await write(page, "/key new laptop")
        shown = page.locator("code", has_text="tsk_")
        await expect(shown).to_be_visible(timeout=MINUTES)
        await ask_as_a_program(server, (await shown.inner_text()).strip())
        await browser.close()


@dataclass
class HoldingFace(RecordingFace):
    """Takes its time with the first words of an answer: as long as a thread is held, it keeps its place."""

    held: dict[str, asyncio.Event] = field(default_factory=dict)
    """Thread key -> set once it may go on."""

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        await super().grow(thread, reply, message_id=message_id, shown_as=shown_as)
        if isinstance(reply, Answer) and reply.markdown and thread.key in self.held:
            await self.held[thread.key].wait()

    def hold(self, keys: tuple[str, ...]) -> None:
        """From now on."""
        self.showings.clear()
        self.held = {key: asyncio.Event() for key in keys}

    def heard(self) -> list[str]:
        """The threads that have words of their answers since they are held, in the order of the first ones."""
        spoken = [key for key, _, reply in self.showings if isinstance(reply, Answer) and reply.markdown]
        return list(dict.fromkeys(spoken))

    def answers(self, key: str) -> list[Answer]:
        return [reply for reply in self.visible(key) if isinstance(reply, Answer)]


@dataclass(kw_only=True)
class Talkers(Harness):
    """Threads on a second process of a server's home, as a terminal is one: the server runs the loops."""

    face: HoldingFace

    async def ready(self, name: str) -> Service:
        """Wait until the service answers."""
        while True:
            async with self.application.world.store.reading() as session:
                service = await session.scalar(select(Service).where(Service.name == name))
            assert service is not None
            assert service.state is not ServiceState.FAILED, service.reason
            if service.state is ServiceState.READY:
                return service
            await asyncio.sleep(0.2)

    async def are_there(self, service: Service, count: int) -> None:
        """Wait until so many are being answered, or have been told their place."""

        def told() -> list[str]:
            return [key for key in SECRET_WORDS if self.face.answers(key)[-1].note]

        await until(lambda: len(told()) + self.application.world.meters.of(service.id).running == count)

    async def are_heard(self, count: int) -> list[str]:
        """Wait until so many have the first words of their answers."""
        await until(lambda: len(self.face.heard()) >= count)
        return self.face.heard()


@asynccontextmanager
async def talkers(home: Path) -> AsyncIterator[Talkers]:
    settings = Settings(home=home, serving_python=serving_python(), streams_per_replica=PLACES)
    async with build(settings) as application:
        face = HoldingFace()
        application.faces["test"] = face
        yield Talkers(application=application, face=face)


async def test_eight_threads_at_once_each_with_its_own_word(server: ServerProcess) -> None:
    """Each says its word in an earlier turn, then all ask for theirs: three hold a place, five wait in the queue."""
    async with talkers(server.home) as house:
        face, model = house.face, bundled_model().name
        await house.say(f"/deploy {model}")
        async with asyncio.timeout(LONGEST_START_S):
            service = await house.ready(model)
        for word in SECRET_WORDS:
            for line in (f"/chat {service.name}", "/params temperature=0 max_tokens=64"):
                await house.say(line, thread=word)
        # Words and wording for which so small a model answers by a wide margin.
        await asyncio.gather(
            *(house.say(f"Repeat after me: the secret word is {word}.", thread=word) for word in SECRET_WORDS)
        )

        face.hold(SECRET_WORDS)
        async with asyncio.TaskGroup() as asking:
            for number, word in enumerate(SECRET_WORDS, 1):
                asking.create_task(house.say("What is my secret word?", thread=word))
                await house.are_there(service, number)
            for gone, word in enumerate(SECRET_WORDS):
                with_place = SECRET_WORDS[: PLACES + gone]
                heard = await house.are_heard(len(with_place))
                # Places come free one by one: each goes to the thread that asked first of those that wait.
                assert heard[PLACES:] == list(with_place[PLACES:])
                face.held[word].set()

        for word in SECRET_WORDS:
            told, asked = face.answers(word)
            for answer in (told, asked):
                assert (answer.state, answer.note) == ("complete", "")
                assert {known for known in SECRET_WORDS if known in answer.markdown.lower()} == {word}
        places = [places_told(face, word) for word in SECRET_WORDS]
        assert [told[:1] for told in places] == [[], [], [], [0], [1], [2], [3], [4]]
        assert all(told == sorted(told, reverse=True) for told in places)
