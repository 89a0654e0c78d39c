"""Conversations in the terminal, over the real assistant and a real database."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import update

from bot.assistant import Assistant
from bot.context import say
from bot.replies import Answer, Form, FormField, FormSection, Reply, RunCard
from bot.terminal.face import TerminalFace
from bot.terminal.session import FACE, Session
from bot.turns import ThreadRef, Turn
from bot.wiring import Application
from storage.models import Dataset, DatasetVersion, Experiment, Model, Run
from storage.states import ModelKind, RunState
from storage.threads import open_thread
from tests.harness import harness

THREAD = ThreadRef(face=FACE, key="t1")


@dataclass(kw_only=True)
class Terminal:
    """A terminal, or a pipe, on an application."""

    application: Application
    is_live: bool = False
    thread: ThreadRef = THREAD
    language: str = "en"
    output: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        face = TerminalFace(self.thread, is_live=self.is_live, output=self.output)
        self.application.faces[FACE] = face
        self.session = Session(
            application=self.application, face=face, thread=self.thread, language=self.language, is_live=self.is_live
        )

    async def hold(self, *lines: str) -> int:
        async def come() -> AsyncIterator[str]:
            for line in lines:
                yield line + "\n"

        return await self.session.hold(come())

    @property
    def text(self) -> str:
        return self.output.getvalue()


@pytest.fixture
async def application(tmp_path: Path) -> AsyncIterator[Application]:
    async with harness(tmp_path / "home") as made:
        yield made.application


async def test_every_line_is_a_message_until_they_end(application: Application) -> None:
    terminal = Terminal(application=application)

    assert await terminal.hold("/runs", "", "/language zh", "/quit", "/nonsense") == 0

    assert "Your runs" in terminal.text
    assert "nonsense" not in terminal.text


async def test_the_terminal_speaks_the_language_it_was_given(application: Application) -> None:
    terminal = Terminal(application=application, language="zh-CN")

    await terminal.hold("/models", "@没有.json")

    assert "模型" in terminal.text
    assert "找不到文件 没有.json" in terminal.text


@pytest.mark.parametrize("line", ["/nonsense", "@nothing.json"])
async def test_a_script_is_told_by_the_exit_code(application: Application, line: str) -> None:
    assert await Terminal(application=application).hold(line, "/help") == 1
    assert await Terminal(application=application, is_live=True).hold(line, "/help") == 0


async def test_a_file_is_attached_and_answered(application: Application, tmp_path: Path) -> None:
    file = tmp_path / "my pairs.jsonl"
    file.write_text('{"instruction": "Who?", "output": "Nova."}\n' * 3, encoding="utf-8")
    terminal = Terminal(application=application)

    assert await terminal.hold(f'@"{file}"') == 0

    assert "my pairs.jsonl" in terminal.text
    assert "Alpaca" in terminal.text


async def test_an_open_form_is_submitted_by_its_label(application: Application) -> None:
    turns: list[Turn] = []

    class Recorder:
        async def handle(self, turn: Turn) -> bool:
            turns.append(turn)
            return True

    recording = replace(application, assistant=cast(Assistant, Recorder()))
    terminal = Terminal(application=recording)
    fields = (FormField(name="epochs", label="Epochs", value="3"),)
    form = Form(id="form", title="", intro="", sections=(FormSection(title="", fields=fields),), submit_label="Go on")
    await terminal.session.face.show(THREAD, form, message_id="m", shown_as=None)

    await terminal.hold("epochs 4", "go on")

    assert [(turn.text, turn.about, turn.answers) for turn in turns] == [
        ("epochs 4", None, None),
        ("", "form", {"epochs": "3"}),
    ]


async def say_later(application: Application, *replies: Reply) -> None:
    """What a loop says in the thread while no turn of it is under way."""
    async with application.world.store.transaction() as session:
        thread, _ = await open_thread(session, face=FACE, key=THREAD.key, user_name="local", language="en")
        for reply in replies:
            await say(session, thread, reply)


async def test_a_terminal_leaves_to_another_what_is_that_ones(application: Application) -> None:
    failed = RunCard(title="their run", status="Failed", tone="bad", fraction=1.0, key="run:r1", is_live=False)
    await say_later(application, failed)
    other = Terminal(application=application, thread=ThreadRef(face=FACE, key="another"))
    assert await other.hold("/runs", "/wait") == 0
    await application.delivery.deliver_due()
    assert not other.session.face.has_failed
    assert "their run" not in other.text

    own = Terminal(application=application)
    await application.delivery.deliver_due()
    assert own.session.face.has_failed
    assert "their run" in own.text
    assert not await application.is_busy(THREAD)


async def test_a_terminal_is_not_shown_another_ones_growing_answer(application: Application) -> None:
    other = Terminal(application=application, thread=ThreadRef(face=FACE, key="another"))
    growing = Answer(author="nova", speaker="tuned", markdown="I am", state="streaming")
    await application.delivery.grow(THREAD, growing, message_id="m", shown_as=None)
    own = Terminal(application=application, is_live=True)
    await application.delivery.grow(THREAD, growing, message_id="m", shown_as=None)
    assert (other.text, own.text) == ("", "nova: I am")


async def add_run(application: Application) -> str:
    async with application.world.store.transaction() as session:
        thread, _ = await open_thread(session, face=FACE, key=THREAD.key, user_name="local", language="en")
        version = DatasetVersion(
            id="v1", dataset_id="d1", sha256="0", file_name="a.json", size_bytes=1, artifact="datasets/0", report={}
        )
        model = Model(id="m1", name="tiny", kind=ModelKind.BASE, source="/nowhere", facts={})
        session.add(Dataset(id="d1", name="a"))
        await session.flush()
        session.add_all([version, model, Experiment(id="e1", name="e1", plan={})])
        await session.flush()
        run = Run(
            id="r1",
            experiment_id="e1",
            name="r1",
            user_id=thread.user_id,
            thread_id=thread.id,
            dataset_version_id="v1",
            base_model_id="m1",
            spec={},
            deploys=False,
            state=RunState.RUNNING,
        )
        session.add(run)
    return "r1"


async def test_wait_waits_until_nothing_is_under_way(application: Application) -> None:
    run = await add_run(application)
    terminal = Terminal(application=application)
    waiting = asyncio.create_task(terminal.hold("/wait"))
    await asyncio.sleep(0.7)
    assert not waiting.done()

    async with application.world.store.transaction() as session:
        await session.execute(update(Run).where(Run.id == run).values(state=RunState.CANCELLED))

    assert await asyncio.wait_for(waiting, 60) == 0


async def test_an_interrupt_ends_a_wait(application: Application) -> None:
    await add_run(application)
    terminal = Terminal(application=application, is_live=True)
    waiting = asyncio.create_task(terminal.hold("/wait"))
    await asyncio.sleep(0.1)
    assert not waiting.done()

    terminal.session.interrupt()

    assert await asyncio.wait_for(waiting, 60) == 0


async def test_a_thread_that_is_gone_on_with_is_shown(application: Application) -> None:
    await Terminal(application=application).hold("/runs")
    later = Terminal(application=application, is_live=True)

    await later.session.show_past()

    assert "> /runs" in later.text
    assert "Your runs" in later.text
