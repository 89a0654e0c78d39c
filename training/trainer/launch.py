"""The process that runs one attempt from its request to its ``exit.json``, and outlives the server.

``python -m training.trainer.launch ROOT RUN_ID NUMBER`` forks into a session of its own and returns at once, after
``launcher.json`` is written. It exits with a code of :class:`training.trainer.exits.Exit`. SIGTERM asks the trainer to
save and stop. In a pod :mod:`training.trainer.pod` takes its place.
"""

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from types import FrameType

import orjson
import psutil

from training.layout import AttemptFolder, RunFolder, run_folder, write_whole
from training.runs import AttemptId
from training.trainer.exits import Exit, classify
from training.trainer.gang import Gang
from training.trainer.outcomes import Outcome, write_exit

MODULE = "training.trainer.launch"

NICENESS = 5
"""Of a training beside the server: who talks to a model meanwhile goes first."""


def launch_command(python: Path, root: Path, attempt: AttemptId, *, threads: int | None = None) -> list[str]:
    """The command that launches an attempt. ``threads``: of each rank; none: all cores, shared among the ranks."""
    options = [] if threads is None else ["--threads", str(threads)]
    return [str(python), "-m", MODULE, str(root), attempt.run_id, str(attempt.number), *options]


def main(arguments: Sequence[str] | None = None) -> int:
    """Launch one attempt; a second launcher of the same run or attempt does nothing."""
    parser = argparse.ArgumentParser(prog=MODULE, description="Run one attempt of a training run.")
    parser.add_argument("root", type=Path)
    parser.add_argument("run_id")
    parser.add_argument("number", type=int)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    attempt = AttemptId(options.run_id, options.number)
    run = run_folder(options.root, attempt.run_id)
    folder = run.attempt(attempt.number)
    lock = _take_lock(run)
    if lock is None or folder.launcher.exists():
        return 0
    with lock:
        if not _detach(folder):
            return 0
        return _run(options.root, attempt, run, threads=options.threads)


def _take_lock(run: RunFolder) -> FileIO | None:
    # Held as long as this process or the one that it forks lives: the kernel lets go of it, whatever happens.
    lock = FileIO(run.lock, "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _detach(folder: AttemptFolder) -> bool:
    """Fork: the parent writes who was launched and gets False; the child, in a session of its own, gets True."""
    told, tells = os.pipe()
    pid = os.fork()
    if pid:
        _write_launcher(folder, pid)
        os.close(told)
        os.close(tells)
        return False
    os.setsid()
    os.nice(NICENESS)
    os.close(tells)
    os.read(told, 1)  # ends when the parent has written the file, or died
    os.close(told)
    if not folder.launcher.exists():
        os._exit(int(Exit.KILLED))
    return True


def _write_launcher(folder: AttemptFolder, pid: int) -> None:
    content = {"pid": pid, "created": psutil.Process(pid).create_time(), "at": time.time()}
    write_whole(folder.launcher, orjson.dumps(content))


def _run(root: Path, attempt: AttemptId, run: RunFolder, *, threads: int | None) -> int:
    folder = run.attempt(attempt.number)
    gang = Gang(root=root, attempt=attempt, cache=folder.path / "cache", threads=threads)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        folder.stop.touch()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    outcome = run_gang(gang)
    end(root, attempt, outcome)
    return int(outcome.exit)


def end(root: Path, attempt: AttemptId, outcome: Outcome, *, node: int = 0) -> None:
    """Write how the attempt ended on machine ``node``; once the model is made, no checkpoint is needed any more.

    In this order: where this process dies before the end is written, the next attempt goes on from the last of them.
    """
    run = run_folder(root, attempt.run_id)
    write_exit(run.attempt(attempt.number), outcome, node=node)
    if node == 0 and outcome.exit is Exit.SUCCEEDED:
        shutil.rmtree(run.checkpoints, ignore_errors=True)


def run_gang(gang: Gang) -> Outcome:
    """The outcome of a gang's run, whatever happens: an exit file must say it."""
    try:
        return gang.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, exit.json must say it
        exit_, detail = classify(error)
        return Outcome(exit=exit_, detail=detail)
    finally:
        shutil.rmtree(gang.cache, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
