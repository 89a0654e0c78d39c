"""A real database for the web face's own code."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import tests.web_chainlit  # noqa: F401  # before any test module of this folder imports Chainlit
from bot.settings import Settings
from storage.store import Store
from tests.databases import put_database


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    url = Settings(home=tmp_path).database_url
    await put_database(url)
    store = Store(url)
    yield store
    await store.close()
