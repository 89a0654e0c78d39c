"""The port to whatever shows a thread to people."""

from typing import Protocol

from bot.replies import Reply
from bot.turns import ThreadRef


class Unreachable(Exception):
    """The face cannot show it now; the outbox tries again."""


class Face(Protocol):
    """One way to show threads. Rendering only: a face decides nothing and composes no sentence."""

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        """Show ``reply``, in place of the message ``shown_as`` if there is one; returns the face's id of it.

        ``message_id`` is ours and stable: a face that can choose its ids takes it, so that a repeated call cannot
        show anything twice. Raises Unreachable.
        """
