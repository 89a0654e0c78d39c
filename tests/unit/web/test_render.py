"""Every kind of reply becomes a message, and a card that the page has an element for."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.replies import BODIES, Answer, Choice, Comparison, ComparisonRow, Notice, Question, Said, Text
from chainlit_app.prepare import PUBLIC
from chainlit_app.render import Drawing, draw, escape_markdown, tame_markdown
from tests.web_samples import Body, chinese, english

ELEMENTS = {path.stem for path in (PUBLIC / "elements").glob("*.jsx")} - {"common"}
KINDS = {"said", *(schema["properties"]["kind"]["const"] for schema in BODIES.json_schema()["$defs"].values()
                   if "kind" in schema["properties"] and "const" in schema["properties"]["kind"])}  # fmt: skip


def drawn(body: Body) -> Drawing:
    return draw(body, message_id="m-1", thread_key="t-1", created_at=datetime(2026, 11, 25, tzinfo=UTC))


def test_the_samples_hold_every_kind() -> None:
    assert {body.kind for body in english()} == KINDS


@pytest.mark.parametrize("body", [*english(), *chinese()], ids=lambda body: body.kind)
def test_every_kind_can_be_drawn(body: Body) -> None:
    drawing = drawn(body)
    json.dumps([drawing.step, drawing.element])
    assert drawing.step["id"] == "m-1"
    assert drawing.step["threadId"] == "t-1"
    if drawing.element:
        assert drawing.element["name"] in ELEMENTS
        assert drawing.element["id"] == drawing.element["forId"] == "m-1"


def test_every_element_is_used() -> None:
    used = {drawing.element["name"] for body in english() if (drawing := drawn(body)).element}
    assert used == ELEMENTS


def test_a_stored_reply_is_drawn_as_it_was() -> None:
    for body in english():
        again = BODIES.validate_python(json.loads(json.dumps(BODIES.dump_python(body, mode="json"))))
        assert drawn(again) == drawn(body)


def test_what_a_person_said_stands_as_typed_and_files_apart() -> None:
    drawing = drawn(Said(text="*hm* a_b", files=("a.jsonl",)))
    assert drawing.step["type"] == "user_message"
    assert drawing.step["output"] == "*hm* a_b"
    assert drawing.element is not None
    assert drawing.element["props"] == {"names": ["a.jsonl"]}


def test_the_author_stands_above() -> None:
    assert drawn(Text(markdown="Hello")).step["output"] == "###### Tunesmith\n\nHello"
    tuned = drawn(Answer(author="nova_1", speaker="tuned", markdown="Hi", state="complete")).step
    assert tuned["output"] == "##### nova\\_1\n\nHi"
    assert tuned["name"] == "nova_1"
    base = drawn(Answer(author="SmolLM2 (base)", speaker="base", markdown="Hi", state="complete")).step
    assert base["output"].startswith("###### SmolLM2 \\(base\\)")
    assert base["metadata"] == {"avatarName": "base"}
    assert drawn(Notice(text="You are talking to nova")).step["output"] == ""


def test_plain_text_needs_no_element() -> None:
    assert drawn(Text(markdown="Hello")).element is None
    warned = drawn(Text(markdown="Careful", tone="warning"))
    assert warned.element is not None
    assert warned.element["props"]["tone"] == "warning"
    assert "Careful" in warned.step["output"]


def test_an_answered_question_carries_its_answer() -> None:
    question = Question(id="preset", markdown="How?", choices=(Choice(say="quick", label="Quick"),))
    element = drawn(replace(question, answered="Quick")).element
    assert element is not None
    assert element["props"]["answered"] == "Quick"
    assert element["props"]["id"] == "preset"


@pytest.mark.parametrize(
    ("state", "is_streaming"), [("streaming", True), ("complete", False), ("stopped", False), ("failed", False)]
)
def test_only_a_growing_answer_streams(state: str, is_streaming: bool) -> None:
    answer = BODIES.validate_python(
        {"kind": "answer", "author": "nova", "speaker": "tuned", "markdown": "Hi", "state": state}
    )
    assert drawn(answer).step["streaming"] is is_streaming


@pytest.mark.parametrize(
    ("markdown", "tamed"),
    [
        ("Answer:Paris", "Answer\\:Paris"),
        ("::leaf and :::box", ":\\:leaf and ::\\:box"),
        ("at 3:15, see https://a.b/c", "at 3:15, see https://a.b/c"),
        ("`a:b` c:d ```\ne:f\n``` g:h", "`a:b` c\\:d ```\ne:f\n``` g\\:h"),
        ("```py\nd = {a:b}", "```py\nd = {a:b}"),
        ("![cat](https://a.b/c.png)", "[cat](https://a.b/c.png)"),
        ("![cat](//a.b/c.png)", "[cat](//a.b/c.png)"),
        ("![cat](/public/cat.png)", "![cat](/public/cat.png)"),
    ],
)
def test_markdown_loses_nothing_and_fetches_nothing(markdown: str, tamed: str) -> None:
    assert tame_markdown(markdown) == tamed


def test_answers_side_by_side_lose_nothing_and_fetch_nothing() -> None:
    row = ComparisonRow(question="a:b", base="Answer:Paris", tuned="![cat](https://a.b/c.png)")
    element = drawn(Comparison(intro="", base_label="base", tuned_label="nova", rows=(row,))).element
    assert element is not None
    assert element["props"]["rows"] == (
        {"question": "a:b", "base": "Answer\\:Paris", "tuned": "[cat](https://a.b/c.png)"},
    )


def test_an_author_s_name_is_no_markdown() -> None:
    assert escape_markdown("a_b*c\nd") == "a\\_b\\*c d"
