"""The whole web site with the real assistant in this process, on a free port; the engines are fakes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.faces import Face
from bot.settings import Settings
from bot.wiring import Application, assemble
from chainlit_app.server import address_of, listen, run, site_of
from tests.fake_vllm import FakeModelServer
from tests.fakes import FakeRuns
from tests.web_chainlit import forget_data_layer


@dataclass(kw_only=True)
class Web:
    """A running site."""

    address: str
    application: Application

    @property
    def face(self) -> Face:
        return self.application.faces["web"]


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    settings = Settings(home=tmp_path, port=0)
    forget_data_layer(monkeypatch)
    ready = asyncio.Event()
    with closing(FakeModelServer()) as servers, listen(settings) as listener:
        async with (
            assemble(settings, runs=FakeRuns(), servers=servers) as application,
            site_of(application) as site,
        ):
            serving = asyncio.create_task(run(site, listener, ready.set))
            await ready.wait()
            yield Web(address=address_of(listener), application=application)
            signal.raise_signal(signal.SIGTERM)
            await serving
