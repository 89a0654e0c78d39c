"""Base and tuned model answer the run's questions side by side."""

import asyncio
from contextlib import aclosing

import structlog
from langchain_core.messages import HumanMessage
from sqlalchemy.ext.asyncio import AsyncSession

from bot.delivery import Delivery
from bot.hosting import is_adapter
from bot.reconcile.announcing import comparison
from bot.reconcile.live import say_if_changed
from bot.routing import Lease, NotReadyError, Waiting
from bot.serving_problems import error_sentence
from bot.speaking import Speaking
from bot.texts import Texts, texts
from bot.world import World
from serving.chat import stream_answer
from serving.services import ChatRefused, ChatTooLong, ServingError
from storage.artifact_errors import ArtifactError
from storage.models import Model, Run, Service, Thread
from storage.services import get_service
from training.tokens import TokenizerError

log = structlog.get_logger(__name__)

SAMPLING = {"temperature": 0.0, "max_tokens": 128}
"""A comparison comes out alike every time, and does not take minutes on a small machine."""

SECONDS_BEFORE_NEXT_TRY = 0.2


class Comparing:
    """Makes comparisons; a killed one is begun anew, and shown as one message either way."""

    def __init__(self, world: World, delivery: Delivery, speaking: Speaking) -> None:
        self._world = world
        self._delivery = delivery
        self._speaking = speaking

    async def compare(self, service_id: str) -> None:
        """Ask all questions of both, show each answer as it comes, and note that it is done.

        A service that gets another model meanwhile is left to that one's own comparison.
        """
        async with self._world.store.reading() as session:
            service = await session.get(Service, service_id)
            model = await session.get(Model, service.model_id) if service else None
            run = await session.get(Run, model.run_id) if model and model.run_id else None
            base = await session.get(Model, model.base_model_id) if model and model.base_model_id else None
            thread = await session.get(Thread, service.thread_id) if service and service.thread_id else None
        if service is None or model is None:
            return
        if thread is None or run is None or base is None or not run.questions or not is_adapter(model):
            await self._note_done(service_id, model)
            return
        answers: list[tuple[str, str]] = []
        try:
            for question in run.questions:
                answers.append(await self._ask_both(question, service_id, model, texts(thread.language)))
                if not await self._show(service_id, model, run, answers):
                    return
        except (ServingError, NotReadyError, ArtifactError) as error:
            log.info("comparison.broken_off", service=service_id, error=str(error))
            await asyncio.sleep(SECONDS_BEFORE_NEXT_TRY)
            return
        await self._note_done(service_id, model)

    async def _ask_both(self, question: str, service_id: str, model: Model, text: Texts) -> tuple[str, str]:
        base = asyncio.create_task(self._ask(question, service_id, None, text, asks_base=True))
        tuned = asyncio.create_task(self._ask(question, service_id, model.system_prompt, text, asks_base=False))
        try:
            return await asyncio.gather(base, tuned)
        finally:
            # Where one is broken off, both are: neither holds its place any longer.
            for one in (base, tuned):
                one.cancel()
            await asyncio.gather(base, tuned, return_exceptions=True)

    async def _ask(self, question: str, service_id: str, system: str | None, text: Texts, *, asks_base: bool) -> str:
        async with self._speaking.routes.lease(
            service_id, asks_base=asks_base, sticky=service_id, waiting=_wait_for_places_only
        ) as lease:
            # A question that can never be answered: that is said in its place, and the others are asked.
            try:
                return await self._ask_there(question, lease, system)
            except (ChatTooLong, ChatRefused) as error:
                return error_sentence(text, error)
            except TokenizerError as error:
                return text(f"tokenizer_error.{error.code}", **error.params)
            except ServingError:
                lease.broken()
                raise

    async def _ask_there(self, question: str, lease: Lease, system: str | None) -> str:
        request = await self._speaking.request(lease, [HumanMessage(question)], system=system, sampling=SAMPLING)
        said = []
        async with aclosing(stream_answer(request)) as pieces:
            async for piece in pieces:
                lease.saw()
                said.append(piece)
        text = "".join(said).strip()
        return f"{text} …".strip() if pieces.finish_reason == "length" or not text else text

    async def _show(self, service_id: str, model: Model, run: Run, answers: list[tuple[str, str]]) -> bool:
        """False where these are no answers of the service any more."""
        async with self._world.store.transaction() as session:
            service = await _find_with(session, service_id, model)
            thread = await session.get(Thread, service.thread_id) if service and service.thread_id else None
            if service is None or thread is None:
                return False
            reply = await comparison(session, thread, service, model, run, answers=tuple(answers))
            shown = await say_if_changed(session, thread, reply)
        await self._delivery.deliver(shown)
        return True

    async def _note_done(self, service_id: str, model: Model) -> None:
        async with self._world.store.transaction() as session:
            service = await _find_with(session, service_id, model)
            if service is not None:
                service.compared = True


async def _find_with(session: AsyncSession, service_id: str, model: Model) -> Service | None:
    """The service as it is now, if it still has the model."""
    service = await get_service(session, service_id)
    return service if service is not None and service.model_id == model.id else None


async def _wait_for_places_only(waiting: Waiting) -> None:
    # A service that went away comes back by the loop's next passes, and they do not wait for this.
    if waiting.code != "queue":
        raise NotReadyError(waiting.code)
