"""The Slack face: replies become messages of a thread, each once, the newest state last."""

import time
from typing import ClassVar

from bot.faces import Unreachable
from bot.replies import Answer, Comparison, Reply, RunCard
from bot.slack.blocks import Rendered, render
from bot.slack.errors import translated
from bot.slack.limits import Limits
from bot.slack.pictures import Pictures
from bot.slack.places import Place, read_place
from bot.slack.posting import Posting
from bot.slack.streams import Streams
from bot.slack.workspaces import Workspaces
from bot.turns import ThreadRef
from storage.store import Store

SECONDS_BETWEEN_STATES = 4.0
"""Of two showings of a card that moves; its last state never waits."""


class SlackFace:
    """Implements ``bot.faces.Face``."""

    is_remote: ClassVar[bool] = True
    only_thread: ClassVar[str | None] = None

    def __init__(self, store: Store, workspaces: Workspaces, limits: Limits) -> None:
        self.posting = Posting(store, workspaces, limits)
        self.streams = Streams(self.posting, workspaces, limits)
        self._pictures = Pictures(self.posting, workspaces)
        self._shown_at: dict[str, float] = {}
        """Message id -> when a state of a card that moves was shown."""

    async def show(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> str:
        """Show a reply; returns the ``ts`` of its (first) message. Raises Unreachable, NeverShown."""
        place = read_place(thread.key)
        with translated():
            if isinstance(reply, Answer) and reply.state == "streaming":
                return await self.streams.begin(place, reply, message_id)
            self._pace(reply, message_id, is_first=shown_as is None)
            await self.streams.end(place, message_id)
            if isinstance(reply, RunCard):
                return await self._show_card(place, reply, message_id)
            return await self.posting.put(place, message_id, render(reply, message_id=message_id))

    async def grow(self, thread: ThreadRef, reply: Reply, *, message_id: str, shown_as: str | None) -> None:
        """Take a state of an answer that grows. Other replies that grow (a comparison) come through the outbox."""
        if isinstance(reply, Answer):
            self.streams.grow(reply, message_id)

    async def begin_thread(self, place: Place, name: str, root: Rendered) -> str:
        """Post the message that a thread hangs from; returns its ``ts``. Raises Unreachable, NeverShown."""
        with translated():
            return await self.posting.begin(place, name, root)

    async def close(self) -> None:
        """End what runs in the background."""
        await self.streams.close()

    async def _show_card(self, place: Place, card: RunCard, message_id: str) -> str:
        picture, digest = await self._pictures.of(place, card, message_id)
        stamp = await self.posting.put(place, message_id, render(card, message_id=message_id, chart=picture))
        await self._pictures.note(place, message_id, picture, digest)
        return stamp

    def _pace(self, reply: Reply, message_id: str, *, is_first: bool) -> None:
        """Hold back a state that will soon be followed by the next one. Raises Unreachable."""
        if not moves(reply):
            self._shown_at.pop(message_id, None)
            return
        at = time.monotonic()
        wait_s = self._shown_at.get(message_id, at - SECONDS_BETWEEN_STATES) + SECONDS_BETWEEN_STATES - at
        if wait_s > 0 and not is_first:
            raise Unreachable("shown a moment ago", after_s=wait_s)
        self._shown_at[message_id] = at


def moves(reply: Reply) -> bool:
    """Whether the next state of a reply will come by itself."""
    if isinstance(reply, RunCard):
        return reply.is_live
    return isinstance(reply, Comparison) and any(not (row.base and row.tuned) for row in reply.rows)
