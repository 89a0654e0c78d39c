"""The dialogs once more, as lines in a terminal."""

from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import cast

import pytest

from bot.settings import Settings
from bot.terminal.face import TerminalFace
from bot.terminal.session import FACE, Session
from bot.turns import ThreadRef
from bot.wiring import Application, assemble
from serving.services import ModelServer
from tests.conversing import add_base_model, identity, support
from tests.databases import put_database
from tests.dialogs import CHINESE, ENGLISH, Dialog, typed
from tests.ended import end_run
from tests.fake_runs import FakeRuns
from tests.tuned import add_tuned_model


@pytest.fixture
async def application(tmp_path: Path) -> AsyncIterator[Application]:
    settings = Settings(home=tmp_path / "home")
    await put_database(settings.database_url)
    async with assemble(settings, runs=FakeRuns(), servers=cast(ModelServer, None)) as made:
        await add_base_model(made.world.store, settings.models_folder / "tiny-instruct")
        await add_tuned_model(made.world.store, "nova-1")
        yield made


async def hold(application: Application, dialog: Dialog, folder: Path, language: str) -> None:
    identity(folder / "identity.jsonl")
    support(folder / "support.jsonl")
    (folder / "notes.txt").write_text("Just some words.\nAnd some more.\n")
    output = StringIO()
    thread = ThreadRef(face=FACE, key="thread")
    face = TerminalFace(thread, is_live=False, output=output)
    application.faces[FACE] = face
    session = Session(
        application=application,
        face=face,
        thread=thread,
        language=language,
        is_live=False,
    )
    for said, answered in typed(dialog):
        if said.startswith("ENDED:"):
            await end_run(application.world.store, said.removeprefix("ENDED:"))
            continue
        before = len(output.getvalue())
        await session.say(f"@{folder / said.removeprefix('FILE:')}" if said.startswith("FILE:") else said)
        printed = output.getvalue()[before:]
        for expected in answered.split("|"):
            assert expected in printed, f"after {said!r} expected {expected!r} in:\n{printed}"


@pytest.mark.parametrize("name", ENGLISH)
async def test_dialog_in_english(application: Application, tmp_path: Path, name: str) -> None:
    await hold(application, ENGLISH[name], tmp_path, "en")


@pytest.mark.parametrize("name", CHINESE)
async def test_dialog_in_chinese(application: Application, tmp_path: Path, name: str) -> None:
    await hold(application, CHINESE[name], tmp_path, "zh-CN")
