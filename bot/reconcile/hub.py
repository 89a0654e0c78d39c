"""Having a base model fetched by a process of its own (:mod:`bot.hub`), which ends when it is not waited for."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from bot.hub import MODULE
from bot.stopping import CannotGoOnError

_PACKAGES = Path(__file__).resolve().parents[2]
_LONGEST_LINE_BYTES = 1024 * 1024
SILENCE_S = 300.0
"""After so long without anything written a fetch is given up: not all that the hub's library waits for has an end."""


class FetchBugError(Exception):
    """A fetch ended with an error that nobody foresaw; its trace."""


async def fetch(
    name: str,
    folder: Path,
    tell_total: Callable[[int], None],
    *,
    endpoint: str | None = None,
    silence_s: float = SILENCE_S,
) -> None:
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
    following = asyncio.create_task(_follow(process, tell_total))
    try:
        await _unless_silent(following, folder, silence_s)
    except TimeoutError:
        raise CannotGoOnError("hub_unreachable", name=name) from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await asyncio.gather(following, return_exceptions=True)


async def _unless_silent(following: asyncio.Task[None], folder: Path, silence_s: float) -> None:
    """Wait for the end of a fetch. Raises TimeoutError where nothing is written for ``silence_s``."""
    before = -1
    while not following.done():
        changed = await asyncio.to_thread(_last_change_ns, folder)
        if changed == before:
            raise TimeoutError
        before = changed
        await asyncio.wait([following], timeout=silence_s)
    await following


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
    return sum(stat.st_size for stat in _stats(folder) if S_ISREG(stat.st_mode))


def _last_change_ns(folder: Path) -> int:
    # Not the size: a part of a file may have its whole length before its bytes.
    return max((stat.st_mtime_ns for stat in _stats(folder)), default=0)


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.rglob("*"):
        # Parts of files are renamed while one looks.
        with suppress(FileNotFoundError):
            yield path.stat()
