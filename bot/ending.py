"""The end of tasks that run in the background."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and return when all of them have ended. What one failed with is logged: it ends nothing else.

    To await a cancelled task and suppress its CancelledError would swallow that of whoever waits, too.
    """
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)
    for task in ending:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task.failed", task=task.get_name(), exc_info=error)


async def to_its_end(act: Coroutine[Any, Any, T], *, within_s: float) -> T:
    """Await what must not be left half done: cancelled, it goes on for so long, and whoever waits is cancelled then."""
    task = asyncio.create_task(act)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await asyncio.wait([task], timeout=within_s)
        finally:
            await end([task])
        raise
