"""vLLM as processes of this machine, which outlive our server.

A host's folder holds ``process.json`` (which process, where it listens, what it was started for; secret), ``log.txt``
and vLLM's caches. The record is written after the start. A crash between the two leaves a process that no record knows:
it carries the folder's name in its environment, and the next ``start`` or ``stop`` finds and ends it.
"""

import os
import random
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from serving.processes import ProcessMark, end_all, is_alive, mark_of, marked_processes, reap, session_of, spawn
from serving.services import (
    AdapterRef,
    AdapterRefused,
    Address,
    HostSpec,
    HostStatus,
    Replica,
    ServerUnavailable,
)
from serving.vllm_client import VllmClient
from serving.vllm_command import (
    HOST_MARK,
    Resources,
    command,
    environment,
    find_build,
    require_slot,
    vllm_rank,
)
from serving.vllm_log import telling_line
from storage.states import HostState
from training.adapters import AdapterProblem, check_adapter

log = structlog.get_logger()

PORTS = range(20_000, 30_000)
"""Of model servers. The system gives none of them to whoever connects (on Linux: 32768 and more): a server listens only
once its weights are read, and would find the port taken."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a host may take, in seconds."""

    start_s: float = 1800
    """Until its first answer: a large model from a slow disk takes minutes."""
    silent_s: float = 60
    """Without an answer, once it had answered."""
    stop_s: float = 10
    """From asking it to end until it is made to."""


@dataclass(frozen=True, kw_only=True)
class _Record:
    """``process.json``."""

    mark: ProcessMark
    port: int
    api_key: str
    spec: HostSpec
    started_at: float
    """Seconds since 1970."""

    @property
    def address(self) -> Address:
        return Address(base_url=f"http://127.0.0.1:{self.port}", api_key=self.api_key)


_RECORDS = TypeAdapter(_Record)


class LocalVllm:
    """Runs each host as a vLLM process below ``folder``, with the interpreter ``python`` of vLLM's own environment.

    ``threads`` are what a host computes with on a CPU; None leaves one core to the rest of the machine.
    """

    def __init__(
        self,
        folder: Path,
        python: Path,
        *,
        threads: int | None = None,
        kv_cache_bytes: int = 1 << 30,
        patience: Patience | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._python = python.absolute()
        self._resources = Resources(threads=threads or max(1, (os.cpu_count() or 2) - 1), kv_cache_bytes=kv_cache_bytes)
        self._patience = patience or Patience()
        self._client = VllmClient()
        self._last_answers: dict[ProcessMark, tuple[float, HostStatus]] = {}

    def close(self) -> None:
        """Let go of the connections; the hosts run on."""
        self._client.close()

    def start(self, host: HostSpec) -> None:
        """Start it, or leave the running one as it is; a failed one, or one of another spec, is started anew.

        Raises ServerUnavailable (``serving.not_started``, ``detail``) where the machine does not let us.
        """
        folder = self._folder / host.id
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._lock(folder):
                record = _read(folder)
                if record and record.spec == host and self._status(folder, record).state is not HostState.FAILED:
                    return
                self._clear(folder, record)
                self._spawn(folder, host)
        except OSError as exc:
            raise ServerUnavailable("serving.not_started", detail=str(exc)) from exc

    def observe(self) -> Mapping[str, HostStatus]:
        """All hosts that are ours, by id; a stopped one is missing. About 3 ms a host."""
        if not self._folder.is_dir():
            return {}
        records = {folder: _read(folder) for folder in sorted(self._folder.iterdir()) if folder.is_dir()}
        return {folder.name: self._status(folder, record) for folder, record in records.items() if record}

    def load(self, host: str, adapter: AdapterRef) -> None:
        """Load an adapter; a loaded one is left. Raises AdapterRefused, ServerUnavailable."""
        record = self._running(host)
        loaded = self._client.models(record.address) - {record.spec.base_name}
        require_slot(find_build(self._python), record.spec.max_loras, loaded, adapter.model_id)
        rank = vllm_rank(record.spec.max_lora_rank)
        try:
            check_adapter(Path(adapter.folder), base=Path(record.spec.base_model), max_lora_rank=rank)
        except AdapterProblem as exc:
            raise AdapterRefused(f"adapter.{exc.code}", **exc.params) from exc
        self._client.load(record.address, adapter)

    def unload(self, host: str, model_id: str) -> None:
        """Unload an adapter; one that is not loaded is left. Raises ServerUnavailable."""
        self._client.unload(self._running(host).address, model_id)

    def rest(self, host: str) -> None:
        """End it: what is kept of it is its folder. Raises as ``stop`` does."""
        self.stop(host)

    def stop(self, host: str) -> None:
        """End it and everything it started, whatever became of its first process; a stopped one is left.

        Raises ServerUnavailable (``serving.not_stopped``, ``detail``) where a process stays.
        """
        folder = self._folder / host
        if not folder.is_dir():
            return
        try:
            with self._lock(folder):
                self._clear(folder, _read(folder))
        except OSError as exc:
            raise ServerUnavailable("serving.not_stopped", detail=str(exc)) from exc

    def _running(self, host: str) -> _Record:
        record = _read(self._folder / host)
        if record is None or not is_alive(record.mark):
            raise ServerUnavailable("serving.unavailable")
        return record

    def _status(self, folder: Path, record: _Record) -> HostStatus:
        if not is_alive(record.mark):
            return HostStatus(state=HostState.FAILED, reason=telling_line(folder / "log.txt") or "killed")
        try:
            adapters = self._client.models(record.address) - {record.spec.base_name}
        except ServerUnavailable:
            return self._without_answer(record)
        replica = Replica(name="", address=record.address, adapters=adapters)
        status = HostStatus(state=HostState.READY, replicas=(replica,))
        self._last_answers[record.mark] = (time.monotonic(), status)
        return status

    def _without_answer(self, record: _Record) -> HostStatus:
        """A process that does not answer: it starts, or is too busy for a moment, or hangs."""
        if record.mark in self._last_answers:
            answered_at, status = self._last_answers[record.mark]
            is_patient = time.monotonic() - answered_at < self._patience.silent_s
            return status if is_patient else HostStatus(state=HostState.FAILED, reason="silent")
        if time.time() - record.started_at < self._patience.start_s:
            return HostStatus(state=HostState.STARTING)
        return HostStatus(state=HostState.FAILED, reason="slow_start")

    def _spawn(self, folder: Path, host: HostSpec) -> None:
        with suppress(FileNotFoundError):
            (folder / "log.txt").replace(folder / "log.previous.txt")
        build, port, api_key = find_build(self._python), free_port(), secrets.token_urlsafe(24)
        pid = spawn(
            command(host, python=str(self._python), port=port, build=build, resources=self._resources),
            environment(folder, api_key=api_key, build=build, resources=self._resources, inherited=os.environ),
            folder / "log.txt",
        )
        mark = mark_of(pid)
        if mark is None:
            # It is over already (its log says why): a mark that no process has shows just that.
            mark = ProcessMark(pid=pid, started_ticks=0, boot="")
        record = _Record(mark=mark, port=port, api_key=api_key, spec=host, started_at=time.time())
        _write(folder, record)
        log.info("host.spawned", host=host.id, pid=pid, port=port, build=build.value)

    def _clear(self, folder: Path, record: _Record | None) -> None:
        """End what runs for this host, known or not, and forget it."""
        if record:
            self._last_answers.pop(record.mark, None)
            end_all(lambda: session_of(record.mark), grace_s=self._patience.stop_s)
            reap(record.mark.pid)
        end_all(lambda: marked_processes(HOST_MARK, str(folder)), grace_s=self._patience.stop_s)
        (folder / "process.json").unlink(missing_ok=True)

    def _lock(self, folder: Path) -> FileLock:
        return FileLock(folder / "lock", timeout=60)


def _read(folder: Path) -> _Record | None:
    try:
        return _RECORDS.validate_json((folder / "process.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _write(folder: Path, record: _Record) -> None:
    """Whole or not at all, for our eyes only."""
    part = folder / "process.json.part"
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_RECORDS.dump_json(record))
    part.replace(folder / "process.json")


def free_port(host: str = "127.0.0.1") -> int:
    """A port of ``host`` where nobody listens."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((host, port))
            return port
