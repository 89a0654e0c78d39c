"""The main job through Slack for real: SmolLM2, TRL and vLLM behind a server in a process of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.test_real_models import running_requests
from tests.places import bundled_model, shared_data
from tests.server_process import ServerProcess, server_with_model
from tests.slack_emulator import Channel, Person, SlackEmulator, SlackMessage

MINUTE = 60.0


@dataclass(kw_only=True)
class Hand:
    """A person in a thread, with some patience."""

    person: Person
    channel: Channel
    root: str
    server: ServerProcess

    @property
    def messages(self) -> list[SlackMessage]:
        """What the app has said."""
        thread = self.person.workspace.thread(self.channel, self.root)
        return [message for message in thread if message.bot_id]

    def words(self) -> str:
        return "\n".join(message.words for message in self.messages)

    async def reads(self, words: str, *, within_s: float = MINUTE) -> SlackMessage:
        """Wait for words; returns the newest message that has them."""
        await eventually(lambda: words in self.words(), within_s=within_s, sight=self.words)
        return next(message for message in reversed(self.messages) if words in message.words)

    async def say(self, text: str) -> None:
        await self.person.post(self.channel, text, thread=self.root)


async def eventually(is_so: Callable[[], object], *, within_s: float, sight: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain; this is there:\n{sight()[-3000:]}"
        await asyncio.sleep(0.2)


@asynccontextmanager
async def somebody_with_data(home: Path, monkeypatch: pytest.MonkeyPatch, data: Path) -> AsyncIterator[Hand]:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        general = workspace.add_channel("general", members=(ann,))
        monkeypatch.setenv("TUNESMITH_SLACK_API_URL", slack.api_url)
        monkeypatch.setenv("TUNESMITH_SLACK_APP_TOKEN", slack.app_token)
        monkeypatch.setenv("TUNESMITH_SLACK_BOT_TOKEN", workspace.bot_token)
        starting = server_with_model(home, bundled_model())
        server = await asyncio.to_thread(starting.__enter__)
        try:
            root = await ann.post(general, "@Tunesmith here is my data", files=[(data.name, data)])
            yield Hand(person=ann, channel=general, root=root, server=server)
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


@pytest.mark.timeout(1800)
async def test_from_a_file_to_the_tuned_model_s_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with somebody_with_data(tmp_path / "home", monkeypatch, shared_data("identity.json")) as hand:
        await hand.reads("in place of `{{name}}`")
        await hand.say("Nova")
        await hand.reads("in place of `{{author}}`")
        await hand.say("Acme")
        question = await hand.reads("Which base model?")
        await hand.person.press(hand.channel, question.ts, "smollm2-135m-instruct")
        question = await hand.reads("How thorough?")
        await hand.person.press(hand.channel, question.ts, "Custom")
        form = await hand.reads("All settings")
        await hand.person.press(hand.channel, form.ts, "All settings")
        assert set(await hand.person.submit({"learning_rate": "quickly"})) == {"learning_rate"}
        given = {"learning_rate": "1e-3", "epochs": "1", "max_samples": "12", "logging_steps": "1"}
        assert await hand.person.submit(given) == {}
        review = await hand.reads("The plan: identity-1")
        await hand.person.press(hand.channel, review.ts, "Start")

        card = await hand.reads("Step ", within_s=5 * MINUTE)
        # Killed in the middle of the run: the thread goes on where it was, nothing stands there twice.
        hand.server.kill()
        before = [message.ts for message in hand.messages]
        await asyncio.to_thread(hand.server.start)
        await hand.reads("Finished in", within_s=5 * MINUTE)
        assert [message.ts for message in hand.messages][: len(before)] == before
        assert "image" in [block["type"] for block in card.blocks]

        await hand.reads("You are talking to identity-1", within_s=8 * MINUTE)
        comparison = await hand.reads("The same questions, before and after")
        # Its answers come from the same server: what is counted below is to be the thread's alone.
        await eventually(lambda: "Both are answering" not in hand.words(), within_s=5 * MINUTE, sight=hand.words)
        assert [block["type"] for block in comparison.blocks].count("divider") == 3

        await hand.say("Who are you?")
        answer = await hand.reads("● identity-1\n", within_s=2 * MINUTE)
        await eventually(lambda: "👍" in answer.words, within_s=2 * MINUTE, sight=hand.words)
        assert not answer.is_streaming
        streams = [call for call in hand.person.slack.calls if call.method == "chat.startStream" and not call.error]
        assert len(streams) == 1

        await hand.say("!base")
        await hand.reads("smollm2-135m-instruct (base)")
        await hand.say("Write a very long story about the sea.")
        await eventually(lambda: hand.messages[-1].is_streaming, within_s=MINUTE, sight=hand.words)
        await eventually(lambda: running_requests(hand.server.home) == 1, within_s=MINUTE)
        await hand.person.press(hand.channel, hand.messages[-1].ts, "Stop generating")
        await eventually(lambda: running_requests(hand.server.home) == 0, within_s=MINUTE)
        await hand.reads("Stopped")
        refused = [f"{call.method}: {call.error}" for call in hand.person.slack.calls if call.error]
        assert refused == []
