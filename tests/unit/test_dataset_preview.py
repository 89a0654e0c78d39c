"""Rows as the model sees them, and questions for comparing models."""

import json
from pathlib import Path

from syrupy.assertion import SnapshotAssertion

import training.datasets
from tests.chat_templates import QWEN3, chat_tokenizer
from tests.places import shared_data
from training.datasets import (
    ChatMessage,
    Conversation,
    DatasetReport,
    check,
    comparison_questions,
    conversations,
    preview,
    samples,
)
from training.datasets.languages import language_of

FILLS = {"name": "Nova", "author": "Acme"}
EXAMPLES = Path(training.datasets.__file__).parent / "examples"

CONVERSATION = Conversation(
    messages=(
        ChatMessage(role="system", content="You are Mira."),
        ChatMessage(role="user", content="Who are you?"),
        ChatMessage(role="assistant", content="I am Mira 🔧."),
        ChatMessage(role="user", content="你好"),
        ChatMessage(role="assistant", content="您好！"),
    ),
    row=1,
)


def test_a_preview_marks_what_is_learned(snapshot: SnapshotAssertion) -> None:
    assert preview(CONVERSATION, chat_tokenizer(), cutoff_length=None) == snapshot


def test_a_preview_is_cut_where_training_cuts() -> None:
    tokenizer = chat_tokenizer()
    (encoded,) = tokenizer.encode(CONVERSATION)
    for length in range(1, len(encoded.input_ids) + 1):
        pieces = preview(CONVERSATION, tokenizer, cutoff_length=length)
        shown = "".join(piece.text for piece in pieces)
        assert shown == tokenizer.decode(encoded.input_ids[:length]).rstrip("\ufffd")
        if encoded.cut(length).learned_tokens == 0:
            assert not any(piece.is_learned for piece in pieces)


def test_of_a_rewriting_template_the_last_example_is_shown() -> None:
    pieces = preview(CONVERSATION, chat_tokenizer(QWEN3), cutoff_length=None)
    assert [piece.text for piece in pieces if piece.is_learned] == ["<think>\n\n</think>\n\n您好！<|im_end|>"]


def identity() -> tuple[Path, DatasetReport]:
    path = shared_data("identity.json")
    return path, check(path, name=path.name)


def test_samples_are_of_both_languages() -> None:
    path, report = identity()
    first, second = samples(path, report, FILLS)
    assert [language_of(row.messages[-1].content) for row in (first, second)] == ["zh", "en"]
    assert samples(path, report, FILLS) == (first, second)


def test_questions_are_the_same_every_time_and_of_both_languages() -> None:
    path, report = identity()
    questions = comparison_questions(path, report, FILLS)
    assert len(set(questions)) == 3
    assert questions == comparison_questions(path, report, FILLS)
    assert {language_of(question) for question in questions} == {"zh", "en"}
    asked = {row.messages[0].content for row in conversations(path, report, fills=FILLS)}
    assert set(questions) <= asked
    assert len(comparison_questions(path, report, FILLS, n=200)) <= 91


def test_long_questions_are_left_to_the_last(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [{"instruction": "x" * 1000, "output": "a"}, {"instruction": "Short?", "output": "b"}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    report = check(path, name=path.name)
    assert comparison_questions(path, report, {}) == ("Short?",)


def test_the_example_data_is_in_order_and_names_its_persona() -> None:
    (path,) = EXAMPLES.iterdir()
    report = check(path, name=path.name)
    assert (report.rows, report.problems, report.placeholders, report.system_prompt) == (40, (), (), None)
    assert report.languages == {"en": 0.5, "zh": 0.5}
    rows = list(conversations(path, report, fills={}))
    named = sum("Mira" in row.messages[-1].content for row in rows)
    assert named >= 0.9 * len(rows)
    assert not any("Mira" in row.messages[0].content for row in rows)
