"""Slack's errors, translated once: what may be tried again, what never will, and what nobody can know."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.faces import NeverShown, Unreachable

GONE = frozenset({"channel_not_found", "thread_not_found", "user_not_found"})
"""The place is not there any more, or never was for us."""

RESTRICTED = frozenset(
    {
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
    }
)
"""The workspace lets only some people post there, or not in that way."""

SHUT = RESTRICTED | {
    "not_in_channel",
    "is_archived",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "invalid_auth",
    "missing_scope",
    "not_authed",
    "access_denied",
    "team_access_not_granted",
}
"""Somebody has to do something first: invite the app, let it post, install it anew."""

OUTSIDE = frozenset({"channel_not_found", "not_in_channel"})
"""The app is not a member of the channel: a private one does not even exist for it."""

UNCERTAIN = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Slack says itself that it may have been done nevertheless."""

SHUT_SECONDS = 300.0
BROKEN_SECONDS = 2.0

NETWORK = (aiohttp.ClientError, asyncio.TimeoutError, SlackClientError, OSError)


class NotInstalled(Exception):
    """The app is not, or no longer, in that workspace."""


def error_code(error: Exception) -> str:
    """Slack's name of an error; empty where it came from the network."""
    if not isinstance(error, SlackApiError) or error.response is None or isinstance(error.response, str):
        return ""
    data = error.response.data
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def was_refused(error: Exception) -> bool:
    """Whether it is certain that nothing was done."""
    code = error_code(error)
    return bool(code) and code not in UNCERTAIN


@contextmanager
def translated() -> Iterator[None]:
    """Raise Slack's errors as ours: Unreachable or NeverShown. What is left is a bug."""
    try:
        yield
    except NotInstalled as error:
        raise Unreachable("not_installed", after_s=SHUT_SECONDS) from error
    except NETWORK as error:
        code = error_code(error)
        if code in GONE:
            raise NeverShown(code) from error
        if code in SHUT:
            raise Unreachable(code, after_s=SHUT_SECONDS) from error
        if code == "ratelimited":
            raise Unreachable(code, after_s=retry_after(error)) from error
        if was_refused(error):
            raise
        raise Unreachable(code or type(error).__name__, after_s=BROKEN_SECONDS) from error


def retry_after(error: Exception) -> float:
    """Seconds after which Slack wants to be asked again."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    for name, value in headers.items():
        if name.lower() == "retry-after":
            return float(value[0] if isinstance(value, list) else value)
    return BROKEN_SECONDS
