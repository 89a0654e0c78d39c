"""Installing the app: the page on which a person allows it, codes, tokens, and their renewal."""

import base64
import binascii
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.slack_emulator.api import Call, method
from tests.slack_emulator.state import Json, Refused, Token

if TYPE_CHECKING:
    from tests.slack_emulator.emulator import SlackEmulator
    from tests.slack_emulator.people import Person

CODE_SECONDS = 600
TOKEN_SECONDS = 12 * 3600


@dataclass(kw_only=True)
class Code:
    """What the app gets for a person's consent; good once, for ten minutes."""

    team_id: str
    user: str
    scopes: tuple[str, ...]
    redirect_uri: str
    expires_at: float
    is_used: bool = False


def allow(person: "Person", url: str) -> str:
    """Allow what the page at ``url`` (``…/oauth/v2/authorize?…``) asks for; returns where Slack sends the browser.

    Raises Refused where Slack shows an error instead of the page.
    """
    slack = person.slack
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    if asked.get("client_id") != slack.client_id:
        raise Refused("invalid_client_id")
    scopes = tuple(scope for scope in asked.get("scope", "").split(",") if scope)
    if not scopes or set(scopes) - set(slack.scopes):
        raise Refused("invalid_scope", unknown=sorted(set(scopes) - set(slack.scopes)))
    redirect_uri = asked.get("redirect_uri") or next(iter(slack.redirect_urls), "")
    if not redirect_uri or not any(redirect_uri.startswith(known) for known in slack.redirect_urls):
        raise Refused("bad_redirect_uri", known=slack.redirect_urls)
    code = slack.secret()
    slack.codes[code] = Code(
        team_id=person.workspace.team_id,
        user=person.id,
        scopes=scopes,
        redirect_uri=asked.get("redirect_uri", ""),
        expires_at=time.monotonic() + CODE_SECONDS,
    )
    return f"{redirect_uri}?{urlencode({'code': code, 'state': asked.get('state', '')})}"


@method(
    "oauth.v2.access",
    optional="code client_id client_secret redirect_uri grant_type refresh_token",
    tier=4,
    token_kind="",
)
def access(call: Call) -> Json:
    _check_client(call)
    if call.get("grant_type") == "refresh_token":
        return _renew(call)
    code = call.slack.codes.get(str(call.get("code")))
    if code is None or time.monotonic() > code.expires_at:
        raise Refused("invalid_code")
    if code.is_used:
        raise Refused("code_already_used")
    if (call.get("redirect_uri") or "") != code.redirect_uri:
        raise Refused("bad_redirect_uri")
    code.is_used = True
    workspace = call.slack.workspaces[code.team_id]
    token = call.slack.install(workspace, scopes=code.scopes)
    return {**_token_json(call, token), "authed_user": {"id": code.user}}


def renewed(slack: "SlackEmulator", token: Token) -> Token:
    """Make a token one of those that end, with what renews it."""
    token.expires_at = time.time() + TOKEN_SECONDS
    token.refresh_token = f"xoxe-1-{slack.secret()}"
    return token


def _renew(call: Call) -> Json:
    """A new token for a refresh token, which is good once. The old token goes on until its own end."""
    wanted = call.get("refresh_token")
    for token in list(call.slack.tokens.values()):
        if wanted and token.refresh_token == wanted and token.revoked_as is None:
            token.refresh_token = None
            workspace = call.slack.workspaces[token.team_id]
            return _token_json(call, call.slack.install(workspace, scopes=token.scopes))
    raise Refused("invalid_refresh_token")


def _check_client(call: Call) -> None:
    client_id, secret = call.get("client_id"), call.get("client_secret")
    if call.authorization.startswith("Basic "):
        try:
            pair = base64.b64decode(call.authorization.removeprefix("Basic ")).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Refused("invalid_client_id") from error
        client_id, _, secret = pair.partition(":")
    if client_id != call.slack.client_id:
        raise Refused("invalid_client_id")
    if secret != call.slack.client_secret:
        raise Refused("bad_client_secret")


def _token_json(call: Call, token: Token) -> Json:
    workspace = call.slack.workspaces[token.team_id]
    answer: Json = {
        "app_id": call.slack.app_id,
        "access_token": token.value,
        "token_type": "bot",
        "scope": ",".join(token.scopes),
        "bot_user_id": workspace.bot_user_id,
        "team": {"id": workspace.team_id, "name": workspace.name},
        "enterprise": None,
        "is_enterprise_install": False,
    }
    if token.refresh_token is not None and token.expires_at is not None:
        answer |= {"refresh_token": token.refresh_token, "expires_in": int(token.expires_at - time.time())}
    return answer
