"""Chainlit reads its folder while it is imported: it gets one of its own here, before any test module is read."""

import atexit
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.settings import Settings
from chainlit_app.prepare import prepare
from storage.migrations import upgrade
from storage.store import Store

HOME = Path(tempfile.mkdtemp(prefix="tunesmith-web-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
prepare(Settings(home=HOME))
with warnings.catch_warnings():
    # Chainlit's own dependencies are not warning-free.
    warnings.simplefilter("ignore")
    import chainlit.server  # noqa: F401  # the import is what matters


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    url = Settings(home=tmp_path).database_url
    await upgrade(url)
    store = Store(url)
    yield store
    await store.close()
