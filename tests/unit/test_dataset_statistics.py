"""Counting tokens: exact where it can be, bounded where it cannot."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.chat_templates import QWEN3, chat_tokenizer
from tests.places import shared_data
from training.datasets import ChatMessage, Conversation, TokenStatistics, check, conversations, count_tokens, measure
from training.datasets import statistics as module
from training.datasets.statistics import rounded

FILLS = {"name": "Nova", "author": "Acme"}


@given(some.integers(min_value=0, max_value=10_000_000))
def test_lengths_are_rounded_up_a_little(length: int) -> None:
    assert length <= rounded(length) <= length * 65 / 64


@pytest.mark.parametrize("power", range(24))
def test_powers_of_two_are_exact(power: int) -> None:
    assert rounded(2**power) == 2**power
    assert rounded(2**power + 1) > 2**power


def test_counts_are_those_of_the_examples() -> None:
    path = shared_data("identity.json")
    report = check(path, name=path.name)
    tokenizer = chat_tokenizer()
    rows = list(conversations(path, report, fills=FILLS))
    encoded = [example for row in rows for example in tokenizer.encode(row)]
    found = measure(path, report, tokenizer, fills=FILLS)
    lengths = sorted(len(example.input_ids) for example in encoded)
    assert (found.rows, found.examples, found.is_sampled, found.share) == (91, 91, False, 1.0)
    assert found.tokens == sum(lengths)
    assert found.learned_tokens == sum(example.learned_tokens for example in encoded)
    assert (found.longest, found.percentile(1.0), found.percentile(0.5)) == (lengths[-1], lengths[-1], lengths[45])
    for n in (8, 32, 64, 100, 10_000):
        cut = [example.cut(n) for example in encoded]
        assert found.rows_longer_than(n) == sum(length > n for length in lengths)
        assert found.answers_cut_whole(n) == sum(example.learned_tokens == 0 for example in cut)
        assert found.tokens_within(n) == sum(len(example.input_ids) for example in cut)


def test_a_large_file_is_counted_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared_data("identity.json")
    report = check(path, name=path.name)
    whole = measure(path, report, chat_tokenizer(), fills=FILLS)
    monkeypatch.setattr(module, "SAMPLE_ROWS", 50)
    sample = measure(path, report, chat_tokenizer(), fills=FILLS)
    assert (sample.rows, sample.sampled_rows, sample.is_sampled) == (91, 46, True)
    assert sample.share == pytest.approx(46 / 91)
    assert sample.tokens == pytest.approx(whole.tokens, rel=0.15)
    assert sample.rows_longer_than(0) == 91


def test_rewriting_templates_have_more_examples_than_rows() -> None:
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    row = Conversation(messages=tuple(ChatMessage(role=role, content=text) for role, text in turns), row=1)  # type: ignore[arg-type]
    found = count_tokens([row], chat_tokenizer(QWEN3))
    assert (found.rows, found.examples) == (1, 2)


def test_nothing_is_counted_of_nothing() -> None:
    found = count_tokens([], chat_tokenizer())
    assert (found.rows, found.percentile(0.99), found.rows_longer_than(1), found.share) == (0, 0, 0, 1.0)


def test_statistics_survive_json_within_bounds(tmp_path: Path) -> None:
    lengths = {rounded(length): 1 for length in range(1_000_000)}
    found = TokenStatistics(
        tokenizer="small",
        fingerprint="0" * 32,
        rows=1_000_000,
        sampled_rows=1_000_000,
        examples=1_000_000,
        tokens=7,
        learned_tokens=3,
        longest=999_999,
        lengths=lengths,
        answer_starts=lengths,
    )
    text = json.dumps(found.to_json())
    assert len(text) < 100_000
    assert TokenStatistics.from_json(json.loads(text)) == found
