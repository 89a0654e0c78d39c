"""A run that this machine cannot launch says so on its card, waits, and goes on once it can."""

import sys
from pathlib import Path

from bot.replies import RunCard
from storage.models import Run
from storage.states import RunState
from tests.living import living
from training.local import LocalRuns


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_a_training_python_that_is_missing_is_said(tmp_path: Path) -> None:
    backend = LocalRuns(tmp_path / "home" / "artifacts", tmp_path / "no" / "python")
    async with living(tmp_path / "home", backend=backend) as life:
        await life.begin()
        await life.loops.once()
        card = life.shown(RunCard)[-1]
        assert "training environment does not start" in card.status
        assert "No such file" in card.note
        assert (await life.row(Run)).state is RunState.QUEUED


async def test_a_broken_training_python_is_said_in_its_own_last_line(tmp_path: Path) -> None:
    python = program(tmp_path / "python", "echo first; echo No module named psutil >&2; exit 1")
    backend = LocalRuns(tmp_path / "home" / "artifacts", python)
    async with living(tmp_path / "home", backend=backend) as life:
        await life.begin()
        await life.loops.once()
        assert life.shown(RunCard)[-1].note == "No module named psutil"


async def test_a_disk_that_takes_nothing_is_said_and_the_run_goes_on_later(tmp_path: Path) -> None:
    root = tmp_path / "home" / "artifacts"
    async with living(tmp_path / "home", backend=LocalRuns(root, Path(sys.executable))) as life:
        await life.begin()
        (root / "runs").write_text("in the way of a folder")
        await life.loops.once()
        card = life.shown(RunCard)[-1]
        assert "the disk of this machine does not take" in card.status
        assert "runs" in card.note
        (root / "runs").unlink()
        await life.loops.once()
        run = await life.row(Run)
        assert run.state is RunState.PENDING
        await life.house.say("/stop")
        for attempt in life.house.application.world.runs.observe():
            life.house.application.world.runs.delete(attempt)
