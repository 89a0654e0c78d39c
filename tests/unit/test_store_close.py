"""The database is closed after those who are in the middle of something."""

import asyncio
import gc
from pathlib import Path

from sqlalchemy import text

from storage.store import Store
from tests.databases import put_database


async def test_whoever_is_in_the_middle_of_something_ends_it_before_the_database_is_closed(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'some.db'}"
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
    url = f"sqlite+aiosqlite:///{tmp_path / 'some.db'}"
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
