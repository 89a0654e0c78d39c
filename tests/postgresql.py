"""A real PostgreSQL server on this machine, in a folder of its own."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest

from serving.vllm_local import free_port

USER, PASSWORD = "tunesmith", "a secret/@word"
WRITTEN_PASSWORD = "a%20secret%2F%40word"
DEBIAN = Path("/usr/lib/postgresql")
OPTIONS = "-c fsync=off -c max_connections=60"
PATIENCE = ("--wait", "--timeout=300")
"""After a kill all databases that were made since the last checkpoint are made anew: on a busy disk a minute's work."""
TEMPLATE = "template1"


def program(name: str) -> str:
    """One of the server's own programs; Debian keeps those of each version in a folder aside."""
    found = shutil.which(name) or next(iter(sorted(DEBIAN.glob(f"*/bin/{name}"), reverse=True)), None)
    if found is None:
        pytest.fail(f"These tests need PostgreSQL's server ({name}): apt-get install postgresql")
    return str(found)


def owner() -> int | None:
    """Whom the server runs as: it refuses root."""
    return pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None


@dataclass(kw_only=True)
class PostgresServer:
    """Use :func:`postgres_server`."""

    folder: Path
    port: int
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str, *, password: str = WRITTEN_PASSWORD) -> str:
        """As a person would write it."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"{OPTIONS} -p {self.port} -k {self.folder}"
        self._run("pg_ctl", "-D", str(self._data), "-o", options, "-l", str(self.folder / "log"), *PATIENCE, "start")

    def stop(self, how: str = "immediate") -> None:
        """End it; ``immediate``: as a kill would."""
        self._run("pg_ctl", "-D", str(self._data), "-m", how, *PATIENCE, "stop")

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """It is ended as by a kill, and is there again afterwards, whatever happens meanwhile."""
        await asyncio.to_thread(self.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(self.start)

    def make(self) -> None:
        """Make its files."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        given = ("--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self._run("initdb", "-D", str(self._data), "-U", USER, *given)

    def new_database(self, *, template: str = TEMPLATE, options: str = "") -> str:
        """The URL of a fresh one."""
        name = f"database_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {options}")
        return self.url(name)

    def execute(self, statement: str, *, database: str = "postgres") -> list[tuple[object, ...]]:
        """Do something behind everybody's back."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, name: str, *arguments: str) -> None:
        log = self.folder / "said"
        with log.open("wb") as said:
            # To a file: the server, which goes on, would keep a pipe open.
            done = subprocess.run(
                [program(name), *arguments],
                user=owner(),
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                check=False,
            )
        assert done.returncode == 0, log.read_text()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; its files are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-postgresql-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(folder=Path(folder), port=free_port())
        if (uid := owner()) is not None:
            os.chown(folder, uid, -1)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
