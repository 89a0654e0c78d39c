"""The app in each workspace: a token that is valid now, and what Slack knows of people and channels."""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import structlog
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackTokenRotationError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.oauth.installation_store import Bot
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator
from slack_sdk.web.async_client import AsyncWebClient

from bot.settings import Settings
from bot.slack.clients import web_client
from bot.slack.errors import NETWORK, OUTSIDE, NotInstalled, error_code
from bot.slack.installations import Installations
from bot.slack.limits import Limits

log = structlog.get_logger(__name__)

KNOWN_FOR_SECONDS = 3600.0
INSIDE_FOR_SECONDS = 60.0
"""So long the app is taken to be in a channel that it was found in."""
MINUTES_BEFORE_EXPIRY = 120
SECONDS_BETWEEN_RENEWALS = 60.0
"""That fail. Until its end the token is as good as before."""
PEOPLE_A_PAGE = 500
MOST_PAGES = 10
"""Of people, when many unknown ones come at once; whoever is further back is spoken to in English for the moment."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """What Slack knows of somebody."""

    name: str
    locale: str = "en-US"


class Workspaces:
    """Clients by workspace. Nothing here is kept over a restart but the installations."""

    def __init__(self, settings: Settings, installations: Installations | None, limits: Limits) -> None:
        """``installations``: none where the app is in one workspace, whose token is among the settings."""
        self._settings = settings
        self._installations = installations
        self._limits = limits
        self._renewing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._renewed_again_at: dict[str, float] = {}
        """Workspace -> when a token that could not be renewed, and is good for now, is tried again."""
        self._listing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._own: AuthorizeResult | None = None
        self._people: dict[tuple[str, str], tuple[float, Person]] = {}
        self._channels: dict[tuple[str, str], str] = {}
        self._inside_until: dict[tuple[str, str], float] = {}
        self._rotator = None
        if settings.slack_client_id and settings.slack_client_secret:
            self._rotator = AsyncTokenRotator(
                client_id=settings.slack_client_id,
                client_secret=settings.slack_client_secret.get_secret_value(),
                client=web_client(settings),
            )

    async def authorize(
        self, enterprise_id: str | None, team_id: str | None, is_enterprise_install: bool | None = False
    ) -> AuthorizeResult | None:
        """Who the app is in a workspace, as Bolt asks it; None where it is not installed."""
        if self._installations is None:
            return await self._authorize_own(team_id)
        find = partial(
            self._installations.async_find_bot,
            enterprise_id=enterprise_id,
            team_id=team_id,
            is_enterprise_install=is_enterprise_install,
        )
        bot = await find()
        if bot is not None and ends_soon(bot):
            # What renews a token is good for once: whoever comes second finds it done.
            async with self._renewing.setdefault(team_id or enterprise_id or "", asyncio.Lock()):
                bot = await self._renewed(await find())
        if bot is None:
            return None
        return AuthorizeResult(
            enterprise_id=bot.enterprise_id,
            team_id=team_id or bot.team_id,
            bot_id=bot.bot_id,
            bot_user_id=bot.bot_user_id,
            bot_token=bot.bot_token,
        )

    async def _renewed(self, bot: Bot | None) -> Bot | None:
        if bot is None or self._rotator is None or self._installations is None:
            return bot
        is_valid = (bot.bot_token_expires_at or 0) > time.time()
        team = bot.team_id or bot.enterprise_id or ""
        if is_valid and time.monotonic() < self._renewed_again_at.get(team, 0.0):
            return bot
        try:
            renewed = await self._rotator.perform_bot_token_rotation(
                bot=bot, minutes_before_expiration=MINUTES_BEFORE_EXPIRY
            )
        except NETWORK as error:
            if not is_valid:
                raise
            log.warning("slack.token_not_renewed", team=team, error=rotation_error(error))
            self._renewed_again_at[team] = time.monotonic() + SECONDS_BETWEEN_RENEWALS
            return bot
        if renewed is None:
            return bot
        await self._installations.async_save_bot(renewed)
        return renewed

    async def client(self, team: str) -> AsyncWebClient:
        """A client for calls that may be repeated: it tries again by itself. Raises NotInstalled."""
        client = web_client(self._settings, await self._token(team))
        client.retry_handlers = [
            AsyncConnectionErrorRetryHandler(max_retry_count=2),
            AsyncRateLimitErrorRetryHandler(max_retry_count=1),
            AsyncServerErrorRetryHandler(max_retry_count=2),
        ]
        return client

    async def posting_client(self, team: str) -> AsyncWebClient:
        """A client for calls that must not be repeated before somebody has looked. Raises NotInstalled."""
        client = web_client(self._settings, await self._token(team))
        client.retry_handlers = [AsyncRateLimitErrorRetryHandler(max_retry_count=1)]
        return client

    async def person(self, team: str, user: str) -> Person:
        """Somebody's name and language; where Slack does not say, their id and English."""
        known = self._people.get((team, user))
        if known and known[0] > time.monotonic():
            return known[1]
        try:
            return await self._ask_for(team, user)
        except (*NETWORK, NotInstalled):
            log.info("slack.person_unknown", team=team, user=user)
            return known[1] if known else Person(name=user)

    async def _ask_for(self, team: str, user: str) -> Person:
        """Ask for one person; where so many came at once that Slack would refuse, for all of them together."""
        if self._limits.has_room(team, "users.info"):
            await self._limits.wait(team, "users.info")
            client = await self.client(team)
            found = (await client.users_info(user=user, include_locale=True))["user"]
            return self._note(team, found)
        async with self._listing.setdefault(team, asyncio.Lock()):
            if (team, user) not in self._people:
                await self._list(team)
        known = self._people.get((team, user))
        return known[1] if known else Person(name=user)

    async def _list(self, team: str) -> None:
        client = await self.client(team)
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            await self._limits.wait(team, "users.list")
            answer = await client.users_list(include_locale=True, limit=PEOPLE_A_PAGE, cursor=cursor)
            for found in answer["members"]:
                self._note(team, found)
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def _note(self, team: str, found: dict[str, Any]) -> Person:
        profile = found.get("profile") or {}
        name = profile.get("display_name") or found.get("real_name") or found.get("name") or found["id"]
        person = Person(name=name, locale=found.get("locale") or "en-US")
        self._people[team, found["id"]] = (time.monotonic() + KNOWN_FOR_SECONDS, person)
        return person

    async def channel_name(self, team: str, channel: str) -> str:
        """A channel's name with its ``#``; its id where Slack does not say."""
        if (team, channel) not in self._channels:
            try:
                client = await self.client(team)
                found = (await client.conversations_info(channel=channel))["channel"]
            except (*NETWORK, NotInstalled):
                return channel
            self._channels[team, channel] = f"#{found.get('name', channel)}"
        return self._channels[team, channel]

    async def is_outside(self, team: str, channel: str) -> bool:
        """Whether the app is certainly not in a channel; where Slack does not say, it may be."""
        is_known = self._inside_until.get((team, channel), 0.0) > time.monotonic()
        if is_known or not self._limits.has_room(team, "conversations.info"):
            return False
        try:
            await self._limits.wait(team, "conversations.info")
            client = await self.client(team)
            found = (await client.conversations_info(channel=channel))["channel"]
        except (*NETWORK, NotInstalled) as error:
            return error_code(error) in OUTSIDE
        # Direct messages have no such field: whoever is not in them is not told of them.
        if not found.get("is_member", True):
            return True
        self._inside_until[team, channel] = time.monotonic() + INSIDE_FOR_SECONDS
        return False

    async def direct_channel(self, team: str, user: str) -> str:
        """The channel of somebody's direct messages with the app."""
        client = await self.client(team)
        return str((await client.conversations_open(users=[user]))["channel"]["id"])

    async def _token(self, team: str) -> str:
        found = await self.authorize(None, team)
        if found is None or not found.bot_token:
            raise NotInstalled(team)
        return found.bot_token

    async def _authorize_own(self, team_id: str | None) -> AuthorizeResult | None:
        token = self._settings.slack_bot_token
        if token is None:
            return None
        if self._own is None:
            answer = await web_client(self._settings, token.get_secret_value()).auth_test()
            self._own = AuthorizeResult.from_auth_test_response(
                bot_token=token.get_secret_value(), auth_test_response=answer
            )
        return self._own if team_id in {None, self._own.team_id} else None


def ends_soon(bot: Bot) -> bool:
    """Whether a token has to be renewed."""
    expires_at = bot.bot_token_expires_at
    return expires_at is not None and expires_at <= time.time() + 60 * MINUTES_BEFORE_EXPIRY


def rotation_error(error: Exception) -> str:
    """Why a token was not renewed, in Slack's word or the network's."""
    cause = error.api_error if isinstance(error, SlackTokenRotationError) else error
    return error_code(cause) or type(cause).__name__
