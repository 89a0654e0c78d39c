"""A conversation -> a model's streamed answer, with langchain-core's messages and langchain-openai's client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from langchain_core.messages import BaseMessage

from serving.chat_errors import translated
from serving.connecting import connecting
from serving.history import trim
from serving.sampling import DEFAULT_SAMPLING, InvalidSampling, SamplingValue, bounded, parse_sampling
from serving.services import Address, ServerUnavailable

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

__all__ = [
    "DEFAULT_SAMPLING",
    "AnswerStream",
    "ChatRequest",
    "InvalidSampling",
    "Timeouts",
    "answer",
    "bounded",
    "ends_by_itself",
    "parse_sampling",
    "stream_answer",
    "trim",
]

TORN = "\ufffd"
"""What stands for a character of which the last bytes never came: an answer that is cut may end in one."""

_ONLY_VLLM = ("top_k", "repetition_penalty")
"""Sampling that OpenAI's API does not know: it travels in the body's extra fields."""


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long to wait, in seconds, before the server counts as unavailable."""

    connect_s: float = 5
    first_token_s: float = 180
    """Long: on a busy machine without a GPU a full context takes a minute to read."""
    between_tokens_s: float = 60


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """What is asked of whom."""

    address: Address
    model: str
    """vLLM's name of it: the id of a tuned model, or the name of the base."""
    messages: tuple[BaseMessage, ...]
    """Already trimmed to the context (``trim``)."""
    sampling: Mapping[str, SamplingValue] = field(default_factory=lambda: dict(DEFAULT_SAMPLING))
    """Names of ``serving.sampling.SAMPLING``."""
    timeouts: Timeouts = field(default_factory=Timeouts)


class AnswerStream(AsyncIterator[str]):
    """The pieces of an answer as they come. Close it (``aclose``, ``aclosing``) to make the server stop."""

    finish_reason: str | None = None
    """After the last piece: ``stop`` where the model ended its answer, ``length`` where ``max_tokens`` did."""

    def __init__(self, request: ChatRequest) -> None:
        self._pieces = self._run(request)

    def __aiter__(self) -> "AnswerStream":
        return self

    async def __anext__(self) -> str:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Stop: the connection is closed, and the server drops the request. Safe to repeat."""
        await self._pieces.aclose()

    async def _run(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        await _load_client_library()
        connection = httpx.AsyncClient(**connecting(request.address))
        async with connection, aclosing(self._chunks(request, connection)) as pieces:
            async for piece in pieces:
                yield piece

    async def _chunks(self, request: ChatRequest, connection: httpx.AsyncClient) -> AsyncGenerator[str, None]:
        chunks = _client(request, connection).astream(list(request.messages))
        patience_s, torn = request.timeouts.first_token_s, ""
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                break
            except TimeoutError as exc:
                raise ServerUnavailable("serving.slow", seconds=patience_s) from exc
            except Exception as exc:
                raise translated(exc, model=request.model) from exc
            self.finish_reason = chunk.response_metadata.get("finish_reason") or self.finish_reason
            if isinstance(chunk.content, str) and chunk.content:
                patience_s = request.timeouts.between_tokens_s
                piece = torn + chunk.content
                torn = TORN if piece.endswith(TORN) else ""
                if piece != torn:
                    yield piece.removesuffix(TORN)
        if torn and self.finish_reason != "length":
            yield torn
        if self.finish_reason is None:
            # A server that is killed may look like one that has nothing more to say.
            raise ServerUnavailable("serving.unavailable")


def stream_answer(request: ChatRequest) -> AnswerStream:
    """The answer, piece by piece.

    Raises AdapterMissing, ChatTooLong, ChatRefused, ServerUnavailable: before the first piece, or in the middle.
    """
    return AnswerStream(request)


async def answer(request: ChatRequest) -> str:
    """The whole answer. Raises as ``stream_answer`` does."""
    async with aclosing(stream_answer(request)) as pieces:
        return "".join([piece async for piece in pieces])


async def ends_by_itself(request: ChatRequest) -> bool:
    """Ask, hear the whole answer, and say whether the model ended it: not its limit of tokens. Raises as
    ``stream_answer`` does."""
    async with aclosing(stream_answer(request)) as pieces:
        async for _ in pieces:
            pass
    return pieces.finish_reason == "stop"


def _client(request: ChatRequest, connection: httpx.AsyncClient) -> "ChatOpenAI":
    from langchain_openai import ChatOpenAI

    sampling = dict(request.sampling)
    extra = {name: sampling.pop(name) for name in _ONLY_VLLM if name in sampling}
    patience_s = max(request.timeouts.first_token_s, request.timeouts.between_tokens_s)
    return ChatOpenAI(
        base_url=f"{request.address.base_url}/v1",
        api_key=request.address.api_key,
        model=request.model,
        max_retries=0,
        timeout=httpx.Timeout(patience_s, connect=request.timeouts.connect_s),
        default_headers=dict(request.address.headers),
        stream_usage=False,
        # We wait ourselves (`_chunks`). The library would by `asyncio.wait_for`, which in Python 3.11 swallows a cancel
        # that comes together with a chunk: whoever pressed stop then would have been answered to the end.
        stream_chunk_timeout=None,
        use_responses_api=False,
        openai_proxy="",
        http_async_client=connection,
        # It makes no request: without it the library makes one each time, and loads certificates for it (30 ms).
        http_client=httpx.Client(trust_env=False, verify=False),
        extra_body=extra or None,
        **sampling,
    )


async def _load_client_library() -> None:
    """Import langchain-openai beside the event loop: a second and 55 MB, wanted only once somebody chats."""
    await asyncio.to_thread(_load)


def _load() -> None:
    import langchain_openai  # noqa: F401
    import langsmith

    # Whatever the environment says: conversations are not sent to a tracing service.
    langsmith.configure(enabled=False)
