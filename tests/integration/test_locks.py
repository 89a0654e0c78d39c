import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.locks import TurnOfHome, server_lock
from bot.settings import Settings, read_settings
from bot.stopping import CannotGoOnError

HOLD = """
import sys, time
from bot.locks import server_lock
from bot.settings import read_settings
with server_lock(read_settings(home=sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(home=tmp_path / "home")


@contextmanager
def hold(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(settings.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_server_is_told_who_the_first_is_until_that_is_killed(settings: Settings) -> None:
    with hold(settings) as first:
        with pytest.raises(CannotGoOnError) as caught, server_lock(settings):
            pass
        assert caught.value.code == "home_in_use"
        assert caught.value.values["pid"] == first.pid

        os.kill(first.pid, signal.SIGKILL)
        first.wait(timeout=10)
        with server_lock(settings):
            pass


async def test_a_home_that_takes_no_more_is_tried_again(settings: Settings) -> None:
    turn = TurnOfHome(settings.loops_lock)
    in_the_way = settings.loops_lock.with_suffix(".pid")
    in_the_way.mkdir(parents=True)
    assert not await turn.try_acquire()
    assert not turn.is_held
    in_the_way.rmdir()
    assert await turn.try_acquire()
    await turn.release()


async def test_the_loops_are_run_by_one(settings: Settings) -> None:
    first, second = TurnOfHome(settings.loops_lock), TurnOfHome(settings.loops_lock)
    assert not await first.is_taken()

    assert await first.try_acquire()
    assert await first.try_acquire()
    assert not await second.try_acquire()
    assert await second.is_taken()

    await first.release()
    await first.release()
    assert await second.try_acquire()
    await second.release()
