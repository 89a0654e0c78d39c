"""A model speaks in a thread: its answer is streamed, shown as it grows, and kept every second."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal
from weakref import WeakValueDictionary

import structlog
from langchain_core.messages import BaseMessage

from bot.context import say
from bot.delivery import Delivery
from bot.hosting import context_tokens
from bot.replies import BODIES, Answer, Choice, Reply
from bot.routing import Lease, Routes, Target, Waiting
from bot.serving_problems import FAILURES, failure_sentence, waiting_sentence
from bot.sightings import Known
from bot.stoppable import Stoppable, Stopped
from bot.talks import Talk, find_talk, history
from bot.texts import texts
from bot.tokenizers import Tokenizers
from bot.turns import ThreadRef
from bot.world import World
from serving.chat import ChatRequest, bounded, stream_answer, trim
from serving.sampling import SamplingValue
from serving.services import AdapterMissing, ServerUnavailable
from storage.database_errors import is_away
from storage.models import Message, Thread
from storage.threads import note_growing

log = structlog.get_logger(__name__)

SECONDS_BETWEEN_SHOWINGS = 0.04
SECONDS_BETWEEN_SAVINGS = 1.0
SECONDS_BEFORE_RETRY = 1.0
SHORT_CHARACTERS = 4000
"""Of a conversation that is counted in a millisecond or two."""


@dataclass(kw_only=True)
class _Speech:
    """An answer that is being spoken."""

    message: Message
    talk: Talk
    messages: Sequence[BaseMessage]
    reply: Answer
    text: str = ""
    finish_reason: str | None = None
    shown_at: float = 0.0


class Speaking:
    """Streams answers: one at a time in a thread, many threads at once."""

    def __init__(self, world: World, delivery: Delivery) -> None:
        self._world = world
        self._delivery = delivery
        self.routes = Routes(world)
        self.tokenizers = Tokenizers()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.under_way = Stoppable()
        self._partial: dict[str, _Speech] = {}
        """Message id -> what has come of it."""
        self.held: set[str] = set()
        """Ids of the messages that this process is working on."""

    async def speak(self, thread_id: str, message_id: str) -> bool:
        """Stream the answer that waits in a message of the thread; returns whether it went well."""
        async with self.holding(message_id):
            try:
                return await self.under_way.run(thread_id, message_id, self._speak_in_turn(thread_id, message_id))
            except Stopped:
                await self._finish_unspoken(message_id)
                return True

    def note(self, talk: Talk, *, read_at: float) -> None:
        """A talk was just read: the way to its service needs no other look at the rows."""
        known = Known(service=talk.service, model=talk.model, base=talk.base, host=talk.host)
        self.routes.sightings.note(known, read_at=read_at)

    async def tell(self, thread_id: str, reply: Reply) -> None:
        """Say something in a transaction of its own, and show it."""
        async with self._world.store.transaction() as session:
            thread = await session.get(Thread, thread_id)
            message = await say(session, thread, reply) if thread else None
        if message is not None:
            await self._delivery.deliver([message.id])

    async def show(self, message_ids: Sequence[str]) -> None:
        """Show what was said in somebody's own transaction."""
        await self._delivery.deliver(message_ids)

    async def show_once(self, message: Message, thread: Thread, reply: Reply) -> bool:
        """Show over a message what is kept nowhere; False where it could not be shown."""
        return await self._delivery.show_once(thread, message.id, reply)

    async def show_growing(self, message: Message, thread: Thread, reply: Reply) -> None:
        """Show a state of a message that goes on growing."""
        ref = ThreadRef(face=thread.face, key=thread.face_key)
        await self._delivery.grow(ref, reply, message_id=message.id, shown_as=message.shown_as)

    @asynccontextmanager
    async def holding(self, message_id: str) -> AsyncIterator[None]:
        """Say, in memory and once a second in its row, that somebody is working on a message."""
        self.held.add(message_id)
        ended = asyncio.Event()
        beat = asyncio.create_task(self._beat(message_id, ended))
        try:
            yield
        finally:
            self.held.discard(message_id)
            # It finishes its sentence to the database, which may be closed next.
            ended.set()
            await asyncio.wait([beat])

    async def request(
        self,
        asked: Lease | Target,
        messages: Sequence[BaseMessage],
        *,
        system: str | None,
        sampling: Mapping[str, SamplingValue],
    ) -> ChatRequest:
        """What vLLM is asked: the newest messages that fit. Raises ChatTooLong, TokenizerError, ArtifactError."""
        context = context_tokens(self._world, asked.base, asked.place)
        limits = bounded(sampling, context_tokens=context)
        tokenizer = await self.tokenizers.of(await self._world.folder_of(asked.base))
        fit = partial(
            trim,
            messages,
            system=system,
            tokenizer=tokenizer,
            context_tokens=context,
            answer_tokens=int(limits["max_tokens"]),
        )
        # A short conversation is counted sooner than a thread is found for it.
        is_short = sum(len(message.text) for message in messages) + len(system or "") < SHORT_CHARACTERS
        fitting = fit() if is_short else await asyncio.to_thread(fit)
        return ChatRequest(address=asked.address, model=asked.model, messages=fitting, sampling=limits)

    async def _speak_in_turn(self, thread_id: str, message_id: str) -> bool:
        lock = self._locks.setdefault(thread_id, asyncio.Lock())
        async with lock:
            speech = await self._begin(message_id)
            return await self._speak(speech) if speech else False

    async def _begin(self, message_id: str) -> _Speech | None:
        read_at = time.monotonic()
        async with self._world.store.reading() as session:
            message = await session.get(Message, message_id)
            thread = await session.get(Thread, message.thread_id) if message else None
            if message is None or thread is None or message.conversation is None:
                return None
            talk = await find_talk(session, thread, message.conversation)
            messages = await history(session, message)
        reply = BODIES.validate_python(message.body)
        if not isinstance(reply, Answer):
            return None
        if talk is None or not messages:
            await self.finish(message, replace(reply, state="failed", note=texts(thread.language)("chat.gone")))
            return None
        self.note(talk, read_at=read_at)
        return _Speech(message=message, talk=talk, messages=messages, reply=reply)

    async def _speak(self, speech: _Speech) -> bool:
        self._partial[speech.message.id] = speech
        try:
            reply = await self._outcome(speech)
        except asyncio.CancelledError:
            await asyncio.shield(
                self.finish(speech.message, interrupted(speech.talk.language, _grown(speech), speech.messages))
            )
            raise
        finally:
            del self._partial[speech.message.id]
        await self.finish(speech.message, reply)
        return reply.state != "failed"

    async def _finish_unspoken(self, message_id: str) -> None:
        """Say of an answer that it was stopped before its turn had come."""
        async with self._world.store.reading() as session:
            message = await session.get(Message, message_id)
            thread = await session.get(Thread, message.thread_id) if message else None
        reply = BODIES.validate_python(message.body) if message else None
        if message is not None and thread is not None and isinstance(reply, Answer):
            note = texts(thread.language)("chat.stopped")
            await self.finish(message, replace(reply, state="stopped", note=note, choices=()))

    async def _outcome(self, speech: _Speech) -> Answer:
        """The answer as it ended. Raises CancelledError where it was not a person who stopped it."""
        text = texts(speech.talk.language)
        try:
            await self._stream(speech)
        except asyncio.CancelledError:
            if not self.under_way.is_stopped(speech.message.id):
                raise
            return _ended(speech, "stopped", text("chat.stopped"))
        except FAILURES as error:
            log.info("answer.failed", message=speech.message.id, error=str(error))
            return self._failed(speech, failure_sentence(text, error))
        except Exception:
            log.exception("answer.bug", message=speech.message.id)
            return self._failed(speech, text("error.bug"))
        finally:
            self.under_way.end(speech.message.id)
        if not speech.text.strip():
            return _ended(speech, "complete", text("chat.empty"))
        return _ended(speech, "complete", text("chat.cut") if speech.finish_reason == "length" else "")

    def _failed(self, speech: _Speech, note: str) -> Answer:
        return replace(_ended(speech, "failed", note), choices=_ask_again(speech.talk.language, speech.messages))

    async def _stream(self, speech: _Speech) -> None:
        """Wait for the server where that is needed, then stream; once more where it fails before the first token."""
        for is_last in (False, True):
            try:
                await self._stream_once(speech)
                return
            except (ServerUnavailable, AdapterMissing):
                if is_last or speech.text:
                    raise
                log.info("answer.retried", message=speech.message.id)
                await asyncio.sleep(SECONDS_BEFORE_RETRY)

    async def _stream_once(self, speech: _Speech) -> None:
        talk = speech.talk
        async with self.routes.lease(
            talk.service.id,
            asks_base=talk.is_base,
            sticky=speech.message.thread_id,
            waiting=lambda waiting: self._show_waiting(speech, waiting),
        ) as lease:
            request = await self.request(lease, speech.messages, system=talk.system, sampling=talk.sampling)
            try:
                await self._pump(speech, request, lease)
            except (ServerUnavailable, AdapterMissing):
                lease.broken()
                raise

    async def _pump(self, speech: _Speech, request: ChatRequest, lease: Lease) -> None:
        async with aclosing(stream_answer(request)) as pieces:
            async for piece in pieces:
                lease.saw()
                speech.text += piece
                if time.monotonic() - speech.shown_at >= SECONDS_BETWEEN_SHOWINGS:
                    speech.shown_at = time.monotonic()
                    await self._show(speech, _grown(speech))
            speech.finish_reason = pieces.finish_reason

    async def _show_waiting(self, speech: _Speech, waiting: Waiting) -> None:
        note = waiting_sentence(texts(speech.talk.language), waiting)
        if note != speech.reply.note:
            speech.reply = replace(speech.reply, note=note)
            await self._show(speech, speech.reply)

    async def _show(self, speech: _Speech, reply: Answer) -> None:
        message = speech.message
        await self._delivery.grow(speech.talk.thread, reply, message_id=message.id, shown_as=message.shown_as)

    async def _beat(self, message_id: str, ended: asyncio.Event) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS_BETWEEN_SAVINGS):
                    await ended.wait()
            if ended.is_set():
                return
            try:
                if not await self._note_growing(message_id):
                    return
            except Exception as error:
                # The answer itself needs no database until it is whole; the next beat tries again.
                if is_away(error):
                    log.warning("answer.no_database", message=message_id)
                else:
                    log.exception("answer.not_kept", message=message_id)

    async def _note_growing(self, message_id: str) -> bool:
        speech = self._partial.get(message_id)
        body = BODIES.dump_python(_grown(speech), mode="json") if speech else None
        async with self._world.store.transaction() as session:
            return await note_growing(session, message_id, body)

    async def finish(self, message: Message, reply: Reply) -> None:
        """Say the last state of a message that was growing."""
        async with self._world.store.transaction() as session:
            thread = await session.get(Thread, message.thread_id)
            if thread is None or await session.get(Message, message.id) is None:
                return
            await say(session, thread, reply)
        await self._delivery.deliver([message.id])


def interrupted(language: str, reply: Answer, messages: Sequence[BaseMessage]) -> Answer:
    """The answer whose speaker was ended in the middle: what had come, and how to ask again."""
    note = texts(language)("chat.interrupted")
    return replace(reply, state="interrupted", note=note, choices=_ask_again(language, messages))


def _grown(speech: _Speech) -> Answer:
    if not speech.text:
        return speech.reply
    return replace(speech.reply, markdown=speech.text, note="")


def _ended(speech: _Speech, state: Literal["complete", "stopped", "failed"], note: str) -> Answer:
    return replace(speech.reply, markdown=speech.text.strip(), state=state, note=note, choices=())


def _ask_again(language: str, messages: Sequence[BaseMessage]) -> tuple[Choice, ...]:
    return tuple(Choice(say=str(last.text), label=texts(language)("chat.ask_again")) for last in messages[-1:])
