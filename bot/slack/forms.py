"""Forms as modals: opened from their card in the thread, checked before Slack closes them."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import structlog

from bot.assistant import Assistant
from bot.replies import BODIES, Form
from bot.slack.arrivals import from_form
from bot.slack.handling import Handling
from bot.slack.inbox import Inbox
from bot.slack.modal import field_errors, form_view, read_answers
from bot.slack.places import FACE, read_place
from storage.models import Message, Thread
from storage.store import Store

log = structlog.get_logger(__name__)

SECONDS_FOR_CHECK = 2.0
"""Slack waits three for the answer to a submitted form. What is found wrong later is said in the thread."""


class Forms:
    """Opens and takes forms."""

    def __init__(self, store: Store, assistant: Assistant, handling: Handling, inbox: Inbox) -> None:
        self._store = store
        self._assistant = assistant
        self._handling = handling
        self._inbox = inbox

    async def open(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The modal of the form whose button was pressed; None where there is none any more.

        What a modal sends back can be forged by its person alone, so it carries who it was opened for.
        """
        message_id = str(body["actions"][0].get("value") or "")
        async with self._store.reading() as session:
            message = await session.get(Message, message_id)
            thread = await session.get(Thread, message.thread_id) if message else None
        if message is None or thread is None or thread.face != FACE:
            return None
        form = BODIES.validate_python(message.body)
        if not isinstance(form, Form) or form.is_submitted:
            return None
        metadata = {"thread": thread.face_key, "form": form.id, "user": body["user"]["id"]}
        return form_view(form, metadata=json.dumps(metadata))

    async def submit(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Take a submitted form; errors by field where it cannot be taken as it is."""
        view = body["view"]
        metadata = json.loads(view["private_metadata"])
        team, user = body["team"]["id"], body["user"]["id"]
        place = read_place(metadata["thread"])
        if metadata["user"] != user or place.team != team:
            log.warning("slack.foreign_form", user=user)
            return {}
        arrival = from_form(
            team=team,
            user=user,
            place=place,
            view_id=view["id"],
            view_hash=view.get("hash", ""),
            order=f"{time.time():.6f}",
            about=metadata["form"],
            answers=read_answers(view),
        )
        try:
            async with asyncio.timeout(SECONDS_FOR_CHECK):
                # Who it is and what they may, Slack is asked for, and may take its time over.
                replies = await self._assistant.rehearse(await self._handling.turn(arrival, place))
        except TimeoutError:
            replies = ()
        errors = {
            name: sentence
            for reply in replies
            if isinstance(reply, Form) and not reply.is_submitted
            for name, sentence in field_errors(reply).items()
        }
        if not errors:
            await self._inbox.accept(arrival)
        return errors
