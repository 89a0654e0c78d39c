"""The guided conversation, held over a real database, the assistant built anew for every turn."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conversing import Bench, bench, identity, support
from tests.dialogs import CHINESE, ENGLISH, Dialog
from tests.ended import end_run
from tests.recording import words
from tests.tuned import add_tuned_model


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home") as made:
        await add_tuned_model(made.world.store, "nova-1")
        yield made


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    notes = tmp_path / "notes.txt"
    notes.write_text("Just some words.\nAnd some more.\n")
    return {
        "identity.jsonl": identity(tmp_path / "identity.jsonl"),
        "support.jsonl": support(tmp_path / "support.jsonl"),
        "notes.txt": notes,
    }


async def hold(desk: Bench, dialog: Dialog, files: dict[str, Path], language: str) -> None:
    for said, answered in dialog:
        if said.startswith("ENDED:"):
            await end_run(desk.world.store, said.removeprefix("ENDED:"))
            continue
        about, text = None, said
        if said.startswith("about="):
            about, _, text = said.removeprefix("about=").partition(" ")
        uploads = [files[said.removeprefix("FILE:")]] if said.startswith("FILE:") else []
        replies = await desk.say("" if uploads else text, files=uploads, about=about, language=language)
        seen = "\n".join(words(reply) for reply in replies)
        for expected in answered.split("|"):
            assert expected in seen, f"after {said!r} expected {expected!r} in:\n{seen}"


@pytest.mark.parametrize("name", ENGLISH)
async def test_dialog_in_english(desk: Bench, files: dict[str, Path], name: str) -> None:
    await hold(desk, ENGLISH[name], files, "en")


@pytest.mark.parametrize("name", CHINESE)
async def test_dialog_in_chinese(desk: Bench, files: dict[str, Path], name: str) -> None:
    await hold(desk, CHINESE[name], files, "zh-CN")
