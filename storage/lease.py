"""A lease on a PostgreSQL database: held by one process of all machines, for as long as its connection lives."""

import asyncio
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.store import READING

LOOPS = 788_374_102
"""The advisory lock of whoever runs the loops."""

SECONDS_BETWEEN_LOOKS = 1.0
PATIENCE_S = 5.0
"""For a look. The server gives up a connection without a sign of life after 25 seconds: we know it before others do."""


class Lease:
    """An advisory lock of the session: the server frees it with the connection, whatever became of us."""

    def __init__(self, engine: AsyncEngine, key: int = LOOPS) -> None:
        self._engine = engine
        self._key = key
        self._connection: AsyncConnection | None = None

    @property
    def is_held(self) -> bool:
        """Whether we hold it, as far as we know."""
        return self._connection is not None

    async def try_acquire(self) -> bool:
        """Take it if it is free and the database answers."""
        if self._connection is not None:
            return True
        try:
            connection = await self._engine.connect()
            try:
                # Between two looks no transaction is open.
                await connection.execution_options(isolation_level="AUTOCOMMIT", **{READING: True})
                if await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}):
                    self._connection = connection
            finally:
                if self._connection is None:
                    await connection.close()
        except (SQLAlchemyError, OSError):
            return False
        return self.is_held

    async def lost(self) -> None:
        """Wait until we hold it no more."""
        while self._connection is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._connection.execute(text("SELECT 1"))
            except (SQLAlchemyError, OSError, TimeoutError):
                await self.release()
            else:
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def release(self) -> None:
        """Give it back; nothing happens where we do not hold it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # With its connection it is gone for certain; the pool would keep that open.
            with suppress(SQLAlchemyError, OSError):
                await connection.invalidate()
            with suppress(SQLAlchemyError, OSError):
                await connection.close()

    async def is_taken(self) -> bool:
        """Whether somebody holds it. Raises SQLAlchemyError."""
        query = text(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0"
            " AND objid = :key AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
        async with self._engine.connect() as connection:
            await connection.execution_options(**{READING: True})
            return bool(await connection.scalar(query, {"key": self._key}))
