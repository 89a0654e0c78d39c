"""An arrival becomes a turn: its thread is begun where there is none, its files are fetched, the assistant takes it."""

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from slack_sdk.errors import SlackApiError

from bot.assistant import Assistant
from bot.choices import choices_in
from bot.context import Context
from bot.faces import NeverShown, Unreachable
from bot.replies import BODIES
from bot.settings import Settings
from bot.slack.arrivals import Arrival
from bot.slack.blocks import Rendered
from bot.slack.errors import NETWORK, OUTSIDE, RESTRICTED, error_code, translated
from bot.slack.face import SlackFace
from bot.slack.files import Files
from bot.slack.fitting import escaped
from bot.slack.places import FACE, Place, person_name
from bot.slack.private import tell_privately
from bot.slack.rights import rights_of
from bot.slack.workspaces import Workspaces
from bot.texts import nearest_language, texts
from bot.turns import ThreadRef, Turn, Upload, UserRef
from storage.models import Message
from storage.store import Store

log = structlog.get_logger(__name__)

TURNS_AT_ONCE = 8
"""Turns that write at once. More would only queue at the database, before those who keep what arrives."""
SECONDS_TO_END = 2.0
LONGEST_ROOT = 2000
"""Characters of what was said, in the message that a thread hangs from."""
FETCHES_AT_ONCE = 3
"""Turns that fetch files at once."""


class Handling:
    """Hands arrivals to the assistant."""

    def __init__(
        self, settings: Settings, store: Store, assistant: Assistant, face: SlackFace, workspaces: Workspaces
    ) -> None:
        self._settings = settings
        self._store = store
        self._assistant = assistant
        self._face = face
        self._workspaces = workspaces
        self._files = Files(api_url=settings.slack_api_url)
        self._turns = asyncio.Semaphore(TURNS_AT_ONCE)
        self._fetches = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._following: set[asyncio.Task[Any]] = set()

    async def handle(self, arrival: Arrival) -> None:
        """Do what an arrival asks; on return it is done, or will be after a kill. Raises Unreachable, NeverShown."""
        place = await self._place(arrival)
        if place is None:
            return
        turn = await self.turn(arrival, place)
        self._face.streams.askers[place.key] = arrival.user
        async with self._fetches if turn.uploads else self._turns:
            context = await self._assistant.take(turn)
        if context is not None:
            self._follow(context)

    async def turn(self, arrival: Arrival, place: Place) -> Turn:
        """The turn that an arrival is, in a thread. Raises Unreachable."""
        person = await self._workspaces.person(arrival.team, arrival.user)
        return Turn(
            event_id=arrival.event_id,
            thread=ThreadRef(face=FACE, key=place.key),
            user=UserRef(
                name=person_name(arrival.team, arrival.user),
                rights=await rights_of(self._settings, self._workspaces, place, arrival.user),
            ),
            text=await self._text(arrival),
            about=arrival.about,
            answers=arrival.answers,
            said_as=arrival.said_as,
            uploads=await self._uploads(arrival),
            language=nearest_language(person.locale),
            is_private=place.is_direct,
        )

    async def close(self) -> None:
        """Let answers keep what has come of them, and break off the rest; the database has what is needed to go on."""
        if not self._following:
            return
        _, late = await asyncio.wait(list(self._following), timeout=SECONDS_TO_END)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _uploads(self, arrival: Arrival) -> tuple[Upload, ...]:
        if not arrival.files:
            return ()
        # Known before the assistant takes the turn: where Slack cannot be reached, the arrival is handled later.
        with translated():
            client = await self._workspaces.client(arrival.team)
        return tuple(self._files.upload(client, file) for file in arrival.files)

    async def _text(self, arrival: Arrival) -> str:
        """What is said; a choice that was too long for its button is looked up in the message that offers it."""
        if arrival.choice_of is None:
            return arrival.text
        async with self._store.reading() as session:
            message = await session.get(Message, arrival.choice_of)
        offered = choices_in(BODIES.validate_python(message.body)) if message else iter(())
        return next((choice.say for choice in offered if choice.label == arrival.said_as), arrival.text)

    async def _place(self, arrival: Arrival) -> Place | None:
        """Where it goes on. None: the app cannot answer there, which the person was told."""
        place = arrival.place
        if place is None:
            return await self._begin_thread(arrival)
        # A message's shortcut is there in every channel, and a button stays when the app is removed from one.
        if arrival.response_url and await self._workspaces.is_outside(place.team, place.channel):
            await self._say_why_not(arrival, "not_in_channel")
            return None
        return place

    async def _begin_thread(self, arrival: Arrival) -> Place | None:
        """Post what the thread hangs from. None: the app may not post there, which the person was told."""
        with translated():
            channel = arrival.channel or await self._workspaces.direct_channel(arrival.team, arrival.user)
        place = Place(team=arrival.team, channel=channel, root="")
        said = arrival.said_as or arrival.text
        try:
            stamp = await self._face.begin_thread(place, f"root/{arrival.event_id}", root_message(arrival.user, said))
        except (NeverShown, Unreachable) as error:
            code = str(error)
            if code not in OUTSIDE | RESTRICTED or arrival.response_url is None:
                raise
            await self._say_why_not(arrival, code)
            return None
        except SlackApiError as error:
            if arrival.response_url is None:
                raise
            log.exception("slack.thread_refused", event_id=arrival.event_id)
            await self._say_why_not(arrival, error_code(error))
            return None
        return Place(team=arrival.team, channel=channel, root=stamp)

    async def _say_why_not(self, arrival: Arrival, code: str) -> None:
        """Say to the person alone why they are not answered in the channel; ``code``: Slack's."""
        person = await self._workspaces.person(arrival.team, arrival.user)
        text = texts(nearest_language(person.locale))
        sentence = text("slack.invite_me") if code in OUTSIDE else text("slack.refused", code=code)
        with suppress(*NETWORK):
            await tell_privately(str(arrival.response_url), sentence)

    def _follow(self, context: Context) -> None:
        task = asyncio.create_task(self._assistant.follow(context))
        self._following.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._following.discard(task)
        if not task.cancelled() and task.exception():
            log.error("slack.turn_failed", exc_info=task.exception())


def root_message(user: str, said: str) -> Rendered:
    """What a thread hangs from that nobody's own message began: who said what."""
    quoted = escaped(said, LONGEST_ROOT)
    block = {"type": "section", "text": {"type": "mrkdwn", "text": f"<@{user}>: {quoted}"}}
    return Rendered(text=quoted, blocks=(block,))
