"""The socket to Slack, which ends together with what came over it."""

import asyncio
from typing import Any

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

SECONDS_TO_END = 2.0
"""What is being handled at the end may take so long; Slack tells again what was not acknowledged."""


class Socket:
    """Bolt's handler of Socket Mode, and what it is in the middle of.

    Slack's client leaves its tasks to themselves when it is closed. They would go on with a database that is closed,
    and open a connection that nobody closes.
    """

    def __init__(
        self,
        app: AsyncApp,
        token: str,
        *,
        web_client: AsyncWebClient,
        ping_interval: float,
        end_s: float = SECONDS_TO_END,
    ) -> None:
        self._handler = AsyncSocketModeHandler(app, token, web_client=web_client, ping_interval=ping_interval)
        # In place of the handler's own listener.
        self._handler.client.socket_mode_request_listeners[:] = [self._handle]
        self._end_s = end_s
        self._handling: set[asyncio.Task[Any]] = set()
        self._is_closing = False

    async def connect(self) -> None:
        """Connect to Slack; from then on the client renews the socket by itself."""
        await self._handler.connect_async()

    async def close(self) -> None:
        """Close the socket, and return when nothing that came over it is being handled any more."""
        self._is_closing = True
        if self._handling:
            await asyncio.wait(list(self._handling), timeout=self._end_s)
        await self._handler.close_async()
        late = list(self._handling)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _handle(self, _: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        task = asyncio.current_task()
        if self._is_closing or task is None:
            return
        self._handling.add(task)
        try:
            await self._handler.handle(self._handler.client, request)
        finally:
            self._handling.discard(task)
