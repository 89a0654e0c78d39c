"""The process that runs one attempt from its request to its ``exit.json``, and outlives the server.

``python -m training.trainer.launch ROOT RUN_ID NUMBER`` forks into a session of its own and returns at once, after
``launcher.json`` is written; with ``--foreground`` (a pod's command) it stays. It exits with a code of
:class:`training.trainer.exits.Exit`. SIGTERM asks the trainer to save and stop.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import FrameType

import orjson
import psutil

from training.layout import AttemptFolder, RunFolder, run_folder, write_whole
from training.runs import AttemptId
from training.trainer import request
from training.trainer.exits import Exit, classify
from training.trainer.outcomes import Outcome, judge, read_ranks, write_exit
from training.trainer.processes import count_oom_kills, die_with_parent

MODULE = "training.trainer.launch"

NICENESS = 5
"""Of a training beside the server: who talks to a model meanwhile goes first."""


def launch_command(python: Path, root: Path, attempt: AttemptId, *, threads: int | None = None) -> list[str]:
    """The command that launches an attempt. ``threads``: of each rank; none: all cores, shared among the ranks."""
    options = [] if threads is None else ["--threads", str(threads)]
    return [str(python), "-m", MODULE, str(root), attempt.run_id, str(attempt.number), *options]


def torchrun_command(python: Path, root: Path, attempt: AttemptId, *, ranks: int) -> list[str]:
    """The command that runs the ranks on this machine."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--nnodes=1"]
    ours = [f"--nproc-per-node={ranks}", "--max-restarts=0", "-m", "training.trainer.main"]
    return [str(python), *torchrun, *ours, str(root), attempt.run_id, str(attempt.number)]


def rank_environment(base: Mapping[str, str], *, cache: Path, threads: int, uses_gpus: bool) -> dict[str, str]:
    """The environment of the ranks: no network, no terminal tricks, caches in the run's folder."""
    return {
        **base,
        **({} if uses_gpus else {"CUDA_VISIBLE_DEVICES": ""}),
        "OMP_NUM_THREADS": str(threads),
        # Threads that wait do not spin: on a machine that has other work too, spinning costs more than it brings.
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "HF_HOME": str(cache),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "GLOO_SOCKET_IFNAME": base.get("GLOO_SOCKET_IFNAME", "lo"),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Launch one attempt; a second launcher of the same run or attempt does nothing."""
    parser = argparse.ArgumentParser(prog=MODULE, description="Run one attempt of a training run.")
    parser.add_argument("root", type=Path)
    parser.add_argument("run_id")
    parser.add_argument("number", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--foreground", action="store_true")
    options = parser.parse_args(arguments)
    attempt = AttemptId(options.run_id, options.number)
    run = run_folder(options.root, attempt.run_id)
    folder = run.attempt(attempt.number)
    lock = _take_lock(run)
    if lock is None or folder.launcher.exists():
        return 0
    with lock:
        if not options.foreground and not _detach(folder):
            return 0
        if options.foreground:
            _write_launcher(folder, os.getpid())
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
    cache = folder.path / "cache"

    def stop(_signal: int, _frame: FrameType | None) -> None:
        folder.stop.touch()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        outcome = _run_ranks(root, attempt, folder, cache, threads)
    except Exception as error:  # noqa: BLE001 - whatever it is, exit.json must say it
        exit_, detail = classify(error)
        outcome = Outcome(exit=exit_, detail=detail)
    shutil.rmtree(cache, ignore_errors=True)
    write_exit(folder, outcome)
    return int(outcome.exit)


def _run_ranks(root: Path, attempt: AttemptId, folder: AttemptFolder, cache: Path, threads: int | None) -> Outcome:
    if folder.stop.exists():
        return Outcome(exit=Exit.STOPPED)
    spec = request.from_json(folder.request.read_bytes()).spec
    ranks = max(1, spec.gpus_per_node)
    share = threads or max(1, len(os.sched_getaffinity(0)) // ranks)
    command = torchrun_command(Path(sys.executable), root, attempt, ranks=ranks)
    oom_kills = count_oom_kills()
    environment = rank_environment(os.environ, cache=cache, threads=share, uses_gpus=spec.gpus_per_node > 0)
    with folder.log.open("ab") as log:
        torchrun = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        code = torchrun.wait()
    return judge(
        read_ranks(folder),
        torchrun_code=code,
        oom_kills=count_oom_kills() - oom_kills,
        last_line=last_line(folder.log),
    )


def last_line(path: Path) -> str | None:
    """The last line of a log that is not empty, of its last 8 KiB."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    return next((line.strip() for line in reversed(lines) if line.strip()), None)


if __name__ == "__main__":
    sys.exit(main())
