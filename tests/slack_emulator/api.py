"""The Web API: who calls, may they, how often, with what; then the method."""

import asyncio
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.slack_emulator.state import Channel, Json, Refused, SlackMessage, Token

if TYPE_CHECKING:
    from tests.slack_emulator.emulator import SlackEmulator
    from tests.slack_emulator.people import Person
    from tests.slack_emulator.workspace import Workspace

AS_JSON = frozenset({"blocks", "attachments", "view", "metadata", "files", "prompts", "chunks", "loading_messages"})
"""Arguments that are JSON even where the call is a form."""
EVERYWHERE = frozenset({"token", "team_id"})
"""``team_id`` is for tokens of whole organisations; Bolt always sends it."""
HISTORY = frozenset({"conversations.history", "conversations.replies"})
"""Distributed apps outside Slack's marketplace may call these once a minute, for 15 messages."""
KINDS = {"public": "channels", "private": "groups", "im": "im"}


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A call that the app made."""

    method: str
    arguments: Json
    at: float
    """Wall-clock seconds."""
    status: int
    error: str
    """Empty where all was well."""
    answer: Json = field(default_factory=dict, repr=False)


@dataclass(kw_only=True)
class Call:
    """A call on its way."""

    slack: "SlackEmulator"
    method: str
    arguments: Json
    token: Token | None
    authorization: str = ""
    """The header as it came."""

    @property
    def workspace(self) -> "Workspace":
        """The workspace of the token."""
        assert self.token is not None
        return self.slack.workspaces[self.token.team_id]

    def get(self, name: str) -> Any:
        return self.arguments.get(name)

    def flag(self, name: str) -> bool:
        """A yes or no, as forms write it."""
        return str(self.arguments.get(name, "")).lower() in {"1", "true"}

    def number(self, name: str, default: int) -> int:
        """A whole number. Raises Refused."""
        try:
            return int(self.arguments.get(name, default))
        except ValueError as error:
            raise Refused("invalid_arguments") from error

    def channel(self, name: str = "channel") -> Channel:
        """The channel that is meant, if the app may know of it. A person's id stands for their direct messages."""
        wanted = str(self.arguments[name])
        person = self.workspace.users.get(wanted)
        found = person.dm if person else self.workspace.channels.get(wanted)
        if found is None or (found.kind == "private" and not found.has_bot):
            raise Refused("channel_not_found")
        return found

    def channel_inside(self, name: str = "channel") -> Channel:
        """The channel that is meant, of which the app is a member."""
        found = self.channel(name)
        if not found.has_bot:
            raise Refused("not_in_channel")
        return found

    def person(self, name: str = "user") -> "Person":
        found = self.workspace.users.get(str(self.arguments[name]))
        if found is None:
            raise Refused("user_not_found")
        return found

    def own_message(self, channel: Channel, foreign: str) -> SlackMessage:
        """The app's message ``ts``; ``foreign``: the error for anybody else's."""
        message = channel.messages.get(str(self.arguments["ts"]))
        if message is None or message.is_ephemeral or message.subtype == "tombstone":
            raise Refused("message_not_found")
        if message.bot_id != self.workspace.bot_id:
            raise Refused(foreign)
        return message

    def need_scope(self, kind: str, *channels: Channel) -> None:
        """Refuse where the scope of that kind for these channels is missing: ``history`` or ``read``."""
        for channel in channels:
            _need_any(self, (f"{KINDS[channel.kind]}:{kind}",))


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of the Web API."""

    run: Callable[[Call], Json]
    required: frozenset[str]
    known: frozenset[str]
    scopes: tuple[str, ...]
    """One of them is needed; none: any token will do."""
    tier: int | None
    token_kind: str
    """``bot``, ``app`` or nothing."""


METHODS: dict[str, Method] = {}


def method(
    name: str,
    *,
    required: str = "",
    optional: str = "",
    scopes: tuple[str, ...] = (),
    tier: int | None = None,
    token_kind: str = "bot",
) -> Callable[[Callable[[Call], Json]], Callable[[Call], Json]]:
    """Register a method with the arguments that Slack documents for it; any other is refused.

    Slack itself overlooks unknown arguments: what it overlooks, the app meant in vain.
    """

    def register(run: Callable[[Call], Json]) -> Callable[[Call], Json]:
        needed = frozenset(required.split())
        METHODS[name] = Method(
            run=run,
            required=needed,
            known=needed | frozenset(optional.split()) | EVERYWHERE,
            scopes=scopes,
            tier=tier,
            token_kind=token_kind,
        )
        return run

    return register


async def handle(slack: "SlackEmulator", request: web.Request) -> web.StreamResponse:
    """Answer a call of the Web API."""
    name = request.match_info["method"]
    if name in slack.faults.held:
        await slack.faults.held[name].wait()
    try:
        arguments, error = await _arguments(request), ""
    except Refused as refused:
        arguments, error = {}, refused.error
    await asyncio.sleep(slack.faults.late.pop(name, 0.0))
    response, answer = _answer(slack, request, name, arguments, error)
    shown = {key: value for key, value in arguments.items() if key not in {"token", "client_secret", "refresh_token"}}
    slack.calls.append(
        CallRecord(
            method=name,
            arguments=shown,
            at=time.time(),
            status=response.status,
            error=str(answer.get("error", "")),
            answer=answer,
        )
    )
    slack.changes.note()
    if response.status == 200 and slack.faults.hits(slack.faults.lost_answers, "lost", name):
        assert request.transport is not None
        request.transport.abort()
    return response


def _answer(
    slack: "SlackEmulator", request: web.Request, name: str, arguments: Json, error: str
) -> tuple[web.Response, Json]:
    if slack.faults.fails(name):
        return web.Response(status=503, text="upstream is not there"), {"error": "http_503"}
    token = _find_token(slack, request, arguments)
    headers: dict[str, str] = {}
    try:
        if error:
            raise Refused(error)
        found = METHODS.get(name)
        if found is None:
            raise Refused("unknown_method", req_method=name)
        authorization = request.headers.get("Authorization", "")
        call = Call(slack=slack, method=name, arguments=arguments, token=token, authorization=authorization)
        _check_token(call, found)
        if found.token_kind == "bot" and token is not None:
            headers |= {"x-oauth-scopes": ",".join(token.scopes), "x-accepted-oauth-scopes": ",".join(found.scopes)}
        wait_s = _wait_s(call, found)
        if wait_s:
            answer: Json = {"ok": False, "error": "ratelimited"}
            return web.json_response(answer, status=429, headers={**headers, "Retry-After": str(wait_s)}), answer
        _need_any(call, found.scopes)
        _check_arguments(call, found)
        answer = {"ok": True, **found.run(call)}
    except Refused as refused:
        answer = {"ok": False, "error": refused.error, **refused.more}
    return web.json_response(answer, headers=headers), answer


async def _arguments(request: web.Request) -> Json:
    """Query, form and JSON, whatever the verb: clients send all of them."""
    arguments: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            content = await request.json()
        except ValueError as error:
            raise Refused("invalid_json") from error
        if not isinstance(content, dict):
            raise Refused("json_not_object")
        arguments |= {name: value for name, value in content.items() if value is not None}
    elif request.can_read_body:
        arguments |= dict(await request.post())
    for name in AS_JSON & arguments.keys():
        if isinstance(arguments[name], str):
            arguments[name] = _decoded(name, arguments[name])
    return arguments


def _decoded(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Refused("invalid_blocks_format" if name == "blocks" else "invalid_arguments") from error


def _find_token(slack: "SlackEmulator", request: web.Request, arguments: Mapping[str, Any]) -> Token | None:
    header = request.headers.get("Authorization", "")
    value = header.removeprefix("Bearer ") if header.startswith("Bearer ") else str(arguments.get("token", ""))
    if hmac.compare_digest(value.encode(), slack.app_token.encode()):
        return Token(value=value, team_id="", scopes=("connections:write",))
    if not value:
        return None
    return slack.tokens.get(value) or Token(value=value, team_id="", scopes=(), revoked_as="invalid_auth")


def _check_token(call: Call, found: Method) -> None:
    token = call.token
    if not found.token_kind:
        return
    if token is None:
        raise Refused("not_authed")
    if token.revoked_as is not None:
        raise Refused(token.revoked_as)
    if token.expires_at is not None and time.time() >= token.expires_at:
        raise Refused("token_expired")
    if (found.token_kind == "app") != (token.value == call.slack.app_token):
        raise Refused("not_allowed_token_type")


def _need_any(call: Call, scopes: tuple[str, ...]) -> None:
    if scopes and call.token is not None and not set(scopes) & set(call.token.scopes):
        raise Refused("missing_scope", needed=",".join(scopes), provided=",".join(call.token.scopes))


def _wait_s(call: Call, found: Method) -> int:
    faults = call.slack.faults
    if faults.hits(faults.rate_limited, "limited", call.method):
        return 1
    team = call.token.team_id if call.token else ""
    channel = str(call.arguments.get("channel", ""))
    tier = 1 if call.slack.has_hard_history_limits and call.method in HISTORY else found.tier
    return call.slack.limits.retry_after_s(team=team, method=call.method, tier=tier, channel=channel)


def _check_arguments(call: Call, found: Method) -> None:
    problems = [f"[ERROR] missing required field: {name}" for name in sorted(found.required - call.arguments.keys())]
    problems += [f"[ERROR] unknown argument: {name}" for name in sorted(call.arguments.keys() - found.known)]
    if problems:
        raise Refused("invalid_arguments", response_metadata={"messages": problems})
