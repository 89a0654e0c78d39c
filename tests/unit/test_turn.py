"""The turn to run the loops is lost and found again, and the end may come at any moment of that."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bot.wiring import Application
from serving.services import ServerUnavailable
from tests.living import living


@dataclass(kw_only=True)
class Turn:
    """A turn that the test takes away."""

    gone: asyncio.Event = field(default_factory=asyncio.Event)
    is_held: bool = False
    times: int = 0

    async def try_acquire(self) -> bool:
        self.times += not self.is_held
        self.is_held = True
        return True

    async def lost(self) -> None:
        await self.gone.wait()
        self.gone.clear()
        self.is_held = False

    async def release(self) -> None:
        self.is_held = False

    async def is_taken(self) -> bool:
        return self.is_held


@dataclass(kw_only=True)
class Held:
    """Something that goes on until the test lets it end."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    times: int = 0

    async def wait(self) -> None:
        self.times += 1
        self.begun.set()
        await self.may_end.wait()
        self.begun.clear()


@dataclass(kw_only=True)
class Lent:
    """The application with its turn and its loops in the test's hand."""

    application: Application
    turn: Turn
    passes: Held
    last_pass: Held
    """What the loops still do when they are told to end."""
    breaking_off: Held

    async def run(self) -> None:
        try:
            await self.passes.wait()
        finally:
            self.passes.begun.clear()
            await self.last_pass.wait()

    def lose(self) -> None:
        self.turn.gone.set()


def lent(application: Application, monkeypatch: pytest.MonkeyPatch) -> Lent:
    """All of it goes on until the test says otherwise."""
    turn = Turn()
    one = Lent(
        application=replace(application, turn=turn), turn=turn, passes=Held(), last_pass=Held(), breaking_off=Held()
    )
    monkeypatch.setattr(application.loops, "run", one.run)
    monkeypatch.setattr(application.loops, "break_off", one.breaking_off.wait)
    return one


async def test_the_end_that_comes_while_the_loops_of_a_lost_turn_end_is_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path) as life, asyncio.timeout(60):
        one = lent(life.house.application, monkeypatch)
        one.breaking_off.may_end.set()
        async with one.application.running():
            await one.passes.begun.wait()
            one.lose()
            await one.last_pass.begun.wait()
            asyncio.get_running_loop().call_later(0.1, one.last_pass.may_end.set)
        assert (one.turn.times, one.turn.is_held) == (1, False)
        assert one.breaking_off.times == 1, "what went on between the passes is broken off all the same"


async def test_the_end_that_comes_while_what_a_lost_turn_left_is_broken_off_is_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path) as life, asyncio.timeout(60):
        one = lent(life.house.application, monkeypatch)
        one.last_pass.may_end.set()
        async with one.application.running():
            await one.passes.begun.wait()
            one.lose()
            await one.breaking_off.begun.wait()
            asyncio.get_running_loop().call_later(0.1, one.breaking_off.may_end.set)
        assert (one.turn.times, one.turn.is_held) == (1, False)


async def test_a_lost_turn_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with living(tmp_path) as life, asyncio.timeout(60):
        one = lent(life.house.application, monkeypatch)
        one.last_pass.may_end.set()
        one.breaking_off.may_end.set()
        async with one.application.running():
            await one.passes.begun.wait()
            one.passes.begun.clear()
            one.lose()
            await one.passes.begun.wait()
            assert (one.turn.times, one.turn.is_held) == (2, True)
        assert not one.turn.is_held


async def test_what_does_not_end_is_told_and_keeps_nothing_else_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with living(tmp_path) as life, asyncio.timeout(60):
        one = lent(life.house.application, monkeypatch)
        one.last_pass.may_end.set()

        async def fail() -> None:
            raise ServerUnavailable("serving.not_stopped", detail="a process stays")

        monkeypatch.setattr(one.application.loops, "shut_down", fail)
        async with one.application.running():
            await one.passes.begun.wait()
        assert not one.turn.is_held
    assert "loops.not_shut_down" in capsys.readouterr().out
