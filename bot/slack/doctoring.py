"""Whether Slack takes the tokens, in every workspace, and gives the app what it needs."""

import asyncio
import time
from dataclasses import dataclass

from cryptography.fernet import MultiFernet
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Bot

from bot.diagnoses import Diagnosis, found
from bot.settings import Settings
from bot.slack.clients import web_client
from bot.slack.configuration import ways
from bot.slack.errors import NETWORK, error_code
from bot.slack.installations import Installations, cipher
from bot.slack.manifest import SCOPES
from bot.stopping import CannotGoOnError
from storage.store import Store

TIMEOUT_SECONDS = 10


async def diagnose_slack(settings: Settings, *, has_database: bool) -> list[Diagnosis]:
    """The bot's token with its scopes, or those of all workspaces, and the app's token for Socket Mode.

    ``has_database``: whether there is one that can be read, with the installations in it.
    """
    try:
        how = ways(settings)
        if how.is_distributed:
            findings = await _distributed(settings, has_database=has_database)
        else:
            findings = [await _bot(settings)]
    except CannotGoOnError as error:
        return [found("slack", "bad", f"cannot.{error.code}", **error.values)]
    if how.is_socket:
        findings.append(await _socket(settings))
    return findings


async def _distributed(settings: Settings, *, has_database: bool) -> list[Diagnosis]:
    """Raises CannotGoOnError."""
    keys = cipher(_value(settings.encryption_keys))
    page = f"{settings.public_url or ''}/slack/install"
    findings = [found("slack", "ok", "distributed", page=page)]
    bots = await _installed(settings, keys) if has_database else []
    for finding in await asyncio.gather(*(_workspace(settings, bot, page=page) for bot in bots)):
        # Where Slack cannot be reached, that is said once.
        if finding not in findings:
            findings.append(finding)
    return findings


async def _installed(settings: Settings, keys: MultiFernet) -> list[Bot]:
    store = Store(settings.database_url)
    try:
        return await Installations(store, keys).everywhere()
    finally:
        await store.close()


async def _workspace(settings: Settings, bot: Bot, *, page: str) -> Diagnosis:
    team = str(bot.team_name or bot.team_id or bot.enterprise_id)
    if bot.bot_token_expires_at is not None and bot.bot_token_expires_at <= time.time():
        # The server renews it; what renews it is good for once, and is not used up here.
        return found("slack", "ok", "workspace_rests", team=team)
    try:
        app, missing = await _ask(settings, bot.bot_token)
    except NETWORK as error:
        if error_code(error):
            return found("slack", "bad", "workspace_token", team=team, error=error_code(error), page=page)
        return _refused("slack", error)
    if missing:
        return found("slack", "bad", "workspace_scopes", team=team, missing=", ".join(missing), page=page)
    return found("slack", "ok", app=app.user, team=app.team)


async def _bot(settings: Settings) -> Diagnosis:
    try:
        app, missing = await _ask(settings, _value(settings.slack_bot_token))
    except NETWORK as error:
        return _refused("slack", error)
    if missing:
        return found("slack", "bad", "scopes", missing=", ".join(missing))
    return found("slack", "ok", app=app.user, team=app.team)


@dataclass(frozen=True, kw_only=True)
class _App:
    user: str
    team: str


async def _ask(settings: Settings, token: str) -> tuple[_App, list[str]]:
    """Who the app is by a token, and the scopes that it lacks."""
    answer = await web_client(settings, token, timeout_s=TIMEOUT_SECONDS).auth_test()
    given = {
        scope.strip()
        for name, value in answer.headers.items()
        if name.lower() == "x-oauth-scopes"
        for scope in str(value).split(",")
    }
    missing = [scope for scope in SCOPES if given and scope not in given]
    return _App(user=str(answer["user"]), team=str(answer["team"])), missing


async def _socket(settings: Settings) -> Diagnosis:
    try:
        client = web_client(settings, timeout_s=TIMEOUT_SECONDS)
        await client.apps_connections_open(app_token=_value(settings.slack_app_token))
    except NETWORK as error:
        return _refused("slack_socket", error)
    return found("slack_socket", "ok")


def _value(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _refused(name: str, error: Exception) -> Diagnosis:
    if isinstance(error, SlackApiError) and error_code(error):
        return found(name, "bad", "token", error=error_code(error))
    return found(name, "bad", "unreachable", error=type(error).__name__)
