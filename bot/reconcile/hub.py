"""Having a base model fetched by a process of its own (:mod:`bot.hub`), which ends when it is not waited for."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bot.hub import MODULE
from bot.stopping import CannotGoOnError

_PACKAGES = Path(__file__).resolve().parents[2]
_LONGEST_LINE_BYTES = 1024 * 1024


class FetchBugError(Exception):
    """A fetch ended with an error that nobody foresaw; its trace."""


async def fetch(name: str, folder: Path, tell_total: Callable[[int], None], *, endpoint: str | None = None) -> None:
    """Fetch the model ``name`` (``organisation/model``) into ``folder``; ``tell_total`` is told its size first.

    Raises CannotGoOnError as :func:`bot.hub.fetch` does, and FetchBugError.
    """
    arguments = [name, str(folder), *([endpoint] if endpoint else [])]
    paths = [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", MODULE, *arguments),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LONGEST_LINE_BYTES,
        start_new_session=True,  # a Ctrl-C is its parent's to act upon
    )
    try:
        await _follow(process, tell_total)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _follow(process: asyncio.subprocess.Process, tell_total: Callable[[int], None]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        told = json.loads(line)
        if "total" in told:
            tell_total(told["total"])
        elif "code" in told:
            raise CannotGoOnError(told["code"], **told["values"])
        else:
            raise FetchBugError(told["bug"])
    if await process.wait():
        raise FetchBugError(f"the process that fetches ended with {process.returncode}")


def fetched_bytes(folder: Path) -> int:
    """What has come so far, parts of files included."""
    return sum(map(_size, folder.rglob("*")))


def _size(path: Path) -> int:
    """0 for what is no file, or is one no more: parts of files are renamed while one looks."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
