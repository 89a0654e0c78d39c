"""Files in Slack come, however Slack is doing in that moment."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from bot.faces import Unreachable
from bot.slack.arrivals import Arrival, SlackFile
from bot.slack.clients import web_client
from bot.slack.face import SlackFace
from bot.slack.files import Files
from bot.slack.handling import Handling
from bot.slack.limits import Limits
from bot.slack.workspaces import Workspaces
from bot.wiring import assemble
from tests.conversing import identity
from tests.databases import put_database
from tests.fake_runs import FakeRuns
from tests.fake_vllm import FakeModelServer
from tests.living import until
from tests.slack_emulator import Person, SlackEmulator, Workspace
from tests.slack_emulator.payloads import file_json
from tests.slack_talk import slack_settings


async def drop(slack: SlackEmulator, workspace: Workspace, person: Person, path: Path) -> Arrival:
    """Somebody drops a file in their messages with the app."""
    stamp = await person.post(person.dm, files=[(path.name, path)])
    (file,) = person.dm.messages[stamp].files
    return Arrival(
        event_id=f"{workspace.team_id}/{person.dm.id}/{stamp}",
        team=workspace.team_id,
        user=person.id,
        channel=person.dm.id,
        root=stamp,
        order=stamp,
        files=(
            SlackFile(
                id=file.id, name=file.name, size_bytes=file.size, url=file_json(file, slack.address)["url_private"]
            ),
        ),
    )


async def test_a_file_waits_for_a_slack_that_cannot_be_reached(tmp_path: Path) -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        arrival = await drop(slack, workspace, ann, identity(tmp_path / "identity.jsonl"))
        settings = slack_settings(slack, workspace, tmp_path / "home")
        await put_database(settings.database_url)
        with closing(FakeModelServer()) as servers:
            async with assemble(settings, runs=FakeRuns(settings.artifacts_root), servers=servers) as application:
                store, limits = application.world.store, Limits()
                workspaces = Workspaces(settings, None, limits)
                face = SlackFace(store, workspaces, limits)
                application.faces["slack"] = face
                handling = Handling(settings, store, application.assistant, face, workspaces)
                slack.faults.fail = {"*": 1.0}
                with pytest.raises(Unreachable):
                    await handling.handle(arrival)
                slack.faults.fail = {}
                await handling.handle(arrival)
                await until(lambda: len(workspace.thread(ann.dm, arrival.root or "")) > 1)
                answer = workspace.thread(ann.dm, arrival.root or "")[1]
                assert "identity.jsonl" in answer.words
                await handling.close()
                await face.close()


async def test_a_file_waits_for_a_slack_that_is_out_of_order_for_a_moment(tmp_path: Path) -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        data = identity(tmp_path / "identity.jsonl")
        arrival = await drop(slack, workspace, ann, data)
        client = web_client(slack_settings(slack, workspace, tmp_path / "home"), workspace.bot_token)
        upload = Files(api_url=slack.api_url).upload(client, arrival.files[0])
        slack.faults.fail = {"download": 1.0}

        async def fetch() -> bytes:
            return b"".join([chunk async for chunk in upload.chunks])

        fetching = asyncio.create_task(fetch())
        await asyncio.sleep(1.0)
        slack.faults.fail = {}
        assert await fetching == data.read_bytes()
