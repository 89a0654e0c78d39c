"""Conversations in an emulated Slack: a person writes, presses and drops files, and reads what comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bot.reconcile import is_under_way
from bot.settings import Settings
from bot.slack import slack_of
from bot.wiring import Application, assemble
from storage.models import Inbox, Message, Outbox, Thread
from storage.states import MessageState
from storage.store import Store
from tests.conversing import add_base_model
from tests.databases import put_database
from tests.fake_runs import FakeRuns
from tests.fake_vllm import FakeModelServer
from tests.slack_emulator import Channel, Person, SlackEmulator, SlackMessage, Workspace

PATIENCE_S = 60.0


@dataclass(kw_only=True)
class SlackTalk:
    """One person in one thread."""

    slack: SlackEmulator
    workspace: Workspace
    application: Application
    person: Person
    channel: Channel
    root: str | None = None

    def messages(self) -> list[SlackMessage]:
        """What the app has said in the thread, as it stands."""
        if self.root is None:
            return []
        thread = self.workspace.thread(self.channel, self.root)
        return [message for message in thread if message.user == self.workspace.bot_user_id]

    def words(self) -> str:
        """Everything that the app has said in the thread, as it stands."""
        return "\n".join(message.words for message in self.messages())

    async def say(self, text: str = "", *, files: Sequence[Path] = ()) -> str:
        """Write something; returns what is new of the app's words in the thread once all is quiet."""
        before = self._seen()
        dropped = [(path.name, path) for path in files]
        stamp = await self.person.post(self.channel, text, thread=self.root, files=dropped)
        self.root = self.root or stamp
        return await self._news(before)

    async def press(self, wanted: str) -> str:
        """Press the newest button of that label; returns what is new."""
        before = self._seen()
        message = next(each for each in reversed(self.messages()) if wanted in each.buttons)
        await self.person.press(self.channel, message.ts, wanted)
        return await self._news(before)

    async def choose(self, wanted: str) -> str:
        """Choose the entry of the newest menu that has it; returns what is new."""
        before = self._seen()
        message = next(each for each in reversed(self.messages()) if wanted in each.buttons)
        await self.person.choose(self.channel, message.ts, wanted)
        return await self._news(before)

    async def quiet(self) -> None:
        """Wait until everything that was said is handled and shown."""
        await self.slack.settled(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while not await is_quiet(self.application.world.store):
            assert time.monotonic() < deadline, f"the thread never became quiet:\n{self.words()}"
            await asyncio.sleep(0.02)

    async def at_rest(self) -> None:
        """Wait until nothing is under way either: the questions of a comparison are asked after it was announced."""
        await self.quiet()
        deadline = time.monotonic() + PATIENCE_S
        while not await is_at_rest(self.application.world.store):
            assert time.monotonic() < deadline, f"something is under way for ever:\n{self.words()}"
            await asyncio.sleep(0.02)

    def _seen(self) -> dict[str, str]:
        return {message.ts: message.words for message in self.messages()}

    async def _news(self, before: dict[str, str]) -> str:
        await self.quiet()
        return "\n".join(message.words for message in self.messages() if before.get(message.ts) != message.words)


async def is_quiet(store: Store) -> bool:
    """Whether nothing waits to be handled or to be shown, and no answer grows."""
    async with store.reading() as session:
        waiting = await session.scalar(select(func.count()).select_from(Inbox))
        unseen = await session.scalar(select(func.count()).select_from(Outbox))
        growing = await session.scalar(select(func.count()).where(Message.state == MessageState.STREAMING))
    return not (waiting or unseen or growing)


async def is_at_rest(store: Store) -> bool:
    """Whether nothing is under way in any thread."""
    async with store.reading() as session:
        threads = (await session.scalars(select(Thread.id))).all()
        return not any([await is_under_way(session, thread_id) for thread_id in threads])


def slack_settings(slack: SlackEmulator, workspace: Workspace, home: Path, **more: Any) -> Settings:
    """Settings with which the app is in that workspace, over Socket Mode."""
    given: dict[str, Any] = {
        "home": home,
        "slack_api_url": slack.api_url,
        "slack_app_token": slack.app_token,
        "slack_bot_token": workspace.bot_token,
    }
    return Settings(**{**given, **more})


@asynccontextmanager
async def slack_application(settings: Settings) -> AsyncIterator[Application]:
    """The application in Slack, with fakes behind the engines and a small base model, its loops running."""
    runs = FakeRuns(settings.artifacts_root)
    await put_database(settings.database_url)
    with closing(FakeModelServer()) as servers:
        async with assemble(settings, runs=runs, servers=servers) as application:
            folder = settings.models_folder / "tiny-instruct"
            if not folder.exists():
                await add_base_model(application.world.store, folder)
            async with slack_of(application), application.running():
                yield application


@asynccontextmanager
async def slack_talk(home: Path, *, locale: str = "en-US", **more: Any) -> AsyncIterator[SlackTalk]:
    """Somebody in direct messages with the app."""
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        person = workspace.add_user("Ann", locale=locale)
        async with slack_application(slack_settings(slack, workspace, home, **more)) as application:
            yield SlackTalk(slack=slack, workspace=workspace, application=application, person=person, channel=person.dm)
