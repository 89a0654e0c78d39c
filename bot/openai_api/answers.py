"""What a program reads: an answer whole, or a stream that is kept alive while it waits for its first word."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import orjson
from starlette.types import Message, Send

from bot.openai_api.errors import ApiError

KEEP_ALIVE_SECONDS = 10.0
"""Of silence, until a stream says that it is still there: less than the patience of common proxies."""
KEEP_ALIVE = b": waiting\n\n"
"""A comment: readers of event streams pass over it."""
DONE = b"data: [DONE]\n\n"
STALLED_SECONDS = 60.0
"""A program that takes nothing for so long holds a place at a replica for nothing."""
NO_BUFFERING = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Stalled(Exception):
    """The program does not read its answer."""


class Answering:
    """The answer to one request, over ASGI."""

    def __init__(self, send: Send, *, is_stream: bool) -> None:
        self._send = send
        self._is_stream = is_stream
        self._has_status = False
        self.has_words = False
        """Whether anything of the model's has gone out: from then on nothing can be tried again."""
        self._sending = asyncio.Lock()

    async def whole(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Give an answer in one piece; where a stream has begun, as its last event."""
        async with self._sending:
            # An event may be cut in two: the empty line ends what has come of it.
            separator = b"\n\n" if self.has_words else b""
            self.has_words = True
            if self._has_status:
                body = b"%sdata: %s\n\n%s" % (separator, body, DONE)
            else:
                length = {"content-length": str(len(body))}
                await self._begin(status, {"content-type": content_type, **length, **(headers or {})})
            await self._put({"type": "http.response.body", "body": body})

    async def piece(self, words: bytes) -> None:
        """Give the next bytes of a stream, as they are."""
        async with self._sending:
            self.has_words = True
            await self._begin_stream()
            await self._put({"type": "http.response.body", "body": words, "more_body": True})

    async def end(self) -> None:
        """A stream is over."""
        await self._put({"type": "http.response.body", "body": b""})

    async def refuse(self, error: ApiError) -> None:
        """Say what is wrong."""
        await self.whole(error.status, "application/json", orjson.dumps(error.body), error.headers)

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Meanwhile, a stream that has no words yet says now and then that it is there."""
        keeping = asyncio.create_task(self._keep_alive()) if self._is_stream else None
        try:
            yield
        finally:
            if keeping is not None:
                try:
                    async with self._sending:  # never in the middle of a message
                        pass
                finally:
                    keeping.cancel()
                await asyncio.wait([keeping])
                if not keeping.cancelled():
                    keeping.result()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            async with self._sending:
                if self.has_words:
                    return
                await self._begin_stream()
                await self._put({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})

    async def _begin_stream(self) -> None:
        if not self._has_status:
            await self._begin(200, {"content-type": "text/event-stream; charset=utf-8", **NO_BUFFERING})

    async def _put(self, message: Message) -> None:
        """Raises Stalled."""
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._send(message)
        except TimeoutError as error:
            raise Stalled from error

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._has_status = True
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._put({"type": "http.response.start", "status": status, "headers": raw})
