"""The Slack face keeps the contract of faces."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.faces import Unreachable
from bot.replies import Text
from bot.slack.face import SlackFace
from bot.slack.limits import Limits
from bot.slack.places import FACE, Place, read_place
from bot.slack.workspaces import Workspaces
from bot.turns import ThreadRef
from storage.store import Store
from tests.contracts.faces import FaceContract, Stage
from tests.databases import put_database
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
