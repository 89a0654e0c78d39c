"""What models are answering in this process, and how a person or the end of the server stops it."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any


class Stopped(Exception):
    """A person stopped it."""


@dataclass(eq=False, kw_only=True)
class _Work:
    thread_id: str
    task: asyncio.Task[bool]
    is_stopped: bool = False
    has_ended: bool = False
    """What came of it is being kept: nobody stops that."""


class Stoppable:
    """The messages that are being answered, each from the moment in which it waits for its turn."""

    def __init__(self) -> None:
        self._works: dict[str, _Work] = {}
        """Message id -> what fills it."""
        self._is_closed = False

    async def run(self, thread_id: str, message_id: str, work: Coroutine[Any, Any, bool]) -> bool:
        """Do what fills a message. Raises Stopped where a person stopped it, and ``work`` let that pass."""
        if self._is_closed:
            work.close()
            raise asyncio.CancelledError
        one = _Work(thread_id=thread_id, task=asyncio.create_task(work))
        self._works[message_id] = one
        try:
            went_well = await one.task
        except asyncio.CancelledError:
            if not one.is_stopped or _is_cancelled():
                raise
            raise Stopped from None
        finally:
            del self._works[message_id]
        if _is_cancelled():
            # It had been stopped already, and went on to keep what had come: that took our own cancel.
            raise asyncio.CancelledError
        return went_well

    def stop(self, thread_id: str, message_id: str = "") -> bool:
        """Stop what is being answered in a message, or in all of a thread; False where there is nothing to stop."""
        meant = [
            one
            for of, one in self._works.items()
            if one.thread_id == thread_id and message_id in ("", of) and not one.has_ended
        ]
        for one in meant:
            one.is_stopped = True
            one.task.cancel()
        return bool(meant)

    def is_stopped(self, message_id: str) -> bool:
        """Whether it was a person who stopped it."""
        return self._works[message_id].is_stopped

    def end(self, message_id: str) -> None:
        """From here on it is only kept and shown, which a stop comes too late for."""
        self._works[message_id].has_ended = True

    async def close(self) -> None:
        """Break off what is being answered, and begin nothing more; returns when what had come is kept."""
        self._is_closed = True
        tasks = [one.task for one in self._works.values()]
        for one in self._works.values():
            if not one.has_ended:
                one.task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _is_cancelled() -> bool:
    """Whether the present task itself is asked to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
