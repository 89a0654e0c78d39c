"""Replies as lines of text. Pure: a reply comes in, lines with a style go out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from bot.replies import (
    Answer,
    Choice,
    Comparison,
    Curve,
    DatasetCard,
    Form,
    FormField,
    Listing,
    Log,
    Notice,
    Question,
    Reply,
    Review,
    ReviewSection,
    RunCard,
    Text,
)

Style = Literal["plain", "markdown", "title", "quiet", "good", "warning", "bad"]

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 40
"""Columns of a curve."""
CHOICES_WIDTH = 100
"""Choices that are longer than this together stand on a line each."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line, or a paragraph of Markdown."""

    text: str
    style: Style = "plain"


def render(reply: Reply) -> tuple[Line, ...]:
    """The whole reply."""
    return tuple(RENDERERS[type(reply)](reply))


def short(card: RunCard) -> Line:
    """A card that moves, in one line: title, status, share done, facts."""
    done = "" if card.fraction is None else f" {card.fraction:.0%}"
    facts = "".join(f" · {fact}" for fact in card.facts)
    return Line(text=f"{card.title}: {card.status}{done}{facts}", style=card.tone)


def _text(reply: Text) -> Iterator[Line]:
    yield Line(text=reply.markdown, style="markdown" if reply.tone == "plain" else reply.tone)
    yield from _choices(reply.choices)


def _notice(reply: Notice) -> Iterator[Line]:
    yield Line(text=f"— {reply.text}", style="quiet")


def _question(reply: Question) -> Iterator[Line]:
    yield Line(text=reply.markdown, style="markdown")
    for number, choice in enumerate(reply.choices, 1):
        detail = f" — {choice.detail}" if choice.detail else ""
        yield Line(text=f"  {number}. {choice.label}{detail}")
    yield from _choices(reply.hints)


def _dataset(card: DatasetCard) -> Iterator[Line]:
    yield Line(text=card.title, style="title")
    yield Line(text=card.subtitle, style="quiet")
    yield Line(text=" · ".join(f"{fact.value} {fact.label}" for fact in card.facts))
    yield from (Line(text=f"  ! {problem}", style="warning") for problem in card.problems)
    yield from (Line(text=f"  {note}", style="quiet") for note in card.notes)
    if card.samples:
        yield Line(text=card.samples_label, style="quiet")
    for sample in card.samples:
        # What is learned stands in double brackets: colours alone would be lost in a file.
        marked = "".join(f"⟦{part.text}⟧" if part.is_learned else part.text for part in sample)
        yield from _indented(marked, "  | ")
    yield from _choices(card.choices)


def _review(review: Review) -> Iterator[Line]:
    yield Line(text=review.title, style="title")
    yield Line(text=review.subtitle)
    for section in review.sections:
        yield from _folded(section) if section.is_folded else _open(section)
    for caution in review.warnings:
        remedy = f" › {_typed(caution.remedy)}" if caution.remedy else ""
        mark = "·" if caution.tone == "plain" else "!"
        yield Line(text=f"  {mark} {caution.text}{remedy}", style=caution.tone)
    yield from _choices(review.choices)


def _open(section: ReviewSection) -> Iterator[Line]:
    yield Line(text=section.title, style="title")
    for row in section.rows:
        yield Line(text=f"  {row.label}: {row.value}  ({row.origin})")


def _folded(section: ReviewSection) -> Iterator[Line]:
    values = " · ".join(f"{row.label}: {row.value}" for row in section.rows)
    yield Line(text=f"{section.title} — {values}", style="quiet")


def _form(form: Form) -> Iterator[Line]:
    yield Line(text=form.title, style="title")
    yield Line(text=form.intro, style="markdown")
    for section in form.sections:
        yield Line(text=section.title, style="title")
        for field in section.fields:
            yield from _field(field)
    yield from _choices((Choice(say=form.submit_label, label=form.submit_label), *form.choices))


def _field(field: FormField) -> Iterator[Line]:
    options = " | ".join(option.say for option in field.options)
    yield Line(text=f"  {field.name}={field.value}  {field.label}{f' [{options}]' if options else ''}")
    if field.error:
        yield Line(text=f"    ! {field.error}", style="bad")


def _run(card: RunCard) -> Iterator[Line]:
    yield short(card)
    yield from (
        Line(text=f"  {curve.label} {sparkline(curve)}", style="quiet") for curve in card.curves if curve.points
    )
    if card.note:
        yield Line(text=card.note, style=card.tone)
    yield from (Line(text=f"  | {line}", style="quiet") for line in card.log_lines)
    yield from _choices(card.choices)


def sparkline(curve: Curve) -> str:
    """A curve as bars, with its first and last value; points beyond the width are averaged."""
    values = [value for _, value in curve.points]
    if not values:
        return ""
    width = min(CURVE_WIDTH, len(values))
    edges = [index * len(values) // width for index in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0
    bars = "".join(BARS[round((mean - low) * scale)] for mean in means)
    return f"{values[0]:.3g} {bars} {values[-1]:.3g}"


def _comparison(reply: Comparison) -> Iterator[Line]:
    yield Line(text=reply.intro, style="markdown")
    for row in reply.rows:
        yield Line(text=row.question, style="title")
        yield from _indented(f"{reply.base_label}: {row.base}", "  ")
        yield from _indented(f"{reply.tuned_label}: {row.tuned}", "  ")
    if reply.note:
        yield Line(text=reply.note, style="quiet")


def _listing(reply: Listing) -> Iterator[Line]:
    yield Line(text=reply.title, style="title")
    if not reply.items:
        yield Line(text=reply.empty)
    for item in reply.items:
        detail = f" — {item.detail}" if item.detail else ""
        status = f" [{item.status}]" if item.status else ""
        yield Line(text=f"- {item.title}{status}{detail}", style=item.tone)
        yield from _choices(item.choices)
    yield from _choices(reply.choices)


def _log(reply: Log) -> Iterator[Line]:
    yield Line(text=reply.title, style="title")
    yield from _indented(reply.text, "  | ")


def _answer(reply: Answer) -> Iterator[Line]:
    yield Line(text=f"{reply.author}: {reply.markdown}")
    if reply.note:
        yield Line(text=f"— {reply.note}", style="bad" if reply.state == "failed" else "quiet")


def _indented(text: str, before: str) -> Iterator[Line]:
    first, *more = text.splitlines() or [""]
    yield Line(text=f"{before}{first}")
    yield from (Line(text=f"{before}{line}") for line in more)


def _choices(choices: Sequence[Choice]) -> Iterable[Line]:
    """What can be typed."""
    typed = [f"› {_typed(choice)}" for choice in choices]
    if not typed:
        return ()
    if sum(map(len, typed)) > CHOICES_WIDTH:
        return tuple(Line(text=f"  {text}", style="quiet") for text in typed)
    return (Line(text="  " + "   ".join(typed), style="quiet"),)


def _typed(choice: Choice) -> str:
    return choice.label if choice.label.casefold() == choice.say.casefold() else f"{choice.say} ({choice.label})"


RENDERERS: dict[type[Reply], Callable[[Any], Iterator[Line]]] = {
    Answer: _answer,
    Comparison: _comparison,
    DatasetCard: _dataset,
    Form: _form,
    Listing: _listing,
    Log: _log,
    Notice: _notice,
    Question: _question,
    Review: _review,
    RunCard: _run,
    Text: _text,
}
"""One renderer a kind of reply."""
