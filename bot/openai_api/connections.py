"""Connections to model servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from serving.connecting import connecting
from serving.services import Address

IDLE_SECONDS = 3.0
"""Less than a model server keeps an idle connection: no request meets a closing one."""


class Connections:
    """Those of HTTP/1.1 are kept open between requests."""

    def __init__(self) -> None:
        self._pool: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def to(self, address: Address) -> AsyncIterator[httpx.AsyncClient]:
        """What asks an address, for one request: an answer that is left early ends with it."""
        if address.tls is not None:
            # Over HTTP/2 httpcore forgets a stream that is left, and tells the server nothing: only the end of its
            # connection does.
            async with httpx.AsyncClient(**connecting(address)) as client:
                yield client
            return
        if self._pool is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=IDLE_SECONDS)
            self._pool = httpx.AsyncClient(**connecting(address), limits=limits)
        yield self._pool

    async def close(self) -> None:
        """Close those that are kept."""
        if self._pool is not None:
            await self._pool.aclose()
