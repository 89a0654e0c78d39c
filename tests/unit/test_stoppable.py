"""Who stops what, also where two come in the same moment."""

import asyncio

import pytest

from bot.stoppable import Stoppable, Stopped


class Work:
    """Goes on until it is cancelled; then keeps what has come of it, if it was a person who stopped it."""

    def __init__(self, under_way: Stoppable, *, thread: str = "thread", message: str = "message") -> None:
        self.kept: list[str] = []
        self._under_way, self._message = under_way, message
        self._begun, self.may_keep = asyncio.Event(), asyncio.Event()
        self.may_keep.set()
        self.task = asyncio.create_task(under_way.run(thread, message, self._do()))

    async def begun(self) -> "Work":
        await self._begun.wait()
        return self

    async def _do(self) -> bool:
        try:
            self._begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            is_stopped = self._under_way.is_stopped(self._message)
            self._under_way.end(self._message)
            await self.may_keep.wait()
            self.kept.append("stopped" if is_stopped else "interrupted")
            if not is_stopped:
                raise
        return True


async def test_one_message_or_all_of_a_thread_is_stopped() -> None:
    under_way = Stoppable()
    works = [await Work(under_way, message=name).begun() for name in ("first", "second", "third")]
    other = await Work(under_way, thread="another", message="other").begun()
    assert under_way.stop("thread", "second")
    assert await works[1].task
    assert not under_way.stop("thread", "second")
    assert not under_way.stop("thread", "other")
    assert under_way.stop("thread")
    assert await works[0].task
    assert await works[2].task
    assert not under_way.stop("thread")
    assert [work.kept for work in works] == [["stopped"]] * 3
    assert not other.task.done()
    await under_way.close()
    assert other.kept == ["interrupted"]


async def test_what_lets_a_stop_pass_ends_as_stopped() -> None:
    under_way = Stoppable()
    waiting = asyncio.create_task(under_way.run("thread", "message", forever()))
    await asyncio.sleep(0)
    under_way.stop("thread")
    with pytest.raises(Stopped):
        await waiting


async def test_the_end_of_the_server_in_the_moment_of_a_stop_is_the_end() -> None:
    under_way = Stoppable()
    work = await Work(under_way).begun()
    under_way.stop("thread")
    work.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work.task
    assert work.kept == ["stopped"]


async def test_what_has_ended_is_kept_and_the_end_waits_for_that() -> None:
    under_way = Stoppable()
    work = await Work(under_way).begun()
    work.may_keep.clear()
    under_way.stop("thread")
    await asyncio.sleep(0.01)
    assert not under_way.stop("thread")
    closing = asyncio.create_task(under_way.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    work.may_keep.set()
    await closing
    assert work.kept == ["stopped"]


async def test_nothing_begins_after_the_end() -> None:
    under_way = Stoppable()
    await under_way.close()
    with pytest.raises(asyncio.CancelledError):
        await under_way.run("thread", "message", forever())


async def forever() -> bool:
    return await asyncio.Event().wait()
