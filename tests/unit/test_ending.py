"""Tasks end when they are told to, and whoever waits for that can be told to end as well."""

import asyncio
from contextlib import suppress

import pytest
import structlog

from bot.ending import end, to_its_end


async def stubborn(until: asyncio.Event) -> None:
    """It cannot be ended before that."""
    while not until.is_set():
        with suppress(asyncio.CancelledError):
            await until.wait()


async def begun(act: "asyncio.Task[None]") -> "asyncio.Task[None]":
    await asyncio.sleep(0)
    return act


async def test_whoever_waits_for_an_end_and_is_cancelled_is_cancelled() -> None:
    free = asyncio.Event()
    task = await begun(asyncio.create_task(stubborn(free)))
    ending = await begun(asyncio.create_task(end([task])))
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    free.set()
    await task


async def test_a_task_that_failed_does_not_keep_the_others_from_their_end() -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    failing = await begun(asyncio.create_task(fail()))
    waiting = asyncio.create_task(asyncio.Event().wait())
    with structlog.testing.capture_logs() as said:
        await end([failing, waiting])
    assert waiting.cancelled()
    assert [(line["event"], line["exc_info"]) for line in said] == [("task.failed", failing.exception())]


@pytest.mark.parametrize("takes_s", [0.05, 60.0])
async def test_what_goes_to_its_end_ends_before_its_waiter_or_after_a_while(takes_s: float) -> None:
    done = asyncio.Event()

    async def act() -> None:
        await asyncio.sleep(takes_s)
        done.set()

    waiting = await begun(asyncio.create_task(to_its_end(act(), within_s=1.0)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done.is_set() == (takes_s < 1)
