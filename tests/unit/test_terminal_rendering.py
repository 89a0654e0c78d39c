import pytest

from bot.replies import (
    Answer,
    Caution,
    Choice,
    Comparison,
    ComparisonRow,
    Curve,
    DatasetCard,
    Fact,
    Form,
    FormField,
    FormSection,
    Item,
    Listing,
    Log,
    Notice,
    Question,
    Reply,
    Review,
    ReviewRow,
    ReviewSection,
    RunCard,
    Segment,
    Text,
)
from bot.terminal.rendering import RENDERERS, render, sparkline
from tests.recording import words

CARD = RunCard(
    title="nova-1",
    status="training",
    fraction=0.25,
    facts=("step 5 of 20", "2 min left"),
    curves=(Curve(label="training", points=((1, 2.0), (2, 1.0))),),
    choices=(Choice(say="/stop nova-1", label="Stop"),),
)
EXAMPLES: list[tuple[Reply, str]] = [
    (
        Text(markdown="Hello", choices=(Choice(say="/runs", label="My runs"), Choice(say="Yes", label="yes"))),
        "Hello\n  › /runs (My runs)   › yes",
    ),
    (Notice(text="You are talking to nova"), "— You are talking to nova"),
    (
        Question(
            id="preset",
            markdown="How thorough?",
            choices=(Choice(say="quick", label="Quick", detail="4 min"), Choice(say="best", label="Best")),
            hints=(Choice(say="back", label="Back"),),
        ),
        "How thorough?\n  1. Quick — 4 min\n  2. Best\n  › Back",
    ),
    (
        DatasetCard(
            title="a.json",
            subtitle="Alpaca",
            facts=(Fact(value="91", label="rows"), Fact(value="1", label="bad")),
            problems=("Line 3: no output.",),
            notes=("Half of it is Chinese.",),
            samples_label="What the model sees",
            samples=((Segment(text="Who?\n"), Segment(text="Nova.", is_learned=True)),),
        ),
        "a.json\nAlpaca\n91 rows · 1 bad\n  ! Line 3: no output.\n  Half of it is Chinese.\n"
        "What the model sees\n  | Who?\n  | ⟦Nova.⟧",
    ),
    (
        Review(
            title="The plan",
            subtitle="about 4 min",
            sections=(
                ReviewSection(
                    title="Learning", rows=(ReviewRow(name="epochs", label="Epochs", value="3", origin="you"),)
                ),
                ReviewSection(
                    title="More",
                    rows=(ReviewRow(name="seed", label="Seed", value="42", origin="preset"),),
                    is_folded=True,
                ),
            ),
            warnings=(Caution(text="Too fast.", remedy=Choice(say="learning_rate=1e-4", label="Slow down")),),
            choices=(Choice(say="start", label="Start"),),
        ),
        "The plan\nabout 4 min\nLearning\n  Epochs: 3  (you)\nMore — Seed: 42\n"
        "  ! Too fast. › learning_rate=1e-4 (Slow down)\n  › Start",
    ),
    (
        Form(
            id="form",
            title="Everything",
            intro="Say what to change.",
            sections=(
                FormSection(
                    title="Task",
                    fields=(
                        FormField(name="epochs", label="Epochs", value="0", error="At least 1."),
                        FormField(
                            name="method", label="Method", value="lora", options=(Choice(say="lora", label="LoRA"),)
                        ),
                    ),
                ),
            ),
            submit_label="Go on",
        ),
        "Everything\nSay what to change.\nTask\n  epochs=0  Epochs\n    ! At least 1.\n"
        "  method=lora  Method [lora]\n  › Go on",
    ),
    (
        CARD,
        "nova-1: training 25% · step 5 of 20 · 2 min left\n  training 2 █▁ 1\n  › /stop nova-1 (Stop)",
    ),
    (
        RunCard(
            title="nova-1", status="failed", tone="bad", is_live=False, note="Out of memory.", log_lines=("a", "b")
        ),
        "nova-1: failed\nOut of memory.\n  | a\n  | b",
    ),
    (
        Comparison(
            intro="Side by side",
            base_label="base",
            tuned_label="nova",
            rows=(ComparisonRow(question="Who?", base="A model.\nSmall.", tuned="Nova."),),
            note="Of the training data.",
        ),
        "Side by side\nWho?\n  base: A model.\n  Small.\n  nova: Nova.\nOf the training data.",
    ),
    (
        Listing(title="Runs", items=(Item(title="nova-1", detail="3 epochs", status="done", tone="good"),)),
        "Runs\n- nova-1 [done] — 3 epochs",
    ),
    (Listing(title="Runs", empty="No runs yet."), "Runs\nNo runs yet."),
    (Log(title="Log", text="one\ntwo"), "Log\n  | one\n  | two"),
    (
        Answer(author="nova", speaker="tuned", markdown="I am Nova.", state="stopped", note="stopped"),
        "nova: I am Nova.\n— stopped",
    ),
]


@pytest.mark.parametrize(("reply", "expected"), EXAMPLES, ids=lambda value: getattr(value, "kind", None))
def test_a_reply_is_rendered_as_lines(reply: Reply, expected: str) -> None:
    assert "\n".join(line.text for line in render(reply)) == expected


def test_every_kind_of_reply_is_among_the_examples() -> None:
    assert {type(reply) for reply, _ in EXAMPLES} == set(RENDERERS)


@pytest.mark.parametrize(("reply", "_"), EXAMPLES, ids=lambda value: getattr(value, "kind", None))
def test_no_words_are_lost(reply: Reply, _: str) -> None:
    shown = "\n".join(line.text for line in render(reply)).casefold().replace("\n  | ", "\n").replace("\n  ", "\n")
    for said in words(reply).splitlines():
        if not (isinstance(reply, Review) and said == "preset") and not (isinstance(reply, Form) and said == "text"):
            assert said.casefold() in shown or said in {"streaming", "stopped", "tuned"}


def test_many_choices_stand_on_a_line_each() -> None:
    choices = tuple(Choice(say=f"/command-number-{n}", label=f"What it does, number {n}") for n in range(4))

    lines = render(Text(markdown="Choose", choices=choices))

    assert [line.text for line in lines[1:]] == [f"  › {choice.say} ({choice.label})" for choice in choices]


def test_a_long_curve_is_drawn_in_a_fixed_width() -> None:
    curve = Curve(label="training", points=tuple((step, 1000.0 - step) for step in range(1000)))

    first, bars, last = sparkline(curve).split()

    assert (first, len(bars), last) == ("1e+03", 40, "1")
    assert bars.startswith("█")
    assert bars.endswith("▁")
    assert sparkline(Curve(label="flat", points=((1, 2.0), (2, 2.0)))) == "2 ▁▁ 2"
    assert sparkline(Curve(label="none", points=())) == ""
