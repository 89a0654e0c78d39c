"""The whole web site with the real assistant in this process, on a free port; the engines are fakes."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.faces import Face
from bot.replies import BODIES, Reply, Said
from bot.settings import Settings
from bot.wiring import Application, assemble
from chainlit_app.server import address_of, listen, run, site_of
from storage.states import Role
from storage.threads import open_thread, put_message
from tests.conversing import add_base_model
from tests.databases import put_database
from tests.fake_runs import FakeRuns
from tests.fake_vllm import FakeModelServer
from tests.web_chainlit import forget_data_layer


@dataclass(kw_only=True)
class Web:
    """A running site, with the test's hand on its engines."""

    address: str
    application: Application
    runs: FakeRuns
    servers: FakeModelServer

    @property
    def face(self) -> Face:
        return self.application.faces["web"]

    async def fill(self, thread_key: str, bodies: list[Said | Reply], *, title: str, language: str = "en") -> None:
        """Put a thread into the table."""
        async with self.application.world.store.transaction() as session:
            thread, _ = await open_thread(session, face="web", key=thread_key, user_name="local", language=language)
            thread.title = title
            for body in bodies:
                role = Role.USER if isinstance(body, Said) else Role.ASSISTANT
                stored = BODIES.dump_python(body, mode="json")
                await put_message(session, thread, role=role, body=stored, key=getattr(body, "key", None))


@asynccontextmanager
async def running_site(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    """A site on a fresh home with one base model, ``tiny-instruct``; a signal ends it, as in real life."""
    settings = Settings(home=home, port=0)
    forget_data_layer(monkeypatch)
    ready = asyncio.Event()
    runs = FakeRuns(settings.artifacts_root)
    await put_database(settings.database_url)
    with closing(FakeModelServer()) as servers, listen(settings) as listener:
        async with assemble(settings, runs=runs, servers=servers) as application, site_of(application) as site:
            await add_base_model(application.world.store, settings.models_folder / "tiny-instruct")
            serving = asyncio.create_task(run(site, listener, ready.set))
            # Where it ends before it is ready, that is what there is to be told.
            serving.add_done_callback(lambda _: ready.set())
            await ready.wait()
            try:
                if not serving.done():
                    yield Web(address=address_of(listener), application=application, runs=runs, servers=servers)
            finally:
                # Without a server nobody listens for the signal any more: it would end the tests.
                if not serving.done():
                    signal.raise_signal(signal.SIGTERM)
                async with asyncio.timeout(120):
                    await serving


async def eventually(is_so: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait until something holds."""
    for _ in range(round(seconds / 0.05)):
        if is_so():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to be")
