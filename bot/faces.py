"""The port to whatever shows a thread to people."""

from typing import ClassVar, Protocol

from bot.replies import Reply
from bot.turns import ThreadRef


class Unreachable(Exception):
    """The face cannot show it now; the outbox tries again, after ``after_s`` seconds where the face knows better."""

    def __init__(self, reason: str = "", *, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class NeverShown(Exception):
    """The place is gone (a channel that was deleted, an app that was removed): the outbox forgets the message.

    Where an earlier state of it stands, only after a while: the app may be let in again.
    """


class Face(Protocol):
    """One way to show threads. Rendering only: a face decides nothing and composes no sentence."""

    is_remote: ClassVar[bool]
    """Whether showing takes a network: nobody waits for it then, and a slow thread holds up no other."""

    @property
    def only_thread(self) -> str | None:
        """The key of the one thread that it shows; None: it shows all threads of its name."""

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        """Show ``reply``, in place of the message ``shown_as`` if there is one; returns the face's id of it.

        ``message_id`` is ours and stable: a face that can choose its ids takes it, so that a repeated call cannot
        show anything twice. Raises Unreachable, NeverShown.
        """

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        """Show a state of a message that goes on growing, without waiting; its last state comes through ``show``."""
