"""The curves of a run as a picture. There is no word in it, so that it needs no font and fits every language."""

from collections.abc import Sequence
from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bot.replies import Curve

COLOURS = ("#12807a", "#e0892b", "#7a6ff0")
STYLES = ("-", "--", ":")
GREY = "#8a8f98"
"""Seen on white and on black alike."""
INCHES = (9.0, 3.2)
DOTS_PER_INCH = 110


def draw(curves: Sequence[Curve]) -> bytes:
    """A PNG of about 990 x 350 pixels, without a background."""
    figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, curve in enumerate(curves):
        if curve.points:
            steps, values = zip(*curve.points, strict=True)
            style = min(place, len(STYLES) - 1)
            axes.plot(
                steps,
                values,
                STYLES[style],
                color=COLOURS[style],
                linewidth=2,
                marker="o" if len(steps) < 12 else "",
                markersize=4,
            )
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=10)
    axes.grid(visible=True, axis="y", color=GREY, alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    content = BytesIO()
    figure.savefig(content, format="png", transparent=True)
    return content.getvalue()
