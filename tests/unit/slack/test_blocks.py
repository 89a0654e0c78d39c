"""Every reply becomes blocks that Slack takes, whatever stands in it, and says what it says."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    Said,
    Text,
)
from bot.slack.blocks import MOST_WORDS, render
from bot.slack.home import home_view
from bot.slack.modal import field_errors, form_view, read_answers
from bot.slack.pressing import read_press
from tests.slack_rules import BadBlocks, check_blocks, check_view
from tests.web_samples import chinese, english

MESSAGE = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
SAMPLES = [reply for reply in (*english(), *chinese()) if not isinstance(reply, Said)]

TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", " ", "学习率", "a" * 3001, "字" * 12_500, "<!channel> & <@U1>", "```", "*b* `c` _d_", "👍" * 80]
    ),
    st.sampled_from(["```python\n" + "x = 1\n" * 2500 + "```", "word " * 4000, "\n" * 50, "|a|b|\n|-|-|\n|1|2|"]),
)
TUPLES: dict[type, Any] = {
    kind: st.lists(st.from_type(kind), max_size=7).map(tuple)
    for kind in (Choice, Item, Caution, ReviewRow, ReviewSection, FormField, FormSection, Fact, ComparisonRow, Curve)
}
KINDS: tuple[type, ...] = (
    Text,
    Notice,
    Question,
    DatasetCard,
    Review,
    Form,
    RunCard,
    Comparison,
    Listing,
    Log,
    Answer,
)
st.register_type_strategy(str, TEXTS)
st.register_type_strategy(
    Curve,
    st.builds(Curve, label=TEXTS, points=st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 100))).map(tuple)),
)


@pytest.fixture(autouse=True, scope="module")
def _strategies() -> Any:
    yield
    st.register_type_strategy(str, st.text())


def check(reply: Reply, chart: str | None = None) -> None:
    messages = render(reply, message_id=MESSAGE, chart=chart)
    assert messages
    for message in messages:
        assert message.text
        assert len(message.text) <= MOST_WORDS
        check_blocks(message.blocks)


@pytest.mark.parametrize("reply", SAMPLES, ids=lambda reply: reply.kind)
def test_the_samples(reply: Reply) -> None:
    check(reply, chart="F0LOSS" if isinstance(reply, RunCard) else None)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_any_reply_is_taken(kind: type[Reply]) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(reply=st.from_type(kind))
    def holds(reply: Reply) -> None:
        check(reply)
        if isinstance(reply, Form):
            check_view(form_view(reply, metadata="{}"))
        if isinstance(reply, Listing):
            check_view(home_view("hello", reply.choices, [reply]))

    holds()


@pytest.mark.parametrize("many", [0, 1, 5, 6, 40, 300])
def test_any_number_is_taken(many: int) -> None:
    choices = tuple(Choice(say=f"say {n}", label=f"Label {n}", detail="why") for n in range(many))
    items = tuple(Item(title=f"item {n}", detail="d" * 500, status="ok", choices=choices[:3]) for n in range(many))
    for reply in (
        Text(markdown="choose", choices=choices),
        Question(id="q", markdown="which?", choices=choices, hints=choices),
        Listing(title="all", items=items),
        DatasetCard(title="d", subtitle="s", facts=(), problems=tuple(f"Line {n}: bad" for n in range(many))),
        Comparison(
            intro="i",
            base_label="b",
            tuned_label="t",
            rows=tuple(ComparisonRow(question=f"q{n}", base="b" * 900, tuned="t" * 900) for n in range(many)),
        ),
    ):
        check(reply)


def words(reply: Reply) -> str:
    return str([message.blocks for message in render(reply, message_id=MESSAGE)])


def pressed(reply: Reply) -> list[tuple[str, str | None]]:
    found = [
        read_press(element)
        for message in render(reply, message_id=MESSAGE)
        for block in message.blocks
        for element in (*block.get("elements", ()), *([block["accessory"]] if "accessory" in block else []))
        if element["type"] == "button"
    ]
    return [(press.say, press.about) for press in found if press]


def test_buttons_say_what_their_choices_say() -> None:
    question = Question(
        id="preset",
        markdown="How thorough?",
        choices=(Choice(say="quick", label="Quick", style="primary"), Choice(say="best", label="Best")),
        hints=(Choice(say="back", label="Back"),),
    )
    assert pressed(question) == [("quick", "preset"), ("best", "preset"), ("back", "preset")]
    assert pressed(replace(question, answered="Quick")) == []
    assert "✓ Quick" in words(replace(question, answered="Quick"))


def test_a_menu_says_the_number() -> None:
    question = Question(
        id="base_model", markdown="Which?", choices=tuple(Choice(say=f"m{n}", label=f"model {n}") for n in range(9))
    )
    (message,) = render(question, message_id=MESSAGE)
    (select,) = [block["elements"][0] for block in message.blocks if block["type"] == "actions"]
    press = read_press({**select, "selected_option": select["options"][6]})
    assert press is not None
    assert (press.say, press.about, press.label) == ("7", "base_model", "7. model 6")


def test_what_is_too_long_for_a_button_is_looked_up() -> None:
    (message,) = render(Text(markdown="x", choices=(Choice(say="y" * 5000, label="Ask again"),)), message_id=MESSAGE)
    press = read_press(message.blocks[-1]["elements"][0])
    assert press is not None
    assert (press.of, press.label, press.say) == (MESSAGE, "Ask again", "")


def test_data_calls_nobody() -> None:
    shown = words(Listing(title="<!channel>", items=(Item(title="<@U1>", detail="<!here> a & b"),)))
    assert "<!" not in shown
    assert "<@" not in shown
    assert "&lt;!here&gt; a &amp; b" in shown
    for ping in ("<!channel>", "<!here|here>", "<@U1>", "<!subteam^S1>", "<#C1>"):
        assert ping not in words(Text(markdown=f"hey {ping}"))


def test_code_is_left_as_it_is() -> None:
    page = "```html\n<!DOCTYPE html>\n<!-- <#main> @user -->\n```"
    (message,) = render(Answer(author="n", speaker="base", markdown=page, state="complete"), message_id=MESSAGE)
    assert message.blocks[1]["text"] == page


@pytest.mark.parametrize("begins", ["```\ncode\n```", "# Heading", "- item", "1. item", "> quoted", "| a | b |\n|-|-|"])
def test_a_tone_does_not_break_the_block_that_it_marks(begins: str) -> None:
    (message,) = render(Text(markdown=begins, tone="bad"), message_id=MESSAGE)
    assert message.blocks[0]["text"] == f"🛑\n\n{begins}"


def test_a_tone_stands_in_the_line_that_it_marks() -> None:
    (message,) = render(Text(markdown="**nova** failed", tone="bad"), message_id=MESSAGE)
    assert message.blocks[0]["text"] == "🛑 **nova** failed"


def test_short_answers_stand_side_by_side_as_they_are_meant() -> None:
    row = ComparisonRow(question="Who are you?", base="An assistant:\n- kind", tuned="I am **Nova**.")
    (message,) = render(Comparison(intro="", base_label="b", tuned_label="t", rows=(row,)), message_id=MESSAGE)
    shown = [field["text"] for field in message.blocks[-1]["fields"]]
    assert shown == ["*○ b*\nAn assistant:\n• kind", "*● t*\nI am *Nova*."]


@pytest.mark.parametrize("action", [{}, {"action_id": "say:1", "value": "[]"}, {"action_id": "say:1", "value": "{}"}])
def test_what_does_not_speak_is_no_press(action: dict[str, str]) -> None:
    assert read_press(action) is None


def test_a_long_answer_is_shown_whole_in_several_messages() -> None:
    body = "\n\n".join(f"Paragraph {n}. " + "word " * 120 for n in range(60))
    messages = render(Answer(author="nova", speaker="tuned", markdown=body, state="complete"), message_id=MESSAGE)
    assert len(messages) > 2
    shown = " ".join(block["text"] for message in messages for block in message.blocks if block["type"] == "markdown")
    assert shown.split() == body.split()
    assert [block["type"] for block in messages[-1].blocks][-1] == "context_actions"


def form() -> Form:
    return Form(
        id="form",
        title="All settings of the plan, every one",
        intro="Change what you like.",
        submit_label="Use these",
        sections=(
            FormSection(
                title="Basics",
                fields=(
                    FormField(
                        name="learning_rate", label="Learning rate", value="1e-4", help="1e-5 to 1e-3", error="No."
                    ),
                    FormField(
                        name="method",
                        label="Method",
                        value="lora",
                        kind="choice",
                        options=(Choice(say="lora", label="LoRA"), Choice(say="full", label="Full")),
                    ),
                ),
            ),
        ),
    )


def test_a_form_is_a_modal_and_is_read_back() -> None:
    view = form_view(form(), metadata="{}")
    check_view(view)
    inputs = {block["block_id"]: block["element"] for block in view["blocks"] if block["type"] == "input"}
    assert inputs["learning_rate"]["initial_value"] == "1e-4"
    assert inputs["method"]["initial_option"]["value"] == "lora"
    state = {
        "learning_rate": {"value": {"type": "plain_text_input", "value": None}},
        "method": {"value": {"type": "static_select", "selected_option": {"value": "full"}}},
    }
    assert read_answers({"state": {"values": state}}) == {"learning_rate": "", "method": "full"}
    assert field_errors(form()) == {"learning_rate": "No."}


def test_the_card_of_a_form_shows_its_values_and_opens_it() -> None:
    (message,) = render(form(), message_id=MESSAGE)
    shown = [element["text"] for block in message.blocks if block["type"] == "context" for element in block["elements"]]
    assert shown == ["*Basics* – Learning rate: 1e-4 · Method: lora"]
    assert [block["type"] for block in message.blocks][-2:] == ["section", "actions"]
    (opening,) = message.blocks[-1]["elements"]
    assert (opening["action_id"], opening["value"]) == ("open_form", MESSAGE)
    assert read_press(opening) is None


def test_the_rules_refuse_what_slack_refuses() -> None:
    for bad in (
        [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}],
        [{"type": "bogus"}],
        [{"type": "header", "text": {"type": "plain_text", "text": "h" * 151}}],
        [{"type": "actions", "elements": []}],
        [{"type": "markdown", "text": "m" * 12_001}],
        [{"type": "markdown", "text": "m" * 7000}, {"type": "markdown", "text": "m" * 7000}],
        [{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}],
        [{"type": "divider", "colour": "red"}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}],
        [{"type": "divider"}] * 51,
    ):
        with pytest.raises(BadBlocks):
            check_blocks(bad)
