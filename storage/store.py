"""The database: one engine, and short transactions on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry


class Store:
    """The database at ``url`` (``sqlite+aiosqlite:///...``); :mod:`storage.migrations` makes its tables."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        self._writing: AbstractAsyncContextManager[object] = (
            # SQLite has one writer, and whoever finds it busy sleeps longer and longer: here they queue, first come
            # first served. Other processes of the home are few and brief; for them SQLite's own waiting is enough.
            asyncio.Lock() if self.engine.dialect.name == "sqlite" else nullcontext()
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A writing transaction: committed at the end, rolled back when the body raises."""
        async with self._writing, self._sessions() as session, session.begin():
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A reading transaction: it never waits for a writer."""
        async with self._sessions() as session:
            await session.connection(execution_options={"tunesmith_reading": True})
            yield session

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def create_engine(url: str) -> AsyncEngine:
    """An engine for ``url``; on SQLite with WAL, foreign keys, and ``BEGIN IMMEDIATE`` for writing."""
    # What is stored is people's own: it stays out of error messages, and so out of logs.
    engine = create_async_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver's own transaction handling is switched off: `_begin_sqlite` says BEGIN.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=15000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    reading = connection.get_execution_options().get("tunesmith_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
