"""What a database that is closed leaves behind."""

import asyncio
import gc
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select, text

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


async def test_whoever_is_in_the_middle_of_something_ends_it_before_the_database_is_closed(tmp_path: Path) -> None:
    url = Settings(home=tmp_path).database_url
    await put_database(url)
    store, begun, ended = Store(url), asyncio.Event(), []

    async def write() -> None:
        async with store.transaction() as session:
            await session.execute(text("SELECT 1"))
            begun.set()
            await asyncio.sleep(0.2)
        ended.append("write")

    writing = asyncio.create_task(write())
    await begun.wait()
    await store.close()
    ended.append("close")
    await writing
    assert ended == ["write", "close"]


async def test_whoever_was_cancelled_a_moment_ago_leaves_no_connection(tmp_path: Path) -> None:
    url = Settings(home=tmp_path).database_url
    await put_database(url)
    store, begun = Store(url), asyncio.Event()

    async def read() -> None:
        async with store.reading() as session:
            await session.execute(text("SELECT 1"))
            begun.set()
            await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await begun.wait()
    reading.cancel()
    await store.close()
    assert reading.cancelled()
    # A connection that nobody closed would be told of now.
    gc.collect()
