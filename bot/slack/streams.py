"""Answers that grow: streamed by Slack where it can, by edits of the message where it cannot."""

import asyncio
import time
from dataclasses import dataclass, field

import structlog

from bot.ending import end
from bot.replies import Answer
from bot.slack.blocks import render
from bot.slack.errors import NETWORK, NotInstalled, error_code, was_refused
from bot.slack.fitting import harmless
from bot.slack.limits import Limits
from bot.slack.places import Place
from bot.slack.posting import Posting, named, stream_block_id
from bot.slack.workspaces import Workspaces

log = structlog.get_logger(__name__)

SECONDS_BETWEEN_PIECES = 0.7
SECONDS_BETWEEN_EDITS = 3.0
MOST_CHARACTERS = 11_000
"""Of what is streamed into one message; a longer answer is shown whole, in several, at its end."""


@dataclass(kw_only=True)
class _Stream:
    place: Place
    message_id: str
    stamp: str
    is_native: bool
    """Whether Slack streams it; otherwise the message is edited."""
    latest: Answer
    sent: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Streams:
    """The answers that grow in this process."""

    def __init__(self, posting: Posting, workspaces: Workspaces, limits: Limits) -> None:
        self._posting = posting
        self._workspaces = workspaces
        self._limits = limits
        self._open: dict[str, _Stream] = {}
        self.askers: dict[str, str] = {}
        """Thread key -> whoever asked last: Slack streams to somebody."""

    async def begin(self, place: Place, answer: Answer, message_id: str) -> str:
        """Open the message of an answer that is going to grow; returns its ``ts``. Again: the same message."""
        row = (await self._posting.parts(message_id)).get(0)
        if row is not None and row.shown_as:
            stamp, is_native = row.shown_as, False
        else:
            stamp, is_native = await self._open_message(place, answer, message_id, is_new=row is None)
        if message_id not in self._open:
            stream = _Stream(place=place, message_id=message_id, stamp=stamp, is_native=is_native, latest=answer)
            stream.task = asyncio.create_task(self._run(stream))
            self._open[message_id] = stream
        return stamp

    def grow(self, answer: Answer, message_id: str) -> None:
        """There is more of an answer. Nothing happens where its message is not open (yet): its end shows it whole."""
        stream = self._open.get(message_id)
        if stream is not None:
            stream.latest = answer
            stream.news.set()

    async def end(self, place: Place, message_id: str) -> None:
        """Close the stream of a message, this process's or one that a killed one left open."""
        stream = self._open.get(message_id)
        if stream is not None and stream.task is not None:
            await end([stream.task])
            self._open.pop(message_id, None)
        await self._stop(place, message_id)

    async def _stop(self, place: Place, message_id: str) -> None:
        """End the stream in Slack, if it is not ended: only then can the message be edited."""
        row = (await self._posting.parts(message_id)).get(0)
        if row is None or not row.is_streaming or not row.shown_as:
            return
        await self._posting.stop_stream(place, row.shown_as)
        await self._posting.note(message_id, 0, is_streaming=False, digest=None)

    async def close(self) -> None:
        """End the tasks; what they showed is finished by the next process."""
        await end(stream.task for stream in self._open.values() if stream.task is not None)
        self._open.clear()

    async def _open_message(self, place: Place, answer: Answer, message_id: str, *, is_new: bool) -> tuple[str, bool]:
        asker = self.askers.get(place.key)
        # A message that may have been posted by an earlier try is looked for, which posting does.
        if is_new and asker and self._limits.has_room(place.team, "chat.startStream"):
            stamp = await self._start_stream(place, answer, message_id, asker)
            if stamp is not None:
                return stamp, True
        return await self._posting.put(place, message_id, render(answer, message_id=message_id)), False

    async def _start_stream(self, place: Place, answer: Answer, message_id: str, asker: str) -> str | None:
        """Begin a stream with the answer's author and stop button; None where Slack would not."""
        (rendered, *_) = render(answer, message_id=message_id)
        head = [dict(block) for block in rendered.blocks if block["type"] in {"context", "actions"}]
        if not head:
            return None
        head[0]["block_id"] = stream_block_id(message_id)
        await self._posting.intend(message_id, 0)
        await self._limits.wait(place.team, "chat.startStream")
        client = await self._workspaces.posting_client(place.team)
        try:
            started = await client.chat_startStream(
                channel=place.channel,
                thread_ts=place.root,
                recipient_team_id=place.team,
                recipient_user_id=asker,
                chunks=[{"type": "blocks", "blocks": head}],
            )
        except NETWORK as error:
            if not was_refused(error):
                raise
            log.info("slack.stream_refused", error=error_code(error))
            await self._posting.withdraw(message_id, 0)
            return None
        await self._posting.note(message_id, 0, shown_as=str(started["ts"]), is_streaming=True)
        return str(started["ts"])

    async def _run(self, stream: _Stream) -> None:
        shown_at = 0.0
        while True:
            await stream.news.wait()
            pause = SECONDS_BETWEEN_PIECES if stream.is_native else SECONDS_BETWEEN_EDITS
            await asyncio.sleep(max(0.0, shown_at + pause - time.monotonic()))
            stream.news.clear()
            shown_at = time.monotonic()
            try:
                await (self._append(stream) if stream.is_native else self._edit(stream))
            except (*NETWORK, NotInstalled) as error:
                # Nobody knows what of it arrived. The end shows the whole; until then the message is edited.
                log.info("slack.stream_broken", message=stream.message_id, error=error_code(error))
                stream.is_native = False

    async def _append(self, stream: _Stream) -> None:
        await self._limits.wait(stream.place.team, "chat.appendStream")
        text = harmless(stream.latest.markdown)[:MOST_CHARACTERS]
        if not text.startswith(stream.sent):
            stream.is_native = False
            return
        piece = text[len(stream.sent) :]
        if piece.strip():
            client = await self._workspaces.posting_client(stream.place.team)
            await client.chat_appendStream(channel=stream.place.channel, ts=stream.stamp, markdown_text=piece)
            stream.sent = text

    async def _edit(self, stream: _Stream) -> None:
        await self._stop(stream.place, stream.message_id)
        (rendered, *_) = render(stream.latest, message_id=stream.message_id)
        await self._posting.note(stream.message_id, 0, digest=None)
        await self._posting.change(stream.place, stream.stamp, rendered, named(stream.message_id, 0))
