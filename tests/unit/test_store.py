"""What a database that is closed leaves behind."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.settings import Settings
from storage.models import User
from storage.store import Store
from tests.databases import put_database


@pytest.mark.parametrize("kind", ["reading", "transaction"])
async def test_who_was_cancelled_in_the_middle_leaves_no_thread_at_work(tmp_path: Path, kind: str) -> None:
    """It would tell a loop that is closed by then."""
    for turns in range(40):
        url = Settings(home=tmp_path / str(turns)).database_url
        await put_database(url)
        store = Store(url)

        async def ask(store: Store = store) -> None:
            async with store.reading() if kind == "reading" else store.transaction() as session:
                await session.scalar(select(User).limit(1))

        asking = asyncio.create_task(ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await store.close()
        assert [one.name for one in threading.enumerate() if "_connection_worker_thread" in one.name] == [], turns
