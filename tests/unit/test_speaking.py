"""What a speaker leaves behind."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from bot import speaking
from bot.delivery import Delivery
from bot.speaking import Speaking
from tests.conversing import bench


async def test_who_held_a_message_has_left_the_database_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "SECONDS_BETWEEN_SAVINGS", 0)
    async with bench(tmp_path / "home") as desk:
        speaker = Speaking(desk.world, Delivery(desk.world.store, {}))
        for turns in range(40):
            async with speaker.holding("message"):
                assert speaker.held == {"message"}
                for _ in range(turns):
                    await asyncio.sleep(0.001)
            assert len(asyncio.all_tasks()) == 1
            assert speaker.held == set()


async def test_one_error_of_the_database_does_not_end_the_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "SECONDS_BETWEEN_SAVINGS", 0)
    lived = asyncio.Event()
    troubles: list[Exception] = [OperationalError(None, None, OSError("gone")), RuntimeError("a bug")]

    async def note(*_: object) -> bool:
        if troubles:
            raise troubles.pop()
        lived.set()
        return True

    monkeypatch.setattr(speaking, "note_growing", note)
    async with bench(tmp_path / "home") as desk:
        speaker = Speaking(desk.world, Delivery(desk.world.store, {}))
        async with speaker.holding("message"), asyncio.timeout(60):
            await lived.wait()
    assert troubles == []
