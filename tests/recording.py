"""A face that remembers what it shows, as a person would see it."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from bot.faces import Unreachable
from bot.replies import Answer, Question, Reply, Text
from bot.turns import ThreadRef


@dataclass
class RecordingFace:
    """Shows into lists; :attr:`is_reachable` off makes it refuse, as a face without a network would."""

    is_remote: ClassVar[bool] = False
    only_thread: ClassVar[str | None] = None
    threads: dict[str, dict[str, Reply]] = field(default_factory=dict)
    """Thread key -> the face's message id -> what it shows now, in the order of first showing."""
    showings: list[tuple[str, str, Reply]] = field(default_factory=list)
    """Every single showing: thread key, message id, reply."""
    is_reachable: bool = True

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        if not self.is_reachable:
            raise Unreachable("switched off by the test")
        shown_id = shown_as or f"shown-{message_id}"
        self.threads.setdefault(thread.key, {})[shown_id] = reply
        self.showings.append((thread.key, shown_id, reply))
        return shown_id

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        await self.show(thread, reply, message_id=message_id, shown_as=shown_as)

    def visible(self, key: str) -> list[Reply]:
        """What a thread shows now, from top to bottom."""
        return list(self.threads.get(key, {}).values())

    def last(self, key: str) -> Reply:
        """The lowest message of a thread."""
        return self.visible(key)[-1]


def places_told(face: RecordingFace, key: str) -> list[int]:
    """How many stood before a thread in the queue for a model, each time it was told."""
    notes = [
        reply.note
        for thread, _, reply in face.showings
        if thread == key and isinstance(reply, Answer) and "busy" in reply.note
    ]
    return [int(found[0]) if (found := re.findall(r"\d+", note)) else 0 for note in notes]


def words(reply: Reply) -> str:
    """All the words of a reply, for assertions on what a person can read."""
    parts: list[str] = []

    def collect(value: object) -> None:
        if isinstance(value, str):
            parts.append(value)
        elif isinstance(value, tuple | list):
            for item in value:
                collect(item)
        elif hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:
                if name not in {"kind", "key", "say", "style", "tone", "id"}:
                    collect(getattr(value, name))

    collect(reply)
    return "\n".join(parts)


__all__ = ["Answer", "Question", "RecordingFace", "Text", "places_told", "words"]
