"""A real server in a process of its own, that tests start, kill and start again on the same home."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from serving.vllm_local import LocalVllm
from storage.manifests import write_manifest
from tests.places import PROJECT, serving_python

READY_SECONDS = 90


@dataclass(kw_only=True)
class ServerProcess:
    """``tunesmith up`` on a home."""

    home: Path
    address: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        output = self.home / "output.txt"
        with output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bot.cli", "up", "--home", str(self.home), "--port", "0"],
                cwd=PROJECT,
                env=os.environ | {"TUNESMITH_SERVING_PYTHON": str(serving_python()), "TUNESMITH_THREADS": "1"},
                stdout=file,
                stderr=file,
            )
        running = self.process
        wait_until(lambda: "http://" in output.read_text() or running.poll() is not None, seconds=READY_SECONDS)
        assert "http://" in output.read_text(), output.read_text()
        self.address = next(word for word in output.read_text().split() if word.startswith("http://"))
        wait_until(self.is_healthy, seconds=READY_SECONDS)

    def is_healthy(self) -> bool:
        """Whether it answers and runs the loops."""
        try:
            health = httpx.get(f"{self.address}/health", timeout=5).json()
        except httpx.HTTPError:
            return False
        return bool(health["loops"])

    def kill(self) -> None:
        """As ``kill -9``."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def processes(*words: str) -> list[psutil.Process]:
    """Living processes with all these words in their command lines."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and all(word in line for word in words):
                found.append(process)
    return found


def kill(found: Iterable[psutil.Process]) -> None:
    """As ``kill -9``; one that ends meanwhile, with its parent say, is gone all the same."""
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()


def wait_until(is_so: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@contextmanager
def server_with_model(home: Path, model: Path) -> Iterator[ServerProcess]:
    """A home with one base model, and its running server; nothing that it started is left at the end."""
    shutil.copytree(model, home / "models" / model.name)
    write_manifest(home / "models" / model.name)
    server = ServerProcess(home=home)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        hosts = LocalVllm(home / "hosts", serving_python())
        for host in (home / "hosts").glob("*"):
            hosts.stop(host.name)
        hosts.close()
        kill(processes(str(home)))
