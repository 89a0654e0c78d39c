"""What a pod's process does before and beside the training itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.files import ArtifactFiles
from tests.places import PROJECT
from tests.server_process import wait_until
from training.layout import attempt_folder
from training.runs import Attempt, AttemptId
from training.spec import TrainingSpec
from training.trainer import request
from training.trainer.exits import Exit
from training.trainer.gang import RANK_MODULE, Gang
from training.trainer.outcomes import Outcome, parse_exit, read_exit, write_exit

ATTEMPT = Attempt(
    id=AttemptId("run", 1),
    spec=TrainingSpec(nodes=2),
    base_model="artifact:bases/tiny",
    dataset="datasets/abc",
    columns={},
    fills={},
    model="models/run",
)
PATIENCE_S = 120


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An artifact root with an attempt that was submitted."""
    folder = attempt_folder(tmp_path, ATTEMPT.id)
    folder.path.mkdir(parents=True)
    folder.request.write_bytes(request.to_json(ATTEMPT))
    return tmp_path


@contextmanager
def pod(root: Path, *options: str, node: int) -> Iterator[subprocess.Popen[bytes]]:
    """A pod of a gang whose first machine has no address yet."""
    gang = ["--nodes=2", f"--node={node}", "--master=first.invalid"]
    command = [sys.executable, "-m", "training.trainer.pod", str(root), "run", "1", *gang, *options]
    with subprocess.Popen(command, cwd=PROJECT) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_listens_before_it_has_imported_anything_that_takes_time(root: Path) -> None:
    with pod(root, node=0) as process:
        # Looked at in this order: once a library is there, a signal must be heard already.
        wait_until(lambda: has_library(process.pid), seconds=PATIENCE_S)
        assert hears(process.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == Exit.INTERRUPTED
    assert read_exit(attempt_folder(root, ATTEMPT.id)) == Outcome(exit=Exit.INTERRUPTED)


def has_library(pid: int) -> bool:
    """Whether a process has loaded compiled code of a package, such as the store's or psutil's."""
    return any("site-packages" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())


def hears(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_a_machine_that_comes_back_when_the_first_has_succeeded_waits_for_nobody(root: Path) -> None:
    folder = attempt_folder(root, ATTEMPT.id)
    write_exit(folder, Outcome(exit=Exit.SUCCEEDED))
    write_exit(folder, Outcome(exit=Exit.INTERRUPTED), node=1)
    with pod(root, node=1) as process:
        assert process.wait(PATIENCE_S) == Exit.SUCCEEDED


def test_a_stop_that_nobody_told_a_pod_of_is_seen_in_the_bucket(bucket_url: str, tmp_path: Path) -> None:
    files = ArtifactFiles(bucket_url)
    for key in (ATTEMPT.dataset, "bases/tiny"):
        (tmp_path / key).mkdir(parents=True)
        (tmp_path / key / "file").touch()
        files.keep_folder(tmp_path / key, key)
    files.write("runs/run/attempt-1/request.json", request.to_json(ATTEMPT))
    files.write("runs/run/attempt-1/stop", b"")
    with pod(tmp_path / "work", f"--bucket={bucket_url}", node=1) as process:
        assert process.wait(PATIENCE_S) == Exit.STOPPED
    assert parse_exit(files.read("runs/run/attempt-1/exit-1.json")) == Outcome(exit=Exit.STOPPED)


FAMILY = """
import subprocess, sys, time
ended = subprocess.Popen([sys.executable, "-c", ""])
rank = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)", sys.argv[1]])
print(ended.pid, rank.pid, flush=True)
sys.exit(rank.wait() != -15)
"""
"""As torchrun with a child that has ended, whom it has not looked after yet, and a rank."""


def test_a_child_that_has_ended_keeps_no_rank_from_being_told(root: Path) -> None:
    command = [sys.executable, "-c", FAMILY, RANK_MODULE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as torchrun:
        try:
            assert torchrun.stdout is not None
            lines = sorted([torchrun.stdout.readline(), torchrun.stdout.readline()])
            ended = int(lines[0].split()[0])
            wait_until(lambda: Path(f"/proc/{ended}/stat").read_text().split()[2] == "Z", seconds=PATIENCE_S)
            Gang(root=root, attempt=ATTEMPT.id, cache=root / "cache", _torchrun=torchrun).end()
            assert torchrun.wait(PATIENCE_S) == 0, "the rank was told to end"
        finally:
            if torchrun.poll() is None:
                os.killpg(torchrun.pid, signal.SIGKILL)
