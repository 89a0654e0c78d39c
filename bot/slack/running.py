"""Starts and ends the Slack face within the server's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging import getLogger

import stamina
import structlog
from fastapi import APIRouter
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError

from bot.ending import end
from bot.settings import Settings
from bot.slack.clients import web_client
from bot.slack.configuration import ways
from bot.slack.errors import NETWORK, SHUT, error_code
from bot.slack.face import SlackFace
from bot.slack.forms import Forms
from bot.slack.handling import Handling
from bot.slack.home_tab import HomeTab
from bot.slack.inbox import Inbox
from bot.slack.installations import Installations, cipher
from bot.slack.limits import Limits
from bot.slack.listeners import Listeners
from bot.slack.places import FACE
from bot.slack.site import slack_router
from bot.slack.socket import Socket
from bot.slack.workspaces import Workspaces
from bot.wiring import Application

log = structlog.get_logger(__name__)

SECONDS_BETWEEN_PINGS = 5.0
"""On the socket. Without an answer in half of this it is given up: a shorter wait would give up that of a busy machine,
and with it a press, which Slack does not tell again."""
MOST_SECONDS_BETWEEN_CONNECTS = 30.0


@asynccontextmanager
async def listening(application: Application) -> AsyncIterator[APIRouter]:
    """Register the face and listen to Slack as long as this lasts; yields the routes that Slack calls.

    Raises CannotGoOnError where something is missing among the settings.
    """
    settings = application.settings
    how = ways(settings)
    store = application.world.store
    installations = None
    if how.is_distributed and settings.encryption_keys:
        installations = Installations(store, cipher(settings.encryption_keys.get_secret_value()))
    limits = Limits()
    workspaces = Workspaces(settings, installations, limits)
    face = SlackFace(store, workspaces, limits)
    handling = Handling(settings, store, application.assistant, face, workspaces)
    inbox = Inbox(store, handling.handle)
    app = _bolt(settings, workspaces)
    listeners = Listeners(
        store=store,
        inbox=inbox,
        forms=Forms(store, application.assistant, handling, inbox),
        home=HomeTab(application.assistant, workspaces),
        workspaces=workspaces,
        installations=installations,
    )
    listeners.install(app)
    application.faces[FACE] = face
    await inbox.resume()
    connecting = asyncio.create_task(_connect(settings, app)) if how.is_socket else None
    try:
        yield slack_router(settings, app, installations)
    finally:
        if connecting is not None:
            await end([connecting])
        await listeners.close()
        await inbox.close()
        await handling.close()
        await face.close()


def _bolt(settings: Settings, workspaces: Workspaces) -> AsyncApp:
    async def authorize(
        enterprise_id: str | None, team_id: str | None, is_enterprise_install: bool | None
    ) -> AuthorizeResult | None:
        try:
            return await workspaces.authorize(enterprise_id, team_id, is_enterprise_install)
        except SlackApiError as error:
            if error_code(error) in SHUT:
                raise
            # Bolt takes an error of Slack's for "not installed", and would acknowledge what nobody has seen.
            raise RuntimeError("Slack does not say who the app is") from error

    secret = settings.slack_signing_secret
    return AsyncApp(
        authorize=authorize,  # type: ignore[arg-type]  # None is how Bolt itself says "not installed"
        client=web_client(settings),
        # Socket Mode brings its own proof; Bolt wants a word nevertheless.
        signing_secret=secret.get_secret_value() if secret else "unused with Socket Mode",
        request_verification_enabled=secret is not None,
        # Acknowledged at the end of a listener: what is not in the table yet, Slack must send again.
        process_before_response=True,
        logger=getLogger("slack_bolt"),
    )


async def _connect(settings: Settings, app: AsyncApp) -> None:
    """Hold a socket to Slack; where Slack cannot be reached, the rest of the server goes on."""
    token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
    socket = Socket(app, token, web_client=web_client(settings, token), ping_interval=SECONDS_BETWEEN_PINGS)
    try:
        tries = stamina.retry_context(NETWORK, attempts=None, timeout=None, wait_max=MOST_SECONDS_BETWEEN_CONNECTS)
        async for attempt in tries:
            with attempt:
                await socket.connect()
        log.info("slack.connected")
        # The client renews its socket by itself.
        await asyncio.Event().wait()
    finally:
        await socket.close()
