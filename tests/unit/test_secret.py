"""The home's secret: made once, whoever starts, and however a start ended."""

import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bot.secret import read_secret


def test_it_is_made_once_and_is_its_owner_s(tmp_path: Path) -> None:
    path = tmp_path / "home" / "secret"
    secret = read_secret(path)
    assert len(secret) >= 48
    assert read_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_one_that_a_kill_left_is_made(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    secret = read_secret(path)
    assert len(secret) >= 48
    assert read_secret(path) == secret


def test_those_that_start_together_have_the_same(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        for number in range(5):
            found = set(processes.map(read_secret, [tmp_path / str(number) / "secret"] * 8))
            assert len(found) == 1
            assert len(found.pop()) >= 48
