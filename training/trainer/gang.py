"""Runs the ranks of an attempt on this machine with torchrun, to the outcome that they tell. No torch here."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from training.layout import attempt_folder
from training.runs import AttemptId
from training.trainer import request
from training.trainer.exits import Exit
from training.trainer.outcomes import Outcome, judge, read_ranks
from training.trainer.processes import count_oom_kills, die_with_parent

RANK_MODULE = "training.trainer.main"
MASTER_PORT = 29500
RENDEZVOUS_TIMEOUT_S = 7 * 24 * 3600
"""The first machine waits for the others as long as the cluster takes to find them a place."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """This machine's place in a gang of machines."""

    node: int = 0
    nodes: int = 1
    master: str = "127.0.0.1"
    """The host name of the first machine."""
    is_interruptible: bool = False
    """Whether a SIGTERM means that the place is wanted back, rather than that a person is content."""


@dataclass(kw_only=True)
class Gang:
    """The ranks of one attempt on this machine."""

    root: Path
    attempt: AttemptId
    cache: Path
    """A folder of this machine alone, for what the libraries keep."""
    place: Place = field(default_factory=Place)
    threads: int | None = None
    """Of each rank; none: all cores, shared among the ranks."""
    _torchrun: subprocess.Popen[bytes] | None = None
    _is_ended: bool = False

    def run(self) -> Outcome:
        """Run the ranks to their end."""
        folder = attempt_folder(self.root, self.attempt)
        if folder.stop.exists():
            return Outcome(exit=Exit.STOPPED)
        spec = request.from_json(folder.request.read_bytes()).spec
        ranks = max(1, spec.gpus_per_node)
        # A pod sees all cores of its node, and is held to those it asked for.
        cores = spec.cpu if self.place.is_interruptible else len(os.sched_getaffinity(0))
        threads = self.threads or max(1, cores // ranks)
        environment = rank_environment(
            os.environ, cache=self.cache, threads=threads, uses_gpus=spec.gpus_per_node > 0, place=self.place
        )
        own = range(self.place.node * ranks, (self.place.node + 1) * ranks)
        for rank in own:
            folder.rank(rank).unlink(missing_ok=True)
        while not self._is_ended and not is_known(self.place.master):
            time.sleep(1)
        if self._is_ended:
            return _excused(Outcome(exit=Exit.LOST_PEER), stop=folder.stop.exists())
        oom_kills = count_oom_kills()
        log = folder.log_of(self.place.node)
        code = self._run_torchrun(environment, log, ranks)
        outcome = judge(
            [rank for rank in read_ranks(folder) if rank.rank in own],
            torchrun_code=code,
            oom_kills=count_oom_kills() - oom_kills,
            last_line=last_line(log),
        )
        return _excused(outcome, stop=folder.stop.exists()) if self._is_ended else outcome

    def end(self) -> None:
        """Ask the ranks to save and end, as soon as they have learned to listen; from a signal handler too."""
        self._is_ended = True
        if self._torchrun is None:
            return
        with suppress(psutil.NoSuchProcess):
            torchrun = psutil.Process(self._torchrun.pid)
            ranks = [child for child in torchrun.children(recursive=True) if _is_rank(child)]
            for process in ranks or [torchrun]:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGTERM)

    def _run_torchrun(self, environment: Mapping[str, str], log: Path, ranks: int) -> int:
        command = torchrun_command(Path(sys.executable), self.root, self.attempt, ranks=ranks, place=self.place)
        with log.open("ab") as file:
            self._torchrun = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.place.is_interruptible else file,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
            if self._is_ended:
                self.end()
            if self._torchrun.stdout is not None:
                _tee(self._torchrun.stdout, file)
            return self._torchrun.wait()


def torchrun_command(python: Path, root: Path, attempt: AttemptId, *, ranks: int, place: Place) -> list[str]:
    """The command that runs this machine's ranks."""
    alone = ["--standalone", "--local-addr=127.0.0.1", "--nnodes=1"]
    together = [
        f"--nnodes={place.nodes}",
        f"--node-rank={place.node}",
        f"--master-addr={place.master}",
        f"--master-port={MASTER_PORT}",
        f"--rdzv-conf=timeout={RENDEZVOUS_TIMEOUT_S}",
    ]
    torchrun = ["-m", "torch.distributed.run", *(together if place.nodes > 1 else alone)]
    ours = [f"--nproc-per-node={ranks}", "--max-restarts=0", "-m", RANK_MODULE, str(root), attempt.run_id]
    flags = ["--interruptible"] if place.is_interruptible else []
    return [str(python), *torchrun, *ours, str(attempt.number), *flags]


def rank_environment(
    base: Mapping[str, str], *, cache: Path, threads: int, uses_gpus: bool, place: Place
) -> dict[str, str]:
    """The environment of the ranks: no network but the gang's own, no terminal tricks, caches in a folder."""
    interface = "lo" if place.nodes == 1 else outward_interface()
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
        "GLOO_SOCKET_IFNAME": base.get("GLOO_SOCKET_IFNAME", interface),
        "NCCL_SOCKET_IFNAME": base.get("NCCL_SOCKET_IFNAME", interface),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }


def outward_interface(routes: Path = Path("/proc/net/route")) -> str:
    """The network interface of the default route; ``eth0`` where there is none."""
    with suppress(OSError):
        for line in routes.read_text().splitlines()[1:]:
            interface, destination = line.split()[:2]
            if destination == "00000000":
                return interface
    return "eth0"


def is_known(host: str) -> bool:
    """Whether a host's name has an address: the first machine may come up after this one."""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def last_line(path: Path) -> str | None:
    """The last line of a log that is not empty, of its last 8 KiB."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    return next((line.strip() for line in reversed(lines) if line.strip()), None)


def _is_rank(process: psutil.Process) -> bool:
    try:
        return RANK_MODULE in process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False


def _excused(outcome: Outcome, *, stop: bool) -> Outcome:
    """What ended because this machine was asked to end has not failed, unless a rank says why."""
    if outcome.exit in (Exit.LOST_PEER, Exit.KILLED, Exit.BUG):
        return Outcome(exit=Exit.STOPPED if stop else Exit.INTERRUPTED)
    return outcome


def _tee(printed: IO[bytes], log: IO[bytes]) -> None:
    """What the ranks print goes to the log and to the pod's own output, where people of a cluster look for it."""
    for line in printed:
        log.write(line)
        log.flush()
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
