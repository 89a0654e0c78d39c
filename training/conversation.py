"""What a model is taught from and talks in: messages in a row."""

from dataclasses import dataclass
from typing import Literal

ChatRole = Literal["system", "user", "assistant"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatMessage:
    """One message, as plain text."""

    role: ChatRole
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """A row of a data set as a model sees it; every assistant message is learned."""

    messages: tuple[ChatMessage, ...]
    row: int
    """The row of the file, from 1."""
