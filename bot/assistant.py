"""The one call that a face makes: a turn comes in, rows are written, replies are shown."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError

from bot.choices import typed_choice
from bot.commands import Handler, Request, parse_command
from bot.context import Context, NeedsWork
from bot.delivery import Delivery
from bot.dialogs import chat, deleting, deploy_answers, experiment, general
from bot.ingest import Ingested, ingest
from bot.replies import BODIES, Reply, Said
from bot.speaking import Speaking
from bot.texts import nearest_language
from bot.turns import Turn
from bot.world import World
from storage.artifact_errors import ArtifactError
from storage.database_errors import is_away, reaching
from storage.states import Role
from storage.threads import mark_seen, open_thread, put_message

log = structlog.get_logger(__name__)

MOST_ROUNDS = 8
"""How often a turn may ask for slow work before that is a bug."""


class _Rehearsed(Exception):
    """Rolls a rehearsal back."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        super().__init__("nothing of this is kept")
        self.replies = replies


class Assistant:
    """Handles turns. It keeps nothing in memory that a restart would miss."""

    def __init__(self, world: World, delivery: Delivery, speaking: Speaking, handlers: dict[str, Handler]) -> None:
        self._world = world
        self._delivery = delivery
        self._speaking = speaking
        self._handlers = handlers

    async def handle(self, turn: Turn) -> bool:
        """Do what a turn asks and show the replies; returns whether it went well.

        A second delivery of the same id does nothing. Never raises for what a person did; a bug is logged with its
        trace and said plainly. Raises DatabaseAway where that can be said nowhere but on the face.
        """
        with reaching():
            context = await self.take(turn)
            return await self.follow(context) if context else True

    async def take(self, turn: Turn) -> Context | None:
        """The first half of :meth:`handle`: the delivery's id, the draft, wishes and replies, in one transaction.

        None: the delivery was handled before.
        """
        try:
            return await self._decide(turn)
        except ArtifactError as error:
            log.warning("turn.without_files", turn_id=turn.event_id, error=str(error))
            return await self._transact(turn, partial(general.say_no_files, error=error))
        except Exception as error:
            if is_away(error):
                raise
            log.exception("turn.failed", face=turn.thread.face, thread=turn.thread.key, turn_id=turn.event_id)
            return await self._transact(turn, general.say_bug)

    async def follow(self, context: Context) -> bool:
        """The second half, which may take long: the replies are shown, a model's answer is streamed."""
        await self._delivery.deliver_in(context.thread)
        if not context.is_talk:
            self._world.wake()
        went_well = not context.has_failed
        for act in context.afterwards:
            went_well = await act() and went_well
        return went_well

    async def rehearse(self, turn: Turn) -> Sequence[Reply]:
        """What a turn without files would reply at once. Nothing is kept, nothing shown."""
        for _ in range(MOST_ROUNDS):
            try:
                await self._transact(turn, self._rehearse)
            except _Rehearsed as rehearsed:
                return rehearsed.replies
            except NeedsWork as needs:
                await needs.work(self._world)
        return ()

    async def _rehearse(self, context: Context) -> None:
        await self._dispatch(context, [])
        bodies = [BODIES.validate_python(message.body) for message in context.said]
        raise _Rehearsed([body for body in bodies if not isinstance(body, Said)])

    async def _decide(self, turn: Turn) -> Context | None:
        files = [await ingest(self._world, upload) for upload in turn.uploads]
        for _ in range(MOST_ROUNDS):
            try:
                return await self._transact(turn, lambda context: self._dispatch(context, files))
            except NeedsWork as needs:
                await needs.work(self._world)
            except IntegrityError:
                # Somebody took a name between our look and our commit: look again.
                log.info("turn.collided", thread=turn.thread.key, turn_id=turn.event_id)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                # The database was started anew. Where it had kept the turn before, its id says so.
                log.info("turn.connection_lost", thread=turn.thread.key, turn_id=turn.event_id)
        raise RuntimeError("a turn asked for work again and again")

    async def _transact(self, turn: Turn, act: Callable[[Context], Awaitable[None]]) -> Context | None:
        async with self._world.store.transaction() as session:
            if not await mark_seen(session, face=turn.thread.face, event_id=turn.event_id):
                return None
            thread, is_new = await open_thread(
                session,
                face=turn.thread.face,
                key=turn.thread.key,
                user_name=turn.user.name,
                language=nearest_language(turn.language),
            )
            context = Context(
                session=session,
                thread=thread,
                turn=turn,
                world=self._world,
                speaking=self._speaking,
                is_new=is_new,
            )
            await note_said(context)
            await act(context)
        return context

    async def _dispatch(self, context: Context, files: list[Ingested]) -> None:
        """Who answers: a command; a file; a question about a deletion that stands lowest; an open deployment; an open
        plan; the thread's service; else help."""
        request = parse_command(context.turn.text.strip())
        if request:
            await self._command(context, replace(request, files=tuple(files)))
        elif files:
            await experiment.begin(context, Request(name="finetune", files=tuple(files)))
        elif (asked := await deleting.find_asked(context)) is not None:
            await deleting.answer(context, asked)
        elif deploy_answers.is_asked(context):
            await deploy_answers.answer(context)
        elif context.thread.draft is not None:
            await experiment.answer(context)
        elif context.turn.about:
            await general.say_closed(context)
        elif context.thread.service_id:
            await chat.speak(context)
        elif (meant := await typed_choice(context)) is not None:
            await self._command(context, meant)
        else:
            await general.say_lost(context)

    async def _command(self, context: Context, request: Request) -> None:
        handler = self._handlers.get(request.name)
        if handler is None:
            await general.say_unknown(context, request.name)
        else:
            await handler(context, request)


async def note_said(context: Context) -> None:
    """Keep what the person said with the thread; the first words become its title."""
    turn = context.turn
    names = tuple(upload.name for upload in turn.uploads)
    text = turn.said_as or turn.text
    if not text and not names:
        return
    if not context.thread.title:
        context.thread.title = (text or names[0]).strip()[:80]
    context.said_by_person = await put_message(
        context.session,
        context.thread,
        role=Role.USER,
        body=BODIES.dump_python(Said(text=text, files=names), mode="json"),
        message_id=turn.message_id,
    )
