"""A socket to Slack ends together with what came over it."""

import asyncio

import pytest

from bot.slack.socket import Socket
from tests.slack_emulator import SlackEmulator
from tests.unit.slack.bolt_app import new_app, web_client


@pytest.mark.parametrize(("seconds", "end_s"), [(0.3, 60.0), (3600.0, 0.1)], ids=["soon over", "never over"])
async def test_nothing_is_being_handled_any_more_when_the_socket_is_closed(seconds: float, end_s: float) -> None:
    async with SlackEmulator() as slack:
        workspace = slack.add_workspace("Acme")
        ann = workspace.add_user("Ann")
        app, begun, told = new_app(slack, workspace), asyncio.Event(), []

        @app.event("message")
        async def hear() -> None:
            begun.set()
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                told.append("broken off")
                raise
            told.append("handled")

        client = web_client(slack, slack.app_token)
        socket = Socket(app, slack.app_token, web_client=client, ping_interval=30.0, end_s=end_s)
        await socket.connect()
        await ann.post(ann.dm, "hi")
        await begun.wait()
        await socket.close()
        assert told == (["handled"] if seconds < 1 else ["broken off"])
        # What was handled was acknowledged, too; the rest would come again.
        assert len(slack.delivery.acknowledged_s) == (1 if seconds < 1 else 0)
