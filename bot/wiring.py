"""Builds everything from the settings. Nothing is built at import."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from bot.assistant import Assistant
from bot.commands import Handler
from bot.delivery import Delivery
from bot.dialogs import chat, dataset, deploy, experiment, general, models, runs
from bot.faces import Face
from bot.locks import loops_lock
from bot.reconcile import Loops, is_under_way, register_prepared
from bot.settings import Settings
from bot.speaking import Speaking
from bot.turns import ThreadRef
from bot.world import World
from serving.services import ModelServer
from serving.vllm_local import LocalVllm
from storage.artifacts import Artifacts
from storage.migrations import upgrade
from storage.store import Store
from storage.threads import find_thread
from training.local import LocalRuns
from training.machine import find_machine
from training.runs import RunBackend

log = structlog.get_logger(__name__)

HANDLERS: dict[str, Handler] = {
    "finetune": experiment.begin,
    "dataset": dataset.show,
    "datasets": dataset.list_,
    "runs": runs.list_,
    "status": runs.status,
    "logs": runs.logs,
    "stop": runs.stop,
    "retry": runs.retry,
    "models": models.list_or_add,
    "deploy": deploy.deploy,
    "undeploy": deploy.undeploy,
    "services": deploy.services,
    "chat": chat.choose,
    "base": chat.base,
    "tuned": chat.tuned,
    "compare": chat.compare,
    "system": chat.system,
    "params": chat.params,
    "leave": chat.leave,
    "language": experiment.language,
    "new": general.new,
    "help": general.help_,
}
"""Who does each command of the table."""


@dataclass(frozen=True, kw_only=True)
class Application:
    """Everything that one process needs; a face registers itself in :attr:`faces`, then starts the loops."""

    settings: Settings
    world: World
    assistant: Assistant
    delivery: Delivery
    loops: Loops
    faces: dict[str, Face]

    async def is_busy(self, thread: ThreadRef) -> bool:
        """Whether anything of a thread is still under way: a run, a service, an answer, something to show."""
        async with self.world.store.reading() as session:
            row = await find_thread(session, face=thread.face, key=thread.key)
            return row is not None and await is_under_way(session, row.id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Show what is due on this process's faces, and run the loops as long as no other process of the home does."""
        tasks = [asyncio.create_task(self.loops.show_due()), asyncio.create_task(self._reconcile())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    async def _reconcile(self) -> None:
        lock = loops_lock(self.settings)
        while not lock.try_acquire():  # noqa: ASYNC110  a file lock wakes nobody
            await asyncio.sleep(1)
        log.info("loops.begin")
        try:
            await self.loops.run()
        finally:
            # A clean end gives back the memory of the model servers; after a kill the next process adopts them.
            await self.loops.shut_down()
            lock.release()


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Application]:
    """The application on this machine: trainings and vLLM as local processes."""
    runs_backend = LocalRuns(
        artifacts_root=settings.artifacts_root,
        python=settings.training_python,
        threads=settings.threads,
    )
    servers = LocalVllm(folder=settings.hosts_folder, python=settings.serving_python)
    async with assemble(settings, runs=runs_backend, servers=servers) as application:
        yield application


@asynccontextmanager
async def assemble(settings: Settings, *, runs: RunBackend, servers: ModelServer) -> AsyncIterator[Application]:
    """The application over given engines, its database brought up to date."""
    settings.home.mkdir(parents=True, exist_ok=True)
    await upgrade(settings.database_url)
    store = Store(settings.database_url)
    woken = asyncio.Event()
    world = World(
        settings=settings,
        store=store,
        artifacts=Artifacts(settings.artifacts_root),
        runs=runs,
        servers=servers,
        machine=await asyncio.to_thread(find_machine),
        wake=woken.set,
    )
    await register_prepared(world)
    faces: dict[str, Face] = {}
    delivery = Delivery(store, faces)
    speaking = Speaking(world, delivery)
    try:
        yield Application(
            settings=settings,
            world=world,
            assistant=Assistant(world, delivery, speaking, HANDLERS),
            delivery=delivery,
            loops=Loops(world, delivery, speaking, woken=woken),
            faces=faces,
        )
    finally:
        await store.close()
