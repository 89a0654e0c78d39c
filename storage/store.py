"""The database: one engine, and short transactions on it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiosqlite
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from storage.urls import complete_url

READING = "tunesmith_reading"
"""Of a connection's execution options: it writes nothing, and so waits for no writer."""

SECONDS_TO_END = 10.0
"""Whoever is in the middle of something when the database is closed may take so long."""

WRITER = 788_374_101
"""The advisory lock of whoever writes to a PostgreSQL database of ours: any number that nobody else takes."""

_POSTGRESQL_SETTINGS = """
SET lock_timeout = '15s';
SET idle_in_transaction_session_timeout = '60s';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '25s';
"""
"""How long a writer waits for another as on SQLite, and how soon the server gives up one that hangs or is gone."""

_LIBPQ_OPTIONS = {
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""Among them, how soon we give up a server that is gone without a word. The URL's own go before these."""


class Store:
    """The database at ``url`` (SQLite's or PostgreSQL's); :mod:`storage.migrations` makes its tables."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        self._files = _OpenFiles(self.engine)
        # A database has one writer at a time (see `create_engine`). Those of this process queue here, first come first
        # served: on SQLite whoever finds it busy sleeps longer and longer, on PostgreSQL each would hold a connection.
        self._writing = asyncio.Lock()
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._users = 0
        """How many are in a transaction, or wait for one."""
        self._is_unused = asyncio.Event()
        self._is_unused.set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A writing transaction: committed at the end, rolled back when the body raises.

        What it reads no other writer changes before it ends.
        """
        with self._used():
            async with self._writing, self._sessions() as session, session.begin():
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A reading transaction: one state of the database, and it never waits for a writer."""
        with self._used():
            async with self._sessions() as session:
                await session.connection(execution_options=self._reading_options)
                yield session

    @property
    def _reading_options(self) -> dict[str, Any]:
        if self.engine.dialect.name == "sqlite":
            return {READING: True}
        return {READING: True, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    async def close(self) -> None:
        """Close every connection.

        Whoever is in the middle of something, such as a task that was cancelled a moment ago, ends it first: what it
        holds would never be closed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_END):
                await self._is_unused.wait()
        await self.engine.dispose()
        await self._files.ended()

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._users += 1
        self._is_unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._is_unused.set()


class _OpenFiles:
    """The connections of an engine to SQLite, each with a thread of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._connections: list[aiosqlite.Connection] = []
        if engine.dialect.name == "sqlite":
            event.listen(engine.sync_engine, "do_connect", self._remember)

    async def ended(self) -> None:
        """Wait for the threads that were told to end.

        Whoever was cancelled in the middle of a statement has not waited for it: its thread is busy still, and would
        tell a loop that is closed by then.
        """
        for connection in self._connections:
            if not connection._running:
                await asyncio.to_thread(connection._thread.join)
        self._connections.clear()

    def _remember(self, _dialect: Any, _record: Any, _arguments: Any, given: dict[str, Any]) -> None:
        given["async_creator_fn"] = self._connect

    def _connect(self, *arguments: Any, **given: Any) -> aiosqlite.Connection:
        connection = aiosqlite.connect(*arguments, **given)
        connection._thread.daemon = True
        self._connections = [*(one for one in self._connections if one._thread.is_alive()), connection]
        return connection


def create_engine(url: str) -> AsyncEngine:
    """An engine for ``url``, with one writer at a time.

    SQLite: WAL, foreign keys, and ``BEGIN IMMEDIATE`` for writing. PostgreSQL: a writing transaction begins by taking
    an advisory lock, which it gives back with its commit; a connection is tried before it is used again.
    """
    parsed = make_url(complete_url(url))
    # What is stored is people's own: it stays out of error messages, and so out of logs.
    if parsed.get_backend_name() == "sqlite":
        engine = create_async_engine(parsed, hide_parameters=True)
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    else:
        options = {name: value for name, value in _LIBPQ_OPTIONS.items() if name not in parsed.query}
        # Named, since a database may have another default, with which the lock would not show what came before it.
        isolation = "READ COMMITTED"
        engine = create_async_engine(
            parsed, hide_parameters=True, isolation_level=isolation, pool_pre_ping=True, connect_args=options
        )
        event.listen(engine.sync_engine, "connect", _configure_postgresql)
        event.listen(engine.sync_engine, "begin", _begin_postgresql)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver's own transaction handling is switched off: `_begin_sqlite` says BEGIN.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=15000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN" if _is_reading(connection) else "BEGIN IMMEDIATE")


def _configure_postgresql(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # Imported where it is needed: most have SQLite.
    from storage.postgresql_text import WithoutNul

    connection.driver_connection.adapters.register_dumper(str, WithoutNul)
    cursor = connection.cursor()
    cursor.execute(_POSTGRESQL_SETTINGS)
    cursor.close()
    connection.commit()


def _begin_postgresql(connection: Any) -> None:
    # Each statement sees what was committed before it (READ COMMITTED), so after this one all that writers before us
    # have done. The lock is free again only when the commit is seen by all.
    if not _is_reading(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER})")


def _is_reading(connection: Any) -> bool:
    return bool(connection.get_execution_options().get(READING, False))
