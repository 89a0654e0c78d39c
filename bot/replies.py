"""What goes out: replies as data. A face renders them and composes no sentence.

Every string is final text in the thread's language. ``key``: a reply whose key the thread has shown before replaces
that message. Every choice can be typed too: ``Choice.say`` is what its button sends.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

Tone = Literal["plain", "good", "warning", "bad"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A button, with what typing it would be."""

    say: str
    label: str
    detail: str = ""
    """A second, small line."""
    style: Literal["plain", "primary", "danger"] = "plain"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a person said: kept with the thread, never sent by us."""

    kind: Literal["said"] = "said"
    text: str
    files: tuple[str, ...] = ()
    """Names of the files that came with it."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """Markdown, with buttons."""

    kind: Literal["text"] = "text"
    markdown: str
    choices: tuple[Choice, ...] = ()
    tone: Tone = "plain"
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A small quiet line between messages: "You are talking to nova-1"."""

    kind: Literal["notice"] = "notice"
    text: str
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of a dialog. ``choices`` are numbered from 1 in this order by every face."""

    kind: Literal["question"] = "question"
    id: str
    """Which question: ``base_model``, ``fill.name`` ...; a button sends it as ``Turn.about``."""
    markdown: str
    """The question, what is recommended, and why."""
    choices: tuple[Choice, ...] = ()
    hints: tuple[Choice, ...] = ()
    """Back, skip, cancel, "what is this?": not numbered."""
    answered: str | None = None
    """Once answered: the answer, shown in place of the buttons."""
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number with its word: "1,204" "rows"."""

    value: str
    label: str
    tone: Tone = "plain"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A piece of a sample row; what is learned is marked."""

    text: str
    is_learned: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """What the check of a data set found."""

    kind: Literal["dataset"] = "dataset"
    title: str
    subtitle: str
    facts: tuple[Fact, ...]
    problems: tuple[str, ...] = ()
    """One sentence a problem, with line and field, and the remedy."""
    more_label: str = ""
    """Where a face folds most of them: "Show {n} more"."""
    less_label: str = ""
    notes: tuple[str, ...] = ()
    samples_label: str = ""
    samples: tuple[tuple[Segment, ...], ...] = ()
    choices: tuple[Choice, ...] = ()
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewRow:
    """One parameter of the plan."""

    name: str
    label: str
    value: str
    origin: str
    """Where the value comes from: you, preset, computed."""


@dataclass(frozen=True, kw_only=True)
class ReviewSection:
    """Rows under a heading; folded ones open with a click."""

    title: str
    rows: tuple[ReviewRow, ...]
    is_folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Caution:
    """A sentence that the person should read before starting, with its remedy as a choice."""

    text: str
    tone: Tone = "warning"
    remedy: Choice | None = None


@dataclass(frozen=True, kw_only=True)
class Review:
    """The whole plan."""

    kind: Literal["review"] = "review"
    id: str = "review"
    title: str
    subtitle: str
    """The estimate: time and memory."""
    sections: tuple[ReviewSection, ...]
    warnings: tuple[Caution, ...] = ()
    choices: tuple[Choice, ...] = ()
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One field of a form."""

    name: str
    label: str
    value: str
    help: str = ""
    kind: Literal["text", "number", "choice", "switch"] = "text"
    options: tuple[Choice, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class FormSection:
    """Fields under a heading."""

    title: str
    fields: tuple[FormField, ...]


@dataclass(frozen=True, kw_only=True)
class Form:
    """Many fields at once; submitted as ``Turn.answers`` with ``Turn.about`` = ``id``."""

    kind: Literal["form"] = "form"
    id: str
    title: str
    intro: str
    sections: tuple[FormSection, ...]
    submit_label: str
    choices: tuple[Choice, ...] = ()
    """Back, cancel."""
    is_submitted: bool = False
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line of a chart: (step, value) pairs by step."""

    label: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """A run, live; also used for a service that is being prepared."""

    kind: Literal["run"] = "run"
    title: str
    status: str
    tone: Tone = "plain"
    fraction: float | None = None
    """Of the work done, 0 to 1; None: under way without a measure."""
    is_live: bool = True
    facts: tuple[str, ...] = ()
    """"step 140 of 225, 5 min left", "training 0.41, validation 0.52"."""
    curves: tuple[Curve, ...] = ()
    chart_label: str = ""
    """What a chart of the curves shows: "Loss by step"; its axes follow."""
    step_label: str = ""
    loss_label: str = ""
    note: str = ""
    """For a failed one: what happened and what to do."""
    log_lines: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One question, answered by both."""

    question: str
    base: str
    tuned: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Base and tuned model side by side."""

    kind: Literal["comparison"] = "comparison"
    intro: str
    base_label: str
    tuned_label: str
    rows: tuple[ComparisonRow, ...]
    note: str = ""
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry of a listing."""

    title: str
    detail: str = ""
    status: str = ""
    tone: Tone = "plain"
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A list of things: runs, models, data sets, services, commands."""

    kind: Literal["listing"] = "listing"
    title: str
    items: tuple[Item, ...] = ()
    empty: str = ""
    """Said instead of the list when there is nothing."""
    choices: tuple[Choice, ...] = ()
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Log:
    """Plain text in a fixed-width face."""

    kind: Literal["log"] = "log"
    title: str
    text: str
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A model's answer. While it streams it is shown again and again under one key, its text growing."""

    kind: Literal["answer"] = "answer"
    author: str
    """Who answers: the service's name, or the base model's with "(base)"."""
    speaker: Literal["tuned", "base"]
    markdown: str
    state: Literal["streaming", "complete", "stopped", "interrupted", "failed"]
    note: str = ""
    """A small line below: "stopped", or what went wrong and what to do."""
    choices: tuple[Choice, ...] = ()
    """While streaming: *Stop generating*."""
    key: str | None = None


Reply = Text | Notice | Question | DatasetCard | Review | Form | RunCard | Comparison | Listing | Log | Answer

Body = Annotated[Said | Reply, Field(discriminator="kind")]
BODIES: TypeAdapter[Said | Reply] = TypeAdapter(Body)
"""Reads and writes ``messages.body``."""
