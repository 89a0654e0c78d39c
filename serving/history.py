"""A conversation's history -> the messages that a model is sent: in its template's order, and within its context."""

from collections.abc import Sequence
from typing import Protocol

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, trim_messages

from serving.services import ChatTooLong
from training.conversation import ChatMessage, ChatRole


class PromptTokenizer(Protocol):
    """What is needed of ``training.tokens.ChatTokenizer``."""

    def prepared(self, messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
        """The messages as the template takes them."""

    def count(self, messages: Sequence[ChatMessage]) -> int:
        """The prompt's tokens, the beginning of the answer included."""


def trim(
    messages: Sequence[BaseMessage],
    *,
    system: str | None,
    tokenizer: PromptTokenizer,
    context_tokens: int,
    answer_tokens: int,
) -> tuple[BaseMessage, ...]:
    """The newest part of ``messages`` that leaves room for ``answer_tokens`` in a context of ``context_tokens``.

    ``messages`` are a person's and a model's, oldest first, a person's last. The result begins with ``system`` (of
    which the messages' own, if any, are no part), then goes from a person's message to the newest one, in turns: what
    a person said twice without an answer is one message, as templates want it. Where the template has no place for a
    system prompt, it opens the first message, as in training.

    Raises ChatTooLong (``tokens``, ``limit``) where ``system`` and the newest message alone do not fit.
    """
    limit = context_tokens - answer_tokens
    head: list[BaseMessage] = [SystemMessage(system)] if system else []
    turns = _in_turns(messages)

    def tokens_of_newest(some: Sequence[BaseMessage]) -> int:
        # trim_messages counts the newest messages in reverse order: how many they are says which.
        return _count([*head, *turns[-len(some) :]], tokenizer)

    kept = trim_messages(turns, max_tokens=limit, token_counter=tokens_of_newest, strategy="last", start_on="human")
    kept = [*head, *kept] if kept else _newest_alone([*head, messages[-1]], tokenizer, limit)
    return tuple(_message(prepared) for prepared in tokenizer.prepared([_plain(message) for message in kept]))


def _newest_alone(messages: list[BaseMessage], tokenizer: PromptTokenizer, limit: int) -> list[BaseMessage]:
    tokens = _count(messages, tokenizer)
    if tokens > limit:
        raise ChatTooLong("serving.chat_too_long", tokens=tokens, limit=limit)
    return messages


def _in_turns(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Without empty messages and system prompts, neighbours of one speaker joined."""
    turns: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, SystemMessage) or not message.text:
            continue
        if turns and turns[-1].type == message.type:
            joined = f"{turns[-1].text}\n\n{message.text}"
            turns[-1] = HumanMessage(joined) if message.type == "human" else AIMessage(joined)
        else:
            turns.append(message)
    return turns


def _count(messages: Sequence[BaseMessage], tokenizer: PromptTokenizer) -> int:
    """The prompt's tokens. A leading answer is not counted: ``start_on`` drops it, and some templates refuse it."""
    plain = [_plain(message) for message in messages]
    start = 1 if plain[0].role == "system" else 0
    if plain[start].role == "assistant":
        del plain[start]
    return tokenizer.count(plain)


_ROLES: dict[str, ChatRole] = {"system": "system", "human": "user", "ai": "assistant"}


def _plain(message: BaseMessage) -> ChatMessage:
    return ChatMessage(role=_ROLES[message.type], content=str(message.text))


def _message(message: ChatMessage) -> BaseMessage:
    match message.role:
        case "system":
            return SystemMessage(message.content)
        case "user":
            return HumanMessage(message.content)
        case "assistant":
            return AIMessage(message.content)
