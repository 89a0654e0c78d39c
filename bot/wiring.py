"""Builds everything from the settings. Nothing is built at import."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import structlog

from bot.assistant import Assistant
from bot.commands import Handler
from bot.databases import bring_up_to_date
from bot.delivery import Delivery
from bot.dialogs import chat, dataset, deleting, deploy, experiment, general, keys, models, runs, services
from bot.ending import end
from bot.faces import Face
from bot.locks import Turn, loops_turn
from bot.places import read_places
from bot.reconcile import Loops, is_under_way, register_prepared
from bot.routing import Routes
from bot.secret import read_secret
from bot.settings import Settings
from bot.speaking import Speaking
from bot.stopping import CannotGoOnError
from bot.tokenizers import Tokenizers
from bot.turns import ThreadRef
from bot.world import World
from serving.kubernetes import KubernetesVllm
from serving.services import ModelServer
from serving.several import SeveralServers
from serving.vllm_local import LocalVllm
from storage.artifacts import Artifacts
from storage.store import Store
from storage.threads import find_thread
from training.cluster import Unreachable
from training.kubernetes import KubernetesRuns
from training.local import LocalRuns
from training.machine import find_machine
from training.places import ClusterPlace
from training.runs import RunBackend
from training.several import SeveralPlaces

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
    "delete": deleting.delete,
    "models": models.list_or_add,
    "deploy": deploy.deploy,
    "undeploy": services.undeploy,
    "services": services.list_,
    "key": keys.keys,
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


class _TurnLost(Exception):
    """Somebody else may run the loops now."""


@dataclass(frozen=True, kw_only=True)
class Application:
    """Everything that one process needs; a face registers itself in :attr:`faces`, then starts the loops."""

    settings: Settings
    world: World
    assistant: Assistant
    speaking: Speaking
    delivery: Delivery
    loops: Loops
    turn: Turn
    """To run the loops."""
    faces: dict[str, Face]
    routes: Routes
    """From services to the replicas that answer: one for all that this process asks."""
    tokenizers: Tokenizers

    async def is_busy(self, thread: ThreadRef) -> bool:
        """Whether anything of a thread is still under way: a run, a service, an answer, something to show."""
        async with self.world.store.reading() as session:
            row = await find_thread(session, face=thread.face, key=thread.key)
            return row is not None and await is_under_way(session, row.id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Show what is due on this process's faces, and run the loops as long as no other process does."""
        tasks = [asyncio.create_task(self.loops.show_due()), asyncio.create_task(self._reconcile())]
        try:
            yield
        finally:
            try:
                # While model servers are there: that those of this machine end with the loops is no failure of theirs.
                await self.speaking.under_way.close()
            finally:
                try:
                    await end(tasks)
                finally:
                    await self.delivery.close()

    async def _reconcile(self) -> None:
        try:
            while True:
                while not await self.turn.try_acquire():  # noqa: ASYNC110  no lock wakes us
                    await asyncio.sleep(1)
                log.info("loops.begin")
                await self._run_loops()
        finally:
            if self.turn.is_held:
                await self._give_back()
            else:
                await self.loops.break_off()

    async def _give_back(self) -> None:
        """A clean end gives back the memory of the model servers; after a kill the next process adopts them."""
        try:
            await self.loops.shut_down()
        except Exception:  # whatever is in the way of one thing's end, the rest of the server ends
            log.exception("loops.not_shut_down")
        finally:
            await self.turn.release()

    async def _run_loops(self) -> None:
        """Run them as long as it is our turn. Whoever has it next finds the world as we leave it."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.loops.run())
                await self.turn.lost()
                raise _TurnLost
        except* _TurnLost:
            log.warning("loops.lost")
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # From Python 3.13 a task group that ends for an error of its own passes on that its task was cancelled
            # meanwhile; before, it keeps that to itself (cpython issue 116720), and the loops would go on for ever.
            await asyncio.sleep(0)
            raise asyncio.CancelledError
        await self.loops.break_off()


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Application]:
    """The application with the engines that the settings name: trainings and vLLM here, or in a cluster."""
    places = read_places(settings)
    with ExitStack() as open_ones:
        # Finding a way to a cluster may take a moment (a command of the kubeconfig that gives a token).
        runs = await asyncio.to_thread(_open_runs, places, settings, open_ones)
        servers = await asyncio.to_thread(_open_servers, places, settings, open_ones)
        async with assemble(settings, runs=runs, servers=servers, places=places) as application:
            yield application


def _open_runs(places: Sequence[ClusterPlace], settings: Settings, open_ones: ExitStack) -> RunBackend:
    """The backend of all places, closed with ``open_ones``. A cluster that is away is no error: it is asked again."""
    if not places:
        return LocalRuns(Path(settings.artifacts_root), settings.training_python, threads=settings.threads)
    backends = {place.name: open_ones.enter_context(closing(connect(place, settings))) for place in places}
    if len(places) == 1:
        return backends[places[0].name]
    return open_ones.enter_context(closing(SeveralPlaces(backends, default=places[0].name)))


def _open_servers(places: Sequence[ClusterPlace], settings: Settings, open_ones: ExitStack) -> ModelServer:
    """The model servers of all places that serve, closed with ``open_ones``; this machine's where none does."""
    secret = read_secret(settings.secret_path).encode()
    servers = {
        place.name: open_ones.enter_context(closing(connect_servers(place, settings, secret)))
        for place in places
        if place.serving
    }
    if not servers:
        local = LocalVllm(folder=settings.hosts_folder, python=settings.serving_python)
        return open_ones.enter_context(closing(local))
    return SeveralServers(servers) if len(servers) > 1 else next(iter(servers.values()))


def connect_servers(place: ClusterPlace, settings: Settings, secret: bytes) -> KubernetesVllm:
    """The model servers of a place. Raises CannotGoOnError where no way to its cluster is known."""
    try:
        return KubernetesVllm(place, settings.artifacts_root, secret=secret)
    except Unreachable as error:
        raise CannotGoOnError("find_cluster", place=place.name, problem=str(error)) from error


def connect(place: ClusterPlace, settings: Settings) -> KubernetesRuns:
    """The backend of a place. Raises CannotGoOnError where no way to its cluster is known."""
    try:
        return KubernetesRuns(place, settings.artifacts_root)
    except Unreachable as error:
        raise CannotGoOnError("find_cluster", place=place.name, problem=str(error)) from error


@asynccontextmanager
async def assemble(
    settings: Settings, *, runs: RunBackend, servers: ModelServer, places: Sequence[ClusterPlace] = ()
) -> AsyncIterator[Application]:
    """The application over given engines, its database brought up to date; ``places``: where trainings run, if not on
    this machine."""
    await bring_up_to_date(settings)
    store = Store(settings.database_url)
    woken = asyncio.Event()
    machine = await asyncio.to_thread(find_machine)
    world = World(
        settings=settings,
        store=store,
        artifacts=Artifacts(settings.artifacts_root, cache=settings.cache_folder),
        runs=runs,
        servers=servers,
        machine=machine,
        wake=woken.set,
        places={place.name: place for place in places},
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
            speaking=speaking,
            delivery=delivery,
            loops=Loops(world, delivery, speaking, woken=woken),
            turn=loops_turn(settings, store),
            faces=faces,
            routes=speaking.routes,
            tokenizers=speaking.tokenizers,
        )
    finally:
        await speaking.routes.close()
        await store.close()
