"""Template parity: a model server must read a conversation, before every answer, in the tokens of its training.

What is held against the server's ``/tokenize`` comes from ``ChatTokenizer``, which makes the trainer's batches; the
messages are sent as a person's are, ``prepared`` for the template. A server with another chat template, or another
tokenizer, answers worse without a word: so it is found before the service is ready.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, zip_longest
from typing import NamedTuple

import httpx

from serving.connecting import connecting
from serving.services import AdapterMissing, Address, NotProven, ServerUnavailable
from training.conversation import ChatMessage, Conversation
from training.tokens import ChatTokenizer

TOKENS_AROUND = 4
"""Shown before and after the first token that differs."""

LONGEST_TOKEN = 24
"""Of a token's text, in characters, where it is shown."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What stands before one assistant turn of a conversation."""

    row: int
    """Of the data set, from 1."""
    turn: int
    """The assistant turn that follows, from 1."""
    messages: tuple[ChatMessage, ...]
    """As they are sent."""
    ids: tuple[int, ...]
    """As they were trained."""


class TokenPair(NamedTuple):
    """One place of both token sequences: ids with their texts, None behind the end of one."""

    place: int
    """From 1."""
    trained: int | None
    trained_text: str
    served: int | None
    served_text: str


def prompts(conversation: Conversation, tokenizer: ChatTokenizer) -> tuple[Prompt, ...]:
    """What is trained before each assistant turn, as ``ChatTokenizer.encode`` lays it out."""
    turns = [place for place, message in enumerate(conversation.messages) if message.role == "assistant"]
    return tuple(
        Prompt(
            row=conversation.row, turn=number, messages=tokenizer.prepared(conversation.messages[:place]), ids=before
        )
        for number, (place, before) in enumerate(zip(turns, _before_answers(conversation, tokenizer), strict=True), 1)
    )


def _before_answers(conversation: Conversation, tokenizer: ChatTokenizer) -> Iterator[tuple[int, ...]]:
    """The tokens in front of each learned piece, from the beginning of its example."""
    for pieces in tokenizer.pieces(conversation):
        ends = accumulate((piece.ids for piece in pieces), initial=())
        yield from (ids for ids, piece in zip(ends, pieces, strict=False) if piece.is_learned)


def first_difference(trained: Sequence[int], served: Sequence[int]) -> int | None:
    """The first place (from 0) where the two are not alike; None where they are equal."""
    pairs = zip_longest(trained, served)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), None)


def pairs_around(
    place: int, trained: Sequence[int], served: Sequence[int], tokenizer: ChatTokenizer
) -> tuple[TokenPair, ...]:
    """The tokens around ``place`` (from 0), side by side."""
    first, last = max(0, place - TOKENS_AROUND), place + TOKENS_AROUND + 1
    sides = zip_longest(trained[first:last], served[first:last])
    return tuple(
        TokenPair(number, one, _text(one, tokenizer), other, _text(other, tokenizer))
        for number, (one, other) in enumerate(sides, first + 1)
    )


def unpacked(table: str) -> tuple[TokenPair, ...]:
    """The pairs of a NotProven's ``table``."""
    return tuple(TokenPair(*row) for row in json.loads(table))


async def check_parity(address: Address, model: str, asked: Iterable[Prompt], tokenizer: ChatTokenizer) -> None:
    """Hold what the server reads against what was trained.

    Raises NotProven (``parity.differs`` with ``row``, ``turn``, ``place`` and the ``table``; ``parity.refused`` with
    ``row`` and ``detail``), AdapterMissing, ServerUnavailable.
    """
    async with httpx.AsyncClient(**connecting(address), timeout=httpx.Timeout(30, connect=5)) as client:
        for prompt in asked:
            served = await _tokenize(client, address, model, prompt)
            place = first_difference(prompt.ids, served)
            if place is not None:
                pairs = pairs_around(place, prompt.ids, served, tokenizer)
                table = json.dumps(pairs, ensure_ascii=False)
                raise NotProven("parity.differs", row=prompt.row, turn=prompt.turn, place=place + 1, table=table)


async def _tokenize(client: httpx.AsyncClient, address: Address, model: str, prompt: Prompt) -> Sequence[int]:
    """The tokens in which the server reads a prompt."""
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    try:
        response = await client.post(
            f"{address.base_url}/tokenize",
            json={"model": model, "messages": messages, "add_generation_prompt": True},
            headers={"Authorization": f"Bearer {address.api_key}", **address.headers},
        )
    except httpx.TransportError as exc:
        raise ServerUnavailable("serving.unavailable") from exc
    if response.status_code == 200:
        return [int(token) for token in response.json()["tokens"]]
    if response.status_code == 404:
        raise AdapterMissing("serving.adapter_missing", model=model)
    if response.status_code == 400:
        raise NotProven("parity.refused", row=prompt.row, detail=response.json()["error"]["message"])
    raise ServerUnavailable("serving.unavailable")


def _text(token: int | None, tokenizer: ChatTokenizer) -> str:
    text = "" if token is None else tokenizer.decode([token])
    return text if len(text) <= LONGEST_TOKEN else f"{text[:LONGEST_TOKEN]}…"
