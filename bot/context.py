"""What a dialog works with during one turn."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncSession

from bot.replies import BODIES, Reply
from bot.texts import Texts, texts
from bot.turns import Turn
from bot.world import World
from storage.models import Message, Thread
from storage.states import MessageState, Role
from storage.threads import put_message

if TYPE_CHECKING:
    from bot.speaking import Speaking


class NeedsWork(Exception):
    """Slow work is wanted first, outside the transaction: it is rolled back, the work done, the turn begun anew.

    The work leaves its result where the turn finds it next time (a row, a file).
    """

    def __init__(self, work: Callable[[World], Awaitable[None]]) -> None:
        super().__init__("work is wanted before this turn can go on")
        self.work = work


@dataclass(kw_only=True)
class Context:
    """One turn: its transaction, its thread, and what is said in it.

    A dialog changes rows (``thread`` included) and calls :meth:`reply`; everything is committed together.
    """

    session: AsyncSession
    thread: Thread
    turn: Turn
    world: World
    speaking: "Speaking"
    """Streams the answers of models, after the commit."""
    is_new: bool = False
    """Whether the thread began with this turn."""
    said_by_person: Message | None = None
    """The person's own message; none when a button without a label sent the turn."""
    said: list[Message] = field(default_factory=list)
    """What this turn said, to be shown after the commit."""
    afterwards: list[Callable[[], Awaitable[bool]]] = field(default_factory=list)
    """What is done after the commit and the showing (a model's streamed answer); False when it failed."""
    is_talk: bool = False
    """Whether a model is asked and nothing is wished for: the loops, whose passes would cost the answer's first word
    some ms, have nothing to do."""
    has_failed: bool = False
    """Whether the turn could not do what was asked: a terminal's exit code says so."""

    @property
    def texts(self) -> Texts:
        """The sentences of the thread's language."""
        return texts(self.thread.language)

    async def reply(
        self,
        reply: Reply,
        *,
        conversation: str | None = None,
        state: MessageState = MessageState.COMPLETE,
        message_id: str | None = None,
    ) -> Message:
        """Say something; with a key, in place of the thread's message of that key."""
        message = await say(
            self.session, self.thread, reply, conversation=conversation, state=state, message_id=message_id
        )
        self.said.append(message)
        return message

    async def refuse(self, reply: Reply) -> None:
        """Say that the turn could not do what was asked."""
        self.has_failed = True
        await self.reply(reply)


async def say(
    session: AsyncSession,
    thread: Thread,
    reply: Reply,
    *,
    conversation: str | None = None,
    state: MessageState = MessageState.COMPLETE,
    message_id: str | None = None,
) -> Message:
    """Write a reply into a thread, within the caller's transaction; the outbox shows it. ``message_id``: of a new one,
    where it must be known before."""
    return await put_message(
        session,
        thread,
        role=Role.ASSISTANT,
        body=BODIES.dump_python(reply, mode="json"),
        key=reply.key,
        conversation=conversation,
        state=state,
        message_id=message_id,
    )
