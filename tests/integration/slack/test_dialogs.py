"""The dialogs once more, in threads of Slack."""

from pathlib import Path

import pytest

from tests.conversing import identity, support
from tests.dialogs import CHINESE, ENGLISH, Dialog, typed
from tests.ended import end_run
from tests.slack_talk import SlackTalk, slack_talk
from tests.tuned import add_tuned_model


async def hold(talk: SlackTalk, dialog: Dialog, folder: Path) -> None:
    identity(folder / "identity.jsonl")
    support(folder / "support.jsonl")
    (folder / "notes.txt").write_text("Just some words.\nAnd some more.\n")
    await add_tuned_model(talk.application.world.store, "nova-1")
    for said, answered in typed(dialog):
        if said.startswith("ENDED:"):
            await end_run(talk.application.world.store, said.removeprefix("ENDED:"))
            continue
        if said.startswith("FILE:"):
            news = await talk.say(files=[folder / said.removeprefix("FILE:")])
        else:
            # A slash command cannot be written in a thread.
            news = await talk.say(f"!{said[1:]}" if said.startswith("/") else said)
        for expected in answered.split("|"):
            assert expected in news, f"after {said!r} expected {expected!r} in:\n{news}"


@pytest.mark.parametrize("name", ENGLISH)
async def test_dialog_in_english(tmp_path: Path, name: str) -> None:
    async with slack_talk(tmp_path / "home") as talk:
        await hold(talk, ENGLISH[name], tmp_path)


@pytest.mark.parametrize("name", CHINESE)
async def test_dialog_in_chinese(tmp_path: Path, name: str) -> None:
    async with slack_talk(tmp_path / "home", locale="zh-CN") as talk:
        await hold(talk, CHINESE[name], tmp_path)
