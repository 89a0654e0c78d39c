"""Runs that should be gone: what they left is taken away, the rows at last. Every step may be repeated."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bot.cards import deletion_key, gone_card, service_card
from bot.delivery import Delivery
from bot.reconcile.live import say_if_changed
from bot.reconcile.outcome import folders_of
from bot.replies import Text
from bot.texts import Texts, texts
from bot.world import World
from storage.artifact_errors import ArtifactError
from storage.catalogue import model_of_run
from storage.deletion import attempts_of, forget_run, is_served, runs_to_delete, threads_told
from storage.models import Dataset, DatasetVersion, Host, Run, Thread, now
from storage.runs import get_run
from storage.services import services_of_model
from storage.threads import find_message
from training.runs import AttemptId, BackendUnavailable

log = structlog.get_logger(__name__)

LATE_AFTER = timedelta(minutes=1)
"""When what keeps a deletion is said."""


class DeletionLoop:
    """One pass after the other. What cannot be done now is done by a later one; nothing is remembered but rows."""

    def __init__(self, world: World, delivery: Delivery) -> None:
        self._world = world
        self._delivery = delivery

    async def once(self) -> None:
        """Take away what runs left that should be gone; one that cannot go now keeps no other."""
        async with self._world.store.reading() as session:
            runs = await runs_to_delete(session)
        for run in runs:
            try:
                is_done = await self._delete(run)
                trouble = "" if is_done else "server"
            except (BackendUnavailable, ArtifactError, OSError) as error:
                log.warning("run.not_deleted", run=run.id, error=str(error))
                trouble = "place" if isinstance(error, BackendUnavailable) else "files"
            if trouble and now() - (run.deletion_wanted_at or now()) > LATE_AFTER:
                await self._say_late(run, trouble)

    async def _delete(self, run: Run) -> bool:
        """What the attempts have in the cluster or on this machine, then the files, then the rows.

        False while a model server has not let go of the model yet. Raises BackendUnavailable, ArtifactError, OSError.
        """
        async with self._world.store.reading() as session:
            model = await model_of_run(session, run.id)
            if model is not None and await is_served(session, model.id):
                return False
            attempts = await attempts_of(session, run.id)
        for number in attempts:
            await asyncio.to_thread(self._world.runs.delete, AttemptId(run.id, number))
        for folder in folders_of(run.id):
            await self._world.artifacts.delete(folder)
        await self._forget(run.id)
        log.info("run.deleted", run=run.id, attempts=len(attempts))
        return True

    async def _forget(self, run_id: str) -> None:
        async with self._world.store.transaction() as session:
            run = await get_run(session, run_id)
            if run is None:
                return
            shown = await _say_services_gone(session, run) + await _say(session, run, "done")
            await forget_run(session, run)
        await self._delivery.deliver(shown)

    async def _say_late(self, run: Run, trouble: str) -> None:
        async with self._world.store.transaction() as session:
            shown = await _say(session, run, f"late.{trouble}")
        await self._delivery.deliver(shown)


async def _say(session: AsyncSession, run: Run, code: str) -> list[str]:
    """How the deletion is, in place of what was said of it before, wherever it was asked for."""
    version = await session.get_one(DatasetVersion, run.dataset_version_id)
    dataset = await session.get_one(Dataset, version.dataset_id)
    shown: list[str] = []
    for thread in await threads_told(session, deletion_key(run.id)):
        words = texts(thread.language)(f"delete.{code}", name=run.name, dataset=dataset.name)
        shown += await say_if_changed(session, thread, Text(markdown=words, key=deletion_key(run.id)))
    return shown


async def _say_services_gone(session: AsyncSession, run: Run) -> list[str]:
    """The cards of the model's ended services offer nothing any more."""
    model = await model_of_run(session, run.id)
    shown: list[str] = []
    for service in await services_of_model(session, model.id) if model else ():
        thread = await session.get(Thread, service.thread_id) if service.thread_id else None
        if thread is None or await find_message(session, thread.id, f"service:{service.id}") is None or model is None:
            continue
        text: Texts = texts(thread.language)
        host = await session.get_one(Host, service.host_id)
        shown += await say_if_changed(session, thread, gone_card(service_card(text, service, host, model), text))
    return shown
