"""What Slack and people's browsers call: signed events, and the page that installs the app."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from slack_bolt.adapter.fastapi.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.oauth.state_store import FileOAuthStateStore

from bot.settings import Settings
from bot.slack.clients import web_client
from bot.slack.installations import Installations
from bot.slack.manifest import SCOPES

STATE_SECONDS = 600


def slack_router(settings: Settings, app: AsyncApp, installations: Installations | None) -> APIRouter:
    """The routes below ``/slack/``: events where a signing secret is set, the install page where it is distributed."""
    router = APIRouter(prefix="/slack")
    if settings.slack_signing_secret:
        handler = AsyncSlackRequestHandler(app)

        @router.post("/events")
        async def events(request: Request) -> Response:
            return await handler.handle(request)

    if installations is not None:
        flow = _flow(settings, installations)

        @router.get("/install")
        async def install(request: Request) -> Response:
            return _as_response(await flow.handle_installation(await _as_bolt(request)))

        @router.get("/oauth_redirect")
        async def oauth_redirect(request: Request) -> Response:
            return _as_response(await flow.handle_callback(await _as_bolt(request)))

    return router


def _flow(settings: Settings, installations: Installations) -> AsyncOAuthFlow:
    secret = settings.slack_client_secret
    return AsyncOAuthFlow(
        client=web_client(settings),
        settings=AsyncOAuthSettings(
            client_id=settings.slack_client_id or "",
            client_secret=secret.get_secret_value() if secret else "",
            scopes=list(SCOPES),
            installation_store=installations,
            state_store=FileOAuthStateStore(
                expiration_seconds=STATE_SECONDS, base_dir=str(settings.home / "slack" / "states")
            ),
        ),
    )


async def _as_bolt(request: Request) -> AsyncBoltRequest:
    headers: dict[str, str | Sequence[str]] = {name: [value] for name, value in request.headers.items()}
    return AsyncBoltRequest(body="", query=dict(request.query_params), headers=headers)


def _as_response(answer: BoltResponse) -> Response:
    response = Response(content=answer.body, status_code=answer.status)
    for name, values in answer.headers.items():
        for value in values:
            if name.lower() != "content-length":
                response.headers.append(name, value)
    return response
