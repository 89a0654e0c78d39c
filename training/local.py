"""Runs on this machine: each attempt is a detached launcher, and what is known of it is in its files.

A new :class:`LocalRuns` on the same root knows everything that the last one knew.
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from threading import Lock

import orjson
import psutil

from storage.manifests import is_complete
from storage.states import RunState
from training.layout import AttemptFolder, attempt_folder, find_attempts, run_folder, write_whole
from training.logs import read_last_lines
from training.progress import ProgressFile, join, read_added
from training.runs import Attempt, AttemptId, AttemptProgress, AttemptStatus, CannotLaunch, NoCapacity, Waiting
from training.trainer import request
from training.trainer.exits import Exit
from training.trainer.launch import MODULE, launch_command
from training.trainer.outcomes import Outcome, read_exit, write_exit

_PACKAGES = Path(__file__).resolve().parents[1]
_LAUNCH_TIMEOUT_S = 60
_GRACE_S = 30
"""How long a request may lie without a launcher, while the server that wrote it starts one."""
_STATES = {Exit.SUCCEEDED: RunState.SUCCEEDED, Exit.STOPPED: RunState.CANCELLED}


class LocalRuns:
    """Implements :class:`training.runs.RunBackend` with processes of this machine."""

    def __init__(self, artifacts_root: Path, python: Path, max_running: int = 1, threads: int | None = None) -> None:
        """``python``: of the environment with the training libraries. ``threads``: of each rank; none: all cores."""
        self._root = artifacts_root.resolve()
        self._python = python
        self._max_running = max_running
        self._threads = threads
        self._ended: dict[AttemptId, AttemptStatus] = {}
        self._progress: dict[AttemptId, ProgressFile] = {}
        self._looking = Lock()
        """A look that met a deletion would take what is half gone for an attempt that was killed."""

    def submit(self, attempt: Attempt) -> None:
        """Launch it; one that was launched before is left as it is. Raises NoCapacity, CannotLaunch."""
        try:
            with self._submitting():
                self._submit(attempt, attempt_folder(self._root, attempt.id))
        except OSError as error:
            raise CannotLaunch(Waiting(code="disk", words=str(error))) from error

    def _submit(self, attempt: Attempt, folder: AttemptFolder) -> None:
        if folder.launcher.exists():
            return
        others = [other for other in find_attempts(self._root) if other != attempt.id and self._is_live(other)]
        if len(others) >= self._max_running:
            raise NoCapacity(f"{len(others)} of {self._max_running} running")
        folder.path.mkdir(parents=True, exist_ok=True)
        # A machine that ended between request and launcher is seen again after the grace: then it is buried unborn.
        folder.exit.unlink(missing_ok=True)
        self._ended.pop(attempt.id, None)
        write_whole(folder.request, request.to_json(attempt))
        self._launch(attempt.id, folder)

    def observe(self) -> Mapping[AttemptId, AttemptStatus]:
        """All attempts below the root."""
        with self._looking:
            found = find_attempts(self._root)
            for forgotten in self._ended.keys() - set(found):
                del self._ended[forgotten]
            return {attempt: self._status(attempt) for attempt in found}

    def cancel(self, attempt: AttemptId) -> None:
        """Leave the wish to stop where launcher and ranks look for it: no process is needed to take it."""
        folder = attempt_folder(self._root, attempt)
        if folder.request.exists() and not folder.exit.exists():
            folder.stop.touch()

    def logs(self, attempt: AttemptId, *, last_lines: int, node: int = 0) -> Iterator[str]:
        """The last lines of what the attempt printed; there is one machine."""
        yield from read_last_lines(attempt_folder(self._root, attempt).log_of(node), last_lines)

    def release(self, attempt: AttemptId) -> None:
        """Nothing: an ended launcher holds nothing."""

    def delete(self, attempt: AttemptId) -> None:
        """Kill it if it lives, and remove its files; the last attempt takes the run's checkpoints with it."""
        folder = attempt_folder(self._root, attempt)
        with self._looking:
            launcher = find_launcher(folder, attempt)
            if launcher is not None:
                _kill(launcher)
            shutil.rmtree(folder.path, ignore_errors=True)
            run = run_folder(self._root, attempt.run_id)
            if not run.attempts():
                shutil.rmtree(run.path, ignore_errors=True)
            self._ended.pop(attempt, None)
            self._progress.pop(attempt, None)

    @contextmanager
    def _submitting(self) -> Iterator[None]:
        # One submission at a time, over all threads and processes: whoever comes second sees the first one's files.
        runs = self._root / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        with FileIO(runs / "submit.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _launch(self, attempt: AttemptId, folder: AttemptFolder) -> None:
        command = launch_command(self._python, self._root, attempt, threads=self._threads)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_import_paths())}
        with folder.log.open("ab") as log:
            try:
                subprocess.run(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=_LAUNCH_TIMEOUT_S,
                    check=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                words = "\n".join(read_last_lines(folder.log, 1)) or str(error)
                shutil.rmtree(folder.path, ignore_errors=True)
                raise CannotLaunch(Waiting(code="launcher", words=words)) from error

    def _is_live(self, attempt: AttemptId) -> bool:
        folder = attempt_folder(self._root, attempt)
        return not folder.exit.exists() and not _has_vanished(folder, attempt)

    def _status(self, attempt: AttemptId) -> AttemptStatus:
        if attempt in self._ended:
            return self._ended[attempt]
        folder = attempt_folder(self._root, attempt)
        vanished = _has_vanished(folder, attempt)  # looked at before exit.json: it may be written in between
        outcome = read_exit(folder)
        if outcome is None and vanished:
            outcome = _bury(folder)
        progress = self._read_progress(attempt)
        if outcome is None:
            is_running = self._progress[attempt].has_begun
            return AttemptStatus(state=RunState.RUNNING if is_running else RunState.PENDING, progress=progress)
        self._ended[attempt] = AttemptStatus(
            state=_STATES.get(outcome.exit, RunState.FAILED),
            progress=progress,
            reason=outcome.exit.reason,
            detail=outcome.detail,
            has_model=self._has_model(folder),
        )
        return self._ended[attempt]

    def _read_progress(self, attempt: AttemptId) -> AttemptProgress:
        run = run_folder(self._root, attempt.run_id)
        files = []
        for number in run.attempts():
            if number <= attempt.number:
                other = AttemptId(attempt.run_id, number)
                file = self._progress.setdefault(other, ProgressFile())
                file.take(read_added(run.attempt(number).progress, file.offset))
                files.append(file)
        return join(files)

    def _has_model(self, folder: AttemptFolder) -> bool:
        return is_complete(self._root / request.from_json(folder.request.read_bytes()).model)


def find_launcher(folder: AttemptFolder, attempt: AttemptId) -> psutil.Process | None:
    """The living launcher of ``attempt``. A process number is used again: its command line must be the launcher's."""
    try:
        pid = orjson.loads(folder.launcher.read_bytes())["pid"]
        process = psutil.Process(pid)
        words = process.cmdline()
        is_dead = process.status() == psutil.STATUS_ZOMBIE
    except (FileNotFoundError, psutil.Error):
        return None
    is_ours = MODULE in words and attempt.run_id in words and str(attempt.number) in words
    return process if is_ours and not is_dead else None


def _has_vanished(folder: AttemptFolder, attempt: AttemptId) -> bool:
    if folder.launcher.exists():
        return find_launcher(folder, attempt) is None
    try:
        return time.time() - folder.request.stat().st_mtime > _GRACE_S
    except FileNotFoundError:
        return True


def _bury(folder: AttemptFolder) -> Outcome:
    """Write the end of an attempt whose launcher could not: from now on it is the same for everyone."""
    outcome = Outcome(exit=Exit.KILLED)
    with suppress(OSError):
        write_exit(folder, outcome)
    return outcome


def _kill(launcher: psutil.Process) -> None:
    # The ranks die with their parents; waiting for all keeps them from writing into folders that are being removed.
    family = [launcher]
    with suppress(psutil.Error):
        family += launcher.children(recursive=True)
    for process in family:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(family, timeout=10)


def _import_paths() -> list[str]:
    inherited = os.environ.get("PYTHONPATH", "")
    return [str(_PACKAGES), *filter(None, inherited.split(os.pathsep))]
