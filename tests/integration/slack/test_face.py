"""The Slack face keeps the contract of faces."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bot.faces import Unreachable
from bot.replies import Answer, Text
from bot.slack.face import SlackFace
from bot.slack.limits import Limits
from bot.slack.places import FACE, Place, read_place
from bot.slack.workspaces import Workspaces
from bot.turns import ThreadRef
from storage.store import Store
from tests.contracts.faces import FaceContract, Stage
from tests.databases import put_database
from tests.living import until
from tests.slack_emulator import SlackEmulator
from tests.slack_talk import slack_settings


async def test_a_post_that_was_never_confirmed_is_found_however_far_back(tmp_path: Path) -> None:
    async with SlackEmulator(speed=0) as slack, face_in(slack, tmp_path) as stage:
        slack.has_hard_history_limits = True
        (workspace,) = slack.workspaces.values()
        (ann,) = workspace.users.values()
        place = read_place(stage.thread.key)
        for number in range(40):
            await ann.post(ann.dm, f"{number}", thread=place.root)
        slack.faults.lost_answers = {"chat.postMessage": 1.0}
        with pytest.raises(Unreachable):
            await stage.face.show(stage.thread, Text(markdown="one"), message_id="m1", shown_as=None)
        assert await stage.face.show(stage.thread, Text(markdown="one"), message_id="m1", shown_as=None)
        assert list(stage.seen()) == ["one"]


def answer(words: str, *, is_growing: bool = True) -> Answer:
    return Answer(author="nova", speaker="tuned", markdown=words, state="streaming" if is_growing else "complete")


async def edited(slack: SlackEmulator, stage: Stage) -> None:
    """An answer grows by edits, and one of them is on its way to Slack."""
    assert isinstance(stage.face, SlackFace)
    stage.face.streams.askers.clear()
    await stage.face.show(stage.thread, answer("one"), message_id="m1", shown_as=None)
    slack.faults.late["chat.update"] = 1.0
    await stage.face.grow(stage.thread, answer("one two"), message_id="m1", shown_as=None)
    await until(lambda: not slack.faults.late)


def edits(slack: SlackEmulator) -> int:
    return sum(call.method == "chat.update" for call in slack.calls)


async def test_an_edit_that_is_on_its_way_never_comes_after_the_last(tmp_path: Path) -> None:
    async with SlackEmulator() as slack, face_in(slack, tmp_path) as stage:
        await edited(slack, stage)
        await stage.face.show(stage.thread, answer("one two three", is_growing=False), message_id="m1", shown_as="1")
        await until(lambda: edits(slack) == 2)
        (shown,) = stage.seen()
        assert "one two three" in shown


async def test_a_showing_that_is_broken_off_while_the_answer_ends_ends(tmp_path: Path) -> None:
    async with SlackEmulator() as slack, AsyncExitStack() as open_until:
        stage = await open_until.enter_async_context(face_in(slack, tmp_path))
        await edited(slack, stage)
        last = answer("one two three", is_growing=False)
        showing = asyncio.create_task(stage.face.show(stage.thread, last, message_id="m1", shown_as="1"))
        await asyncio.sleep(0.2)
        showing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await showing
        await open_until.aclose()
        assert not any("three" in str(call.arguments) for call in slack.calls)


@asynccontextmanager
async def face_in(slack: SlackEmulator, home: Path) -> AsyncIterator[Stage]:
    workspace = slack.add_workspace("Acme")
    ann = workspace.add_user("Ann")
    root = await ann.post(ann.dm, "hello")
    settings = slack_settings(slack, workspace, home)
    await put_database(settings.database_url)
    store, limits = Store(settings.database_url), Limits()
    face = SlackFace(store, Workspaces(settings, None, limits), limits)
    place = Place(team=workspace.team_id, channel=ann.dm.id, root=root)
    face.streams.askers[place.key] = ann.id

    def seen() -> list[str]:
        return [message.words for message in workspace.thread(ann.dm, root) if message.bot_id]

    try:
        yield Stage(face=face, thread=ThreadRef(face=FACE, key=place.key), seen=seen)
    finally:
        await face.close()
        await store.close()


class TestSlackFace(FaceContract):
    @pytest.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[Stage]:
        async with SlackEmulator() as slack, face_in(slack, tmp_path) as made:
            yield made
