"""What a speaker leaves behind."""

import asyncio
from pathlib import Path

import pytest

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
