"""Messages in Slack, each posted once.

A post whose answer was lost may stand in the thread. So it is noted before, and where a note has no ``ts`` we look for
the message, which carries our name of it, before posting again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from slack_sdk.errors import SlackApiError

from bot.ending import to_its_end
from bot.slack.blocks import Rendered
from bot.slack.errors import error_code, was_refused
from bot.slack.limits import Limits
from bot.slack.places import Place
from bot.slack.workspaces import Workspaces
from storage.models import Shown
from storage.shown import change_shown, intend, parts_of, withdraw
from storage.store import Store

log = structlog.get_logger(__name__)

EVENT_TYPE = "tunesmith_message"
A_PAGE, MOST_PAGES = 15, 20
"""Messages in which a lost one is looked for, from the time it was meant to be posted. 15 is what Slack gives to every
app, those distributed outside its own directory included."""
SECONDS_FOR_EDIT = 5.0
"""An edit that Slack is doing may go on so long when nobody wants it any more."""
DELETED = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
NO_STREAM = frozenset({"message_not_in_streaming_state", "message_not_found"})
BLOCKS_REFUSED = frozenset({"invalid_blocks", "msg_blocks_too_long", "invalid_blocks_format"})


class Posting:
    """Puts what was rendered into threads."""

    def __init__(self, store: Store, workspaces: Workspaces, limits: Limits) -> None:
        self._store = store
        self._workspaces = workspaces
        self._limits = limits

    async def put(self, place: Place, message_id: str, parts: Sequence[Rendered]) -> str:
        """Show a message of ours in these parts, in place of what shows it now; returns the ``ts`` of the first."""
        shown = await self.parts(message_id)
        stamps = [
            await self._put_part(place, message_id, number, part, shown.get(number))
            for number, part in enumerate(parts)
        ]
        for number, row in shown.items():
            if number >= len(parts):
                await self._remove(place, row)
        return stamps[0]

    async def begin(self, place: Place, message_id: str, rendered: Rendered) -> str:
        """Post what a thread is to hang from (``place.root`` is not looked at); returns its ``ts``."""
        row = (await self.parts(message_id)).get(0)
        if row is not None and row.shown_as:
            return row.shown_as
        return await self._post(place, message_id, 0, rendered, row, thread=None)

    async def parts(self, message_id: str) -> Mapping[int, Shown]:
        """What shows a message now."""
        async with self._store.reading() as session:
            return await parts_of(session, message_id)

    async def note(self, message_id: str, part: int, **values: str | bool | None) -> None:
        """Note what a part shows now."""
        async with self._store.transaction() as session:
            await change_shown(session, message_id, part, **values)

    async def intend(self, message_id: str, part: int) -> None:
        """Note that a part is going to be posted."""
        async with self._store.transaction() as session:
            await intend(session, message_id, part)

    async def withdraw(self, message_id: str, part: int) -> None:
        """A part was not posted, for certain."""
        async with self._store.transaction() as session:
            await withdraw(session, message_id, part)

    async def change(self, place: Place, stamp: str, rendered: Rendered, metadata: dict[str, Any]) -> Rendered:
        """Show something else in a message; returns what Slack took. One that somebody has deleted stays so."""
        await self._limits.wait(place.team, "chat.update")
        client = await self._workspaces.client(place.team)

        async def update(content: dict[str, Any]) -> None:
            await client.chat_update(channel=place.channel, ts=stamp, metadata=metadata, **content)

        try:
            # Broken off, it might be done by Slack after the edit that comes next.
            return await to_its_end(_with_words_at_least(update, rendered), within_s=SECONDS_FOR_EDIT)
        except SlackApiError as error:
            if error_code(error) not in DELETED:
                raise
            log.info("slack.message_deleted", channel=place.channel, ts=stamp)
            return rendered

    async def stop_stream(self, place: Place, stamp: str) -> None:
        """End a stream, if the message is one that goes on: only then can it be changed."""
        client = await self._workspaces.client(place.team)
        await self._limits.wait(place.team, "chat.stopStream")
        try:
            await client.chat_stopStream(channel=place.channel, ts=stamp)
        except SlackApiError as error:
            if error_code(error) not in NO_STREAM:
                raise

    async def _put_part(self, place: Place, message_id: str, number: int, rendered: Rendered, row: Shown | None) -> str:
        if row is None or row.shown_as is None:
            return await self._post(place, message_id, number, rendered, row, thread=place.root)
        if row.digest != digest(rendered):
            taken = await self.change(place, row.shown_as, rendered, named(message_id, number))
            await self.note(message_id, number, digest=digest(taken))
        return row.shown_as

    async def _post(
        self, place: Place, message_id: str, number: int, rendered: Rendered, row: Shown | None, *, thread: str | None
    ) -> str:
        if row is not None:
            found = await self._find_posted(place, message_id, number, row, thread)
            if found is not None:
                await self.stop_stream(place, found)
                taken = await self.change(place, found, rendered, named(message_id, number))
                await self.note(message_id, number, shown_as=found, digest=digest(taken))
                return found
        await self.intend(message_id, number)
        stamp, taken = await self._post_now(place, message_id, number, rendered, thread)
        await self.note(message_id, number, shown_as=stamp, digest=digest(taken))
        return stamp

    async def _post_now(
        self, place: Place, message_id: str, number: int, rendered: Rendered, thread: str | None
    ) -> tuple[str, Rendered]:
        client = await self._workspaces.posting_client(place.team)
        await self._limits.wait(place.team, "chat.postMessage", channel=place.channel)
        stamps: list[str] = []

        async def post(content: dict[str, Any]) -> None:
            answer = await client.chat_postMessage(
                channel=place.channel,
                thread_ts=thread,
                metadata=named(message_id, number),
                unfurl_links=False,
                unfurl_media=False,
                **content,
            )
            stamps.append(str(answer["ts"]))

        try:
            taken = await _with_words_at_least(post, rendered)
        except SlackApiError as error:
            if was_refused(error):
                await self.withdraw(message_id, number)
            raise
        return stamps[0], taken

    async def _find_posted(
        self, place: Place, message_id: str, number: int, row: Shown, thread: str | None
    ) -> str | None:
        """The message of an earlier try whose answer never came."""
        client = await self._workspaces.client(place.team)
        # Slack's clock may be a little behind ours.
        oldest = f"{row.created_at.timestamp() - 60:.6f}"
        method = "conversations.replies" if thread else "conversations.history"
        asked: dict[str, Any] = {
            "channel": place.channel,
            "oldest": oldest,
            "limit": A_PAGE,
            "include_all_metadata": True,
        }
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            await self._limits.wait(place.team, method)
            if thread:
                answer = await client.conversations_replies(ts=thread, cursor=cursor, **asked)
            else:
                answer = await client.conversations_history(cursor=cursor, **asked)
            for message in answer["messages"]:
                if is_named(message, message_id, number):
                    log.info("slack.found_posted", message=message_id, part=number)
                    return str(message["ts"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return None
        return None

    async def _remove(self, place: Place, row: Shown) -> None:
        """A message became shorter: its last parts go."""
        if row.shown_as:
            client = await self._workspaces.client(place.team)
            await self._limits.wait(place.team, "chat.delete")
            try:
                await client.chat_delete(channel=place.channel, ts=row.shown_as)
            except SlackApiError as error:
                if error_code(error) not in DELETED:
                    raise
        await self.withdraw(row.message_id, row.part)


def digest(rendered: Rendered) -> str:
    """Of all that is shown."""
    content = json.dumps([rendered.text, rendered.blocks], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def named(message_id: str, part: int) -> dict[str, Any]:
    """The metadata by which a message of ours is recognised."""
    return {"event_type": EVENT_TYPE, "event_payload": {"message": message_id, "part": part}}


def stream_block_id(message_id: str) -> str:
    """The name of the first block of a stream: a stream that goes on has no metadata yet."""
    return f"stream-{message_id}"


def is_named(message: Mapping[str, Any], message_id: str, part: int) -> bool:
    """Whether a message of Slack shows that part of ours."""
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") == EVENT_TYPE:
        payload = metadata.get("event_payload") or {}
        return bool(payload.get("message") == message_id and payload.get("part") == part)
    blocks = message.get("blocks") or ()
    return part == 0 and any(block.get("block_id") == stream_block_id(message_id) for block in blocks)


async def _with_words_at_least(send: Any, rendered: Rendered) -> Rendered:
    """Send blocks; where Slack refuses them, which is a bug of ours, send the words: nothing is lost by it.

    Returns what was sent: words alone are not what was to be shown, and the next showing tries it all again.
    """
    try:
        await send({"text": rendered.text, "blocks": list(rendered.blocks)})
        return rendered
    except SlackApiError as error:
        if error_code(error) not in BLOCKS_REFUSED:
            raise
        log.error("slack.blocks_refused", problems=error.response.get("response_metadata"))
        await send({"text": rendered.text, "blocks": []})
        return Rendered(text=rendered.text, blocks=())
