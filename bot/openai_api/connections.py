"""Open connections to model servers, kept between requests."""

import ssl

import httpx

from serving.connecting import connecting
from serving.services import Address

IDLE_SECONDS = 3.0
"""Less than a model server keeps an idle connection: no request meets a closing one."""


class Connections:
    """One pool a kind of encryption."""

    def __init__(self) -> None:
        self._pools: dict[ssl.SSLContext | None, httpx.AsyncClient] = {}

    def to(self, address: Address) -> httpx.AsyncClient:
        """The pool whose connections an address wants."""
        if address.tls not in self._pools:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=IDLE_SECONDS)
            self._pools[address.tls] = httpx.AsyncClient(**connecting(address), limits=limits)
        return self._pools[address.tls]

    async def close(self) -> None:
        """Close all of them."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()
