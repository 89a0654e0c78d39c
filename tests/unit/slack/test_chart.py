"""The curves as a picture, whatever their values are."""

import math
import struct

import pytest

from bot.replies import Curve
from bot.slack.chart import draw

FALLING = tuple((step, 2.0 / step) for step in range(1, 200))


@pytest.mark.parametrize(
    "points",
    [FALLING, (), ((1, 2.0),), ((1, math.nan), (2, math.inf)), ((1, 1e300), (2, -1e300)), ((1, 1.0), (1, 1.0))],
    ids=["falling", "none", "one", "no numbers", "huge", "twice"],
)
def test_curves_are_drawn(points: tuple[tuple[int, float], ...]) -> None:
    picture = draw([Curve(label="training", points=FALLING), Curve(label="学习", points=points)])
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert (width, height) == (990, 352)


def test_curves_differ_where_their_values_do() -> None:
    other = tuple((step, value * value) for step, value in FALLING)
    assert draw([Curve(label="a", points=FALLING)]) == draw([Curve(label="b", points=FALLING)])
    assert draw([Curve(label="a", points=FALLING)]) != draw([Curve(label="a", points=other)])
