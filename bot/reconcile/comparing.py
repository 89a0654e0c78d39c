"""Base and tuned model answer the run's questions side by side."""

import asyncio
from contextlib import aclosing

import structlog
from langchain_core.messages import HumanMessage

from bot.delivery import Delivery
from bot.hosting import is_adapter
from bot.reconcile.announcing import comparison
from bot.reconcile.live import say_if_changed
from bot.routing import Lease, NotReadyError, Waiting
from bot.speaking import Speaking
from bot.world import World
from serving.chat import stream_answer
from serving.services import ChatRefused, ChatTooLong, ServingError
from storage.models import Model, Run, Service, Thread
from storage.services import get_service

log = structlog.get_logger(__name__)

SAMPLING = {"temperature": 0.0, "max_tokens": 128}
"""A comparison comes out alike every time, and does not take minutes on a small machine."""


class Comparing:
    """Makes comparisons; a killed one is begun anew, and shown as one message either way."""

    def __init__(self, world: World, delivery: Delivery, speaking: Speaking) -> None:
        self._world = world
        self._delivery = delivery
        self._speaking = speaking

    async def compare(self, service_id: str) -> None:
        """Ask all questions of both, show each answer as it comes, and note that it is done."""
        async with self._world.store.reading() as session:
            service = await session.get(Service, service_id)
            model = await session.get(Model, service.model_id) if service else None
            run = await session.get(Run, model.run_id) if model and model.run_id else None
            base = await session.get(Model, model.base_model_id) if model and model.base_model_id else None
        if service is None or model is None:
            return
        if service.thread_id is None or run is None or base is None or not run.questions or not is_adapter(model):
            await self._note_done(service_id)
            return
        answers: list[tuple[str, str]] = []
        try:
            for question in run.questions:
                answers.append(await self._ask_both(question, service_id, model))
                await self._show(service_id, answers)
        except (ServingError, NotReadyError) as error:
            log.info("comparison.broken_off", service=service_id, error=str(error))
            await asyncio.sleep(0.2)
            return
        await self._note_done(service_id)

    async def _ask_both(self, question: str, service_id: str, model: Model) -> tuple[str, str]:
        base_answer, tuned_answer = await asyncio.gather(
            self._ask(question, service_id, None, asks_base=True),
            self._ask(question, service_id, model.system_prompt, asks_base=False),
        )
        return base_answer, tuned_answer

    async def _ask(self, question: str, service_id: str, system: str | None, *, asks_base: bool) -> str:
        async with self._speaking.routes.lease(
            service_id, asks_base=asks_base, sticky=service_id, waiting=_wait_for_places_only
        ) as lease:
            try:
                return await self._ask_there(question, lease, system)
            except (ChatTooLong, ChatRefused) as error:
                # This question can never be answered: say so in its place, and go on with the others.
                return f"({error})"
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

    async def _show(self, service_id: str, answers: list[tuple[str, str]]) -> None:
        async with self._world.store.transaction() as session:
            service = await get_service(session, service_id)
            thread = await session.get(Thread, service.thread_id) if service and service.thread_id else None
            if service is None or thread is None:
                return
            model = await session.get_one(Model, service.model_id)
            run = await session.get_one(Run, model.run_id)
            reply = await comparison(session, thread, service, model, run, answers=tuple(answers))
            shown = await say_if_changed(session, thread, reply)
        await self._delivery.deliver(shown)

    async def _note_done(self, service_id: str) -> None:
        async with self._world.store.transaction() as session:
            service = await get_service(session, service_id)
            if service is not None:
                service.compared = True


async def _wait_for_places_only(waiting: Waiting) -> None:
    # A service that went away comes back by the loop's next passes, and they do not wait for this.
    if waiting.code != "queue":
        raise NotReadyError(waiting.code)
