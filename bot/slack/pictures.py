"""The curves of a run as a picture: drawn, uploaded, and the one before it taken away."""

import asyncio
import hashlib
import json
import time

import structlog

from bot.replies import RunCard
from bot.slack.chart import draw
from bot.slack.errors import NETWORK
from bot.slack.places import Place
from bot.slack.posting import Posting
from bot.slack.workspaces import Workspaces

log = structlog.get_logger(__name__)

SECONDS_BETWEEN = 15.0
"""Of two pictures of a run that goes on: each costs four calls."""
LEAST_POINTS = 2
LOOKS = 10
SECONDS_BETWEEN_LOOKS = 0.3
"""A file can stand in a message only when Slack has looked at it, which takes a moment."""


class Pictures:
    """Which picture belongs into a card. A card without its picture is still a card: failures are logged, no more."""

    def __init__(self, posting: Posting, workspaces: Workspaces) -> None:
        self._posting = posting
        self._workspaces = workspaces
        self._drawn_at: dict[str, float] = {}

    async def of(self, place: Place, card: RunCard, message_id: str) -> tuple[str | None, str | None]:
        """The file that shows the card's curves, and their digest; (None, None) where there is nothing to see."""
        if not any(len(curve.points) >= LEAST_POINTS for curve in card.curves):
            return None, None
        row = (await self._posting.parts(message_id)).get(0)
        shown, known = (row.picture, row.picture_digest) if row else (None, None)
        wanted = _digest(card)
        is_early = (
            card.is_live and time.monotonic() - self._drawn_at.get(message_id, -SECONDS_BETWEEN) < SECONDS_BETWEEN
        )
        if is_early or (shown and known == wanted):
            return shown, known
        try:
            file = await self._upload(place, await asyncio.to_thread(draw, card.curves), title=card.title)
        except NETWORK as error:
            log.info("slack.picture_failed", message=message_id, error=type(error).__name__)
            return shown, known
        self._drawn_at[message_id] = time.monotonic()
        if not card.is_live:
            self._drawn_at.pop(message_id)
        return (file, wanted) if file else (shown, known)

    async def note(self, place: Place, message_id: str, file: str | None, digest: str | None) -> None:
        """Remember the picture that a message shows now, and delete the one it showed before."""
        row = (await self._posting.parts(message_id)).get(0)
        if row is None or row.picture == file:
            return
        before = row.picture
        await self._posting.note(message_id, 0, picture=file, picture_digest=digest)
        if before:
            client = await self._workspaces.client(place.team)
            try:
                await client.files_delete(file=before)
            except NETWORK as error:
                log.info("slack.picture_left", file=before, error=type(error).__name__)

    async def _upload(self, place: Place, picture: bytes, *, title: str) -> str | None:
        """A picture's file; None where Slack does not look at it in time: a card with it would be refused."""
        client = await self._workspaces.client(place.team)
        answer = await client.files_upload_v2(content=picture, filename="loss.png", title=title)
        file = str(answer["files"][0]["id"])
        for _ in range(LOOKS):
            found = (await client.files_info(file=file))["file"]
            if found.get("mimetype"):
                return file
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        log.info("slack.picture_not_looked_at", file=file)
        await client.files_delete(file=file)
        return None


def _digest(card: RunCard) -> str:
    points = [[curve.label, curve.points] for curve in card.curves]
    return hashlib.sha256(json.dumps(points).encode()).hexdigest()
