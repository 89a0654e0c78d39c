"""A small real Bolt app, as the emulator's tests drive it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack_emulator import SlackEmulator, Workspace


def web_client(slack: SlackEmulator, token: str) -> AsyncWebClient:
    """Slack's own client."""
    return AsyncWebClient(token=token, base_url=slack.api_url)


def new_app(slack: SlackEmulator, workspace: Workspace) -> AsyncApp:
    """An app without listeners."""
    return AsyncApp(
        client=web_client(slack, workspace.bot_token),
        signing_secret=slack.signing_secret,
        process_before_response=True,
    )


@asynccontextmanager
async def connected(slack: SlackEmulator, app: AsyncApp, *, looks_every_s: float = 30.0) -> AsyncIterator[None]:
    """Hold the app's socket.

    ``looks_every_s``: how often Slack's client looks whether it lives. One that does not answer within half of it is
    broken, and with it what a person does in this moment: so it is long, except where sockets are to be renewed.
    """
    client = web_client(slack, slack.app_token)
    handler = AsyncSocketModeHandler(app, slack.app_token, web_client=client, ping_interval=looks_every_s)
    await handler.connect_async()
    try:
        yield
    finally:
        await handler.close_async()
