"""Markdown in pieces, and as Slack's own markup; whatever comes, it fits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.replies import Notice, Text
from bot.slack.blocks import render
from bot.slack.fitting import marked
from bot.slack.markdown import split
from tests.slack_rules import check_blocks

MESSAGE = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("You are talking to **support-1**", "You are talking to *support-1*"),
        ("`**kwargs` & **more**", "`**kwargs` &amp; *more*"),
        ("## The **plan**\n- one\n* two\n  - three", "*The plan*\n• one\n• two\n  • three"),
        ("[docs](https://a.b/c?d=1&e) <!here>", "<https://a.b/c?d=1&amp;e|docs> &lt;!here&gt;"),
        ("[x](javascript:alert) ![cat](https://a.b/c.png)", "[x](javascript:alert) <https://a.b/c.png|cat>"),
        ("```python\nx = a ** b ** c\n```", "```\nx = a ** b ** c\n```"),
        ("2 ** 3 ** 4, a*b*c", "2 ** 3 ** 4, a*b*c"),
    ],
)
def test_markdown_as_mrkdwn(markdown: str, mrkdwn: str) -> None:
    assert marked(markdown, 200) == mrkdwn
    (message,) = render(Notice(text=markdown), message_id=MESSAGE)
    assert message.blocks[0]["elements"][0]["text"] == mrkdwn
    assert message.text == mrkdwn


@pytest.mark.parametrize("text", ["<" * 9000, "**a " * 9000, "**a** " * 9000, "# " * 9000, "`" * 9000, "字" * 9000])
def test_what_is_marked_fits(text: str) -> None:
    assert 200 < len(marked(text, 300)) <= 300


@pytest.mark.parametrize("mark", ["```", "~~~", "````"])
def test_a_code_block_that_is_cut_is_closed_and_opened_again(mark: str) -> None:
    code = "\n".join(f"line_{n} = {n}" for n in range(300))
    pieces = split(f"Before.\n\n{mark}python\n{code}\n{mark}\n\nAfter.", limit=1000)
    assert len(pieces) > 3
    for piece in pieces:
        assert len(piece) <= 1000
        assert sum(line.startswith(mark) for line in piece.split("\n")) % 2 == 0
    kept = [line for piece in pieces for line in piece.split("\n") if line.startswith("line_")]
    assert kept == code.split("\n")
    assert all(piece.startswith(f"{mark}python\n") for piece in pieces[1:-1])


def test_a_code_block_of_a_list_goes_on_outside_of_it() -> None:
    code = "\n".join(f"    line_{n} = {n}\n        more" for n in range(200))
    pieces = split(f"1. Do:\n\n    ```python\n{code}\n    ```\n\n    After.", limit=1000)
    assert pieces[0].endswith("\n    ```")
    assert all(piece.startswith("```python\n") for piece in pieces[1:])
    assert pieces[-1].endswith("\n```\n\n    After.")
    kept = [line for piece in pieces[1:-1] for line in piece.split("\n") if not line.startswith("```")]
    assert {line.split(" ")[0][:5] for line in kept if line.strip() != "more"} == {"line_"}


@pytest.mark.parametrize("text", ["`" * 12_000 + "\nword " * 9000, "~" * 9000 + "x\n" * 9000, " ```\n" * 9000])
def test_a_wall_of_fences_is_split(text: str) -> None:
    for message in render(Text(markdown=text), message_id=MESSAGE):
        check_blocks(message.blocks)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("ab \n`~#字"), max_size=3000), limit=st.integers(200, 700))
def test_pieces_keep_every_word_and_their_limit(text: str, limit: int) -> None:
    pieces = split(text, limit=limit)
    assert all(len(piece) <= limit for piece in pieces)
    kept = "".join("".join(pieces).split())
    assert len(kept.replace("`", "").replace("~", "")) == len("".join(text.split()).replace("`", "").replace("~", ""))
