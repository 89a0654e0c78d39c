"""Whether Slack takes the tokens, and gives the app what it needs."""

from pydantic import SecretStr
from slack_sdk.errors import SlackApiError

from bot.diagnoses import Diagnosis, found
from bot.settings import Settings
from bot.slack.clients import web_client
from bot.slack.configuration import ways
from bot.slack.errors import NETWORK, error_code
from bot.slack.manifest import SCOPES
from bot.stopping import CannotGoOnError

TIMEOUT_SECONDS = 10


async def diagnose_slack(settings: Settings) -> list[Diagnosis]:
    """The bot's token with its scopes, and the app's token for Socket Mode."""
    try:
        how = ways(settings)
    except CannotGoOnError as error:
        return [found("slack", "bad", f"cannot.{error.code}", **error.values)]
    findings = [_distributed(settings) if how.is_distributed else await _bot(settings)]
    if how.is_socket:
        findings.append(await _socket(settings))
    return findings


def _distributed(settings: Settings) -> Diagnosis:
    return found("slack", "ok", "distributed", page=f"{settings.public_url or ''}/slack/install")


async def _bot(settings: Settings) -> Diagnosis:
    try:
        answer = await web_client(settings, _value(settings.slack_bot_token), timeout_s=TIMEOUT_SECONDS).auth_test()
    except NETWORK as error:
        return _refused("slack", error)
    given = {
        scope.strip()
        for name, value in answer.headers.items()
        if name.lower() == "x-oauth-scopes"
        for scope in str(value).split(",")
    }
    missing = [scope for scope in SCOPES if scope not in given]
    if given and missing:
        return found("slack", "bad", "scopes", missing=", ".join(missing))
    return found("slack", "ok", app=str(answer["user"]), team=str(answer["team"]))


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
