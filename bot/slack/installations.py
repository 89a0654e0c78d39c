"""Where the app is installed: Slack's own installation records, encrypted in our table.

Not the SDK's SQL store: it keeps tokens in plain columns. The keys come from the environment; the first encrypts, every
one decrypts, so that a key is changed by putting a new one in front.
"""

import json
import time
from datetime import UTC, datetime
from logging import Logger, getLogger
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore

from bot.slack.places import FACE
from bot.stopping import CannotGoOnError
from storage.installations import all_installations, drop_installation, find_installation, put_installation
from storage.store import Store


def cipher(keys: str) -> MultiFernet:
    """The cipher of ``TUNESMITH_ENCRYPTION_KEYS``: Fernet keys, a comma between them. Raises CannotGoOnError."""
    try:
        return MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()])
    except ValueError as error:
        raise CannotGoOnError("read_keys") from error


class Installations(AsyncInstallationStore):
    """The SDK's port to installations, a row a workspace (or an organisation that installed it for all of its own)."""

    def __init__(self, store: Store, keys: MultiFernet) -> None:
        self._store = store
        self._keys = keys

    @property
    def logger(self) -> Logger:
        """Of the SDK's own messages."""
        return getLogger(__name__)

    async def async_save(self, installation: Installation) -> None:
        """Keep an installation, in place of an earlier one."""
        await self._put(installation)

    async def async_save_bot(self, bot: Bot) -> None:
        """Keep a bot's rotated tokens."""
        installation = await self._find(bot.enterprise_id, bot.team_id, is_whole_enterprise=bot.is_enterprise_install)
        if installation is None:
            return
        installation.bot_token = bot.bot_token
        installation.bot_refresh_token = bot.bot_refresh_token
        installation.bot_token_expires_at = bot.bot_token_expires_at
        await self._put(installation)

    async def async_find_bot(
        self, *, enterprise_id: str | None, team_id: str | None, is_enterprise_install: bool | None = False
    ) -> Bot | None:
        """The bot of a workspace, or of the organisation that it belongs to."""
        found = await self._find(enterprise_id, team_id, is_whole_enterprise=bool(is_enterprise_install))
        return found.to_bot() if found else None

    async def async_find_installation(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None = None,
        is_enterprise_install: bool | None = False,
    ) -> Installation | None:
        """The installation in a workspace."""
        return await self._find(enterprise_id, team_id, is_whole_enterprise=bool(is_enterprise_install))

    async def everywhere(self) -> list[Bot]:
        """The bots of all workspaces. Raises CannotGoOnError where a key is missing."""
        async with self._store.reading() as session:
            contents = await all_installations(session, face=FACE)
        return [self._read(content).to_bot() for content in contents]

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """Forget a workspace's tokens."""
        await self.async_delete_all(enterprise_id=enterprise_id, team_id=team_id)

    async def async_delete_installation(
        self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """Nothing: tokens of single people are not kept."""

    async def async_delete_all(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """Forget a workspace."""
        await self.forget(team_id or enterprise_id or "", told_at=time.time())

    async def forget(self, workspace: str, *, told_at: float) -> None:
        """Forget a workspace whose tokens ended in that second of Slack's clock.

        Slack may tell it late, or once more, when the app has been installed anew: that installation stays.
        """
        next_second = datetime.fromtimestamp(int(told_at) + 1, UTC)
        async with self._store.transaction() as session:
            await drop_installation(session, face=FACE, workspace=workspace, kept_before=next_second)

    async def _put(self, installation: Installation) -> None:
        whole = installation.is_enterprise_install
        workspace = (installation.enterprise_id if whole else installation.team_id) or ""
        content = self._keys.encrypt(json.dumps(installation.to_dict_for_copying(), default=str).encode()).decode()
        async with self._store.transaction() as session:
            await put_installation(session, face=FACE, workspace=workspace, content=content)

    async def _find(
        self, enterprise_id: str | None, team_id: str | None, *, is_whole_enterprise: bool
    ) -> Installation | None:
        names = [enterprise_id, team_id] if is_whole_enterprise else [team_id, enterprise_id]
        async with self._store.reading() as session:
            for name in filter(None, names):
                content = await find_installation(session, face=FACE, workspace=name)
                if content is not None:
                    return self._read(content)
        return None

    def _read(self, content: str) -> Installation:
        try:
            values: dict[str, Any] = json.loads(self._keys.decrypt(content.encode()))
        except InvalidToken as error:
            raise CannotGoOnError("decrypt_installation") from error
        return Installation(**values)
