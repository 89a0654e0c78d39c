"""A request goes to a replica, and its answer comes back as it is: bytes, not looked into."""

import asyncio
import re
from contextlib import aclosing
from typing import Any

import httpx
import orjson
import structlog
from starlette.types import Receive, Scope, Send

from bot.openai_api.answers import Answering, Stalled
from bot.openai_api.connections import Connections
from bot.openai_api.errors import ApiError, bug, unavailable
from bot.openai_api.queries import Query
from bot.routing import Lease, NotReadyError, Routes, Waiting
from bot.serving_problems import not_ready_sentence
from bot.texts import texts

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5.0
BETWEEN_PIECES_SECONDS = 180.0
"""Long: on a busy machine without a GPU a full context takes a minute to read."""
WHOLE_SECONDS = 600.0
"""What OpenAI's own library waits for an answer in one piece."""
REFUSALS = frozenset((400, 413, 422))
"""Statuses by which vLLM says that a request cannot be answered, by anybody."""
PAUSE_BEFORE_RETRY = 0.5

_COUNTED = re.compile(rb'"completion_tokens":\s*(\d+)')
_END = b"data: [DONE]"


class _Broken(Exception):
    """The replica did not answer, and nothing of an answer has gone out."""


class Relay:
    """Answers one request, as an ASGI application. When its program leaves, the replica is told by a closed line."""

    def __init__(
        self, query: Query, *, service_id: str, sticky: str, turn: str, routes: Routes, connections: Connections
    ) -> None:
        self._query = query
        self._service_id = service_id
        self._sticky = sticky
        self._turn = turn
        self._routes = routes
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or stop as soon as nobody listens any more."""
        tasks = [asyncio.create_task(self._answer(send)), asyncio.create_task(_until_left(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, send: Send) -> None:
        answering = Answering(send, is_stream=self._query.is_stream)
        try:
            async with answering.kept_alive():
                await self._try_twice(answering)
        except Stalled:
            log.info("api.stalled", service=self._service_id)
        except ApiError as error:
            await answering.refuse(error)
        except NotReadyError as error:
            await answering.refuse(unavailable(not_ready_sentence(texts("en"), error)))
        except Exception:
            log.exception("api.failed", service=self._service_id)
            await answering.refuse(bug())

    async def _try_twice(self, answering: Answering) -> None:
        for is_last in (False, True):
            try:
                async with self._routes.lease(
                    self._service_id, asks_base=False, sticky=self._sticky, turn=self._turn, waiting=_wait
                ) as lease:
                    await self._ask(lease, answering)
                return
            except _Broken as broken:
                if is_last:
                    raise unavailable("The model server does not answer. Please try again in a moment.") from broken
                await asyncio.sleep(PAUSE_BEFORE_RETRY)

    async def _ask(self, lease: Lease, answering: Answering) -> None:
        """Raises _Broken, ApiError."""
        try:
            async with self._connections.to(lease.address) as client:
                response = await client.send(self._request(client, lease), stream=True)
                async with aclosing(response):
                    await self._pass_on(response, lease, answering)
        except httpx.ReadTimeout as error:
            raise unavailable("The model server took too long. Please try again with a shorter request.") from error
        except (_Broken, httpx.TransportError) as error:
            lease.broken()
            if answering.has_words:
                raise unavailable("The model server broke off in the middle of its answer.") from error
            raise _Broken from error

    async def _pass_on(self, response: httpx.Response, lease: Lease, answering: Answering) -> None:
        """Raises _Broken."""
        if response.status_code in REFUSALS:
            await answering.whole(response.status_code, _type_of(response), await response.aread())
        elif response.status_code != 200:
            # It has lost the adapter, or its engine, or was replaced by another with another key.
            raise _Broken(response.status_code)
        elif self._query.is_stream:
            await self._stream(response, lease, answering)
        else:
            body = await response.aread()
            lease.count(_tokens_of(body))
            await answering.whole(200, _type_of(response), body)

    def _request(self, client: httpx.AsyncClient, lease: Lease) -> httpx.Request:
        address, query = lease.address, self._query
        patience_s = BETWEEN_PIECES_SECONDS if query.is_stream else WHOLE_SECONDS
        return client.build_request(
            "POST",
            f"{address.base_url}/v1/{query.kind}",
            content=orjson.dumps({**query.body, "model": lease.model}),
            headers={
                "Authorization": f"Bearer {address.api_key}",
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                **address.headers,
            },
            timeout=httpx.Timeout(patience_s, connect=CONNECT_SECONDS),
        )

    async def _stream(self, response: httpx.Response, lease: Lease, answering: Answering) -> None:
        """Pass on the bytes; events are counted by the empty lines between them, a token each. Raises _Broken."""
        tail = b""
        async for piece in response.aiter_raw():
            await answering.piece(piece)
            lease.saw((tail[-1:] + piece).count(b"\n\n"))
            tail = (tail + piece)[-len(_END) - 8 :]
        if _END not in tail:
            # A server that is killed may look like one that has nothing more to say.
            raise _Broken
        await answering.end()


async def _until_left(receive: Receive) -> None:
    """Return when the program has closed its end. Its body has been read before."""
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return


async def _wait(_: Waiting) -> None:
    """What a program waits for is not told: its stream is kept alive, and else it waits in silence."""


def _type_of(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "application/json"))


def _tokens_of(body: bytes) -> int:
    """As vLLM counted them. Words of the answer cannot be taken for it: their quotation marks are escaped."""
    counts = _COUNTED.findall(body)
    return int(counts[-1]) if counts else 1
