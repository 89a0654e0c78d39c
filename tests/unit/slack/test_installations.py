"""Tokens are encrypted in the table, keys can be changed, and a workspace is found with or without its organisation."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store import Installation
from sqlalchemy import text

from bot.slack.installations import Installations, cipher
from bot.stopping import CannotGoOnError
from storage.store import Store
from tests.databases import put_database

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'slack.db'}"
    await put_database(url)
    made = Store(url)
    yield made
    await made.close()


def installation(**changes: object) -> Installation:
    given = {
        "team_id": "T1",
        "enterprise_id": None,
        "user_id": "U1",
        "bot_token": "xoxb-secret-1",
        "bot_id": "B1",
        "bot_user_id": "UBOT",
        "bot_refresh_token": "xoxe-secret-2",
        "bot_token_expires_at": 1_900_000_000,
        "bot_scopes": ["chat:write", "commands"],
    }
    return Installation(**{**given, **changes})  # type: ignore[arg-type]


async def content(store: Store) -> str:
    async with store.reading() as session:
        return str((await session.execute(text("SELECT content FROM installations"))).scalar_one())


async def test_an_installation_comes_back_whole_and_is_not_readable_in_the_table(store: Store) -> None:
    installations = Installations(store, cipher(OLD))
    await installations.async_save(installation())
    assert "xox" not in await content(store)
    bot = await installations.async_find_bot(enterprise_id=None, team_id="T1")
    assert bot is not None
    assert (bot.bot_token, bot.bot_user_id, bot.bot_refresh_token) == ("xoxb-secret-1", "UBOT", "xoxe-secret-2")
    assert bot.bot_token_expires_at == 1_900_000_000
    assert list(bot.bot_scopes) == ["chat:write", "commands"]
    assert await installations.async_find_bot(enterprise_id=None, team_id="T2") is None


async def test_rotated_tokens_take_the_place_of_the_old_ones(store: Store) -> None:
    installations = Installations(store, cipher(OLD))
    await installations.async_save(installation())
    bot = await installations.async_find_bot(enterprise_id=None, team_id="T1")
    assert bot is not None
    bot.bot_token, bot.bot_refresh_token = "xoxb-new", "xoxe-new"
    await installations.async_save_bot(bot)
    found = await installations.async_find_installation(enterprise_id=None, team_id="T1")
    assert found is not None
    assert (found.bot_token, found.bot_refresh_token, found.user_id) == ("xoxb-new", "xoxe-new", "U1")


async def test_a_new_key_in_front_reads_what_the_old_one_wrote(store: Store) -> None:
    await Installations(store, cipher(OLD)).async_save(installation())
    assert await Installations(store, cipher(f"{NEW}, {OLD}")).async_find_bot(enterprise_id=None, team_id="T1")
    with pytest.raises(CannotGoOnError):
        await Installations(store, cipher(NEW)).async_find_bot(enterprise_id=None, team_id="T1")


async def test_an_organisation_s_installation_serves_its_workspaces(store: Store) -> None:
    installations = Installations(store, cipher(OLD))
    await installations.async_save(installation(team_id=None, enterprise_id="E1", is_enterprise_install=True))
    found = await installations.async_find_bot(enterprise_id="E1", team_id="T9", is_enterprise_install=True)
    assert found is not None
    assert await installations.async_find_bot(enterprise_id="E1", team_id="T9") is not None


async def test_what_was_removed_is_gone(store: Store) -> None:
    installations = Installations(store, cipher(OLD))
    await installations.async_save(installation())
    await installations.async_delete_all(enterprise_id=None, team_id="T1")
    assert await installations.async_find_bot(enterprise_id=None, team_id="T1") is None


async def test_an_end_that_is_told_late_leaves_a_newer_installation(store: Store) -> None:
    installations = Installations(store, cipher(OLD))
    removed_at = time.time() - 60
    await installations.async_save(installation())
    await installations.forget("T1", told_at=removed_at)
    assert await installations.async_find_bot(enterprise_id=None, team_id="T1") is not None
    # Slack's clock has whole seconds.
    await installations.forget("T1", told_at=int(time.time()))
    assert await installations.async_find_bot(enterprise_id=None, team_id="T1") is None


@pytest.mark.parametrize("keys", ["", "short", f"{OLD},nonsense"], ids=["none", "short", "one of two"])
def test_what_is_no_key_is_refused(keys: str) -> None:
    with pytest.raises(CannotGoOnError):
        cipher(keys)
