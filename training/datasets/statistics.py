"""Token counts of a data set for one tokenizer, as histograms of bounded size."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from training.conversation import Conversation
from training.datasets.convert import conversations
from training.datasets.report import DatasetReport
from training.tokens import ChatTokenizer

EXACT_TOKENS = 1024
"""Lengths up to here are kept exactly."""

STEPS_AN_OCTAVE = 64
"""Longer ones are rounded up by at most 1/64 (1.6 %); powers of two stay exact."""

SAMPLE_ROWS = 10_000
SAMPLE_BYTES = 10_000_000
"""A larger data set is counted on every n-th row: counting runs at some 2 MB a second."""


def rounded(length: int) -> int:
    """The length as the histograms keep it: never less, and at most 1/64 more."""
    if length <= EXACT_TOKENS:
        return length
    width = 1 << ((length - 1).bit_length() - 1 - (STEPS_AN_OCTAVE.bit_length() - 1))
    return -(-length // width) * width


@dataclass(frozen=True, kw_only=True)
class TokenStatistics:
    """How long the rows are, in tokens.

    An example is what training sees: a row, or one turn of it where the template rewrites earlier turns. Of a sample,
    every count is scaled to the whole.
    """

    tokenizer: str
    """The name of the model that the tokenizer is of."""
    fingerprint: str
    """``ChatTokenizer.fingerprint``."""
    rows: int
    """Of the whole data set."""
    sampled_rows: int
    """Rows that were counted; less than ``rows`` for a sample."""
    examples: int
    """Training examples of the whole data set; equal to ``rows`` for most templates."""
    tokens: int
    """Of all examples, uncut."""
    learned_tokens: int
    longest: int
    """Tokens of the longest example that was counted (exact)."""
    lengths: Mapping[int, int]
    """Tokens of an example (``rounded``) -> examples that were counted."""
    answer_starts: Mapping[int, int]
    """Tokens up to and with the first learned one (``rounded``) -> examples that were counted."""

    @property
    def is_sampled(self) -> bool:
        """Whether the counts are an estimate."""
        return self.sampled_rows < self.rows

    @property
    def share(self) -> float:
        """Of the rows, how many were counted (0 to 1)."""
        return self.sampled_rows / self.rows if self.rows else 1.0

    def percentile(self, p: float) -> int:
        """The length that the share ``p`` (0 to 1) of the examples does not exceed; 0 without examples."""
        wanted = p * sum(self.lengths.values())
        seen = 0
        for length in sorted(self.lengths):
            seen += self.lengths[length]
            if seen >= wanted:
                return length
        return 0

    def rows_longer_than(self, n: int) -> int:
        """Examples that a cutoff of ``n`` tokens cuts."""
        return self._scaled(count for length, count in self.lengths.items() if length > n)

    def answers_cut_whole(self, n: int) -> int:
        """Examples of which a cutoff of ``n`` tokens leaves nothing to learn: they would not be trained."""
        return self._scaled(count for start, count in self.answer_starts.items() if start > n)

    def tokens_within(self, n: int) -> int:
        """Tokens of all examples when each is cut at ``n``."""
        return self._scaled(min(length, n) * count for length, count in self.lengths.items())

    def _scaled(self, counts: Iterable[int]) -> int:
        return round(sum(counts) / self.share) if self.sampled_rows else 0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, at most some 50 KB."""
        return dict(_STATISTICS.dump_python(self, mode="json"))

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "TokenStatistics":
        """The statistics of ``to_json``."""
        return _STATISTICS.validate_python(value)


_STATISTICS = TypeAdapter(TokenStatistics)


def count_tokens(
    conversations: Iterable[Conversation], tokenizer: ChatTokenizer, *, rows: int | None = None
) -> TokenStatistics:
    """Count every conversation given. ``rows``: of the whole data set, where these are a sample of it.

    TokenizerError where the template refuses a conversation.
    """
    lengths: Counter[int] = Counter()
    starts: Counter[int] = Counter()
    counted = examples = tokens = learned = longest = 0
    for conversation in conversations:
        counted += 1
        for example in tokenizer.encode(conversation):
            length = len(example.input_ids)
            examples += 1
            tokens += length
            learned += example.learned_tokens
            longest = max(longest, length)
            lengths[rounded(length)] += 1
            starts[rounded(example.first_learned + 1)] += 1
    scale = (rows or counted) / counted if counted else 1.0
    return TokenStatistics(
        tokenizer=tokenizer.name,
        fingerprint=tokenizer.fingerprint,
        rows=rows or counted,
        sampled_rows=counted,
        examples=round(examples * scale),
        tokens=round(tokens * scale),
        learned_tokens=round(learned * scale),
        longest=longest,
        lengths=dict(sorted(lengths.items())),
        answer_starts=dict(sorted(starts.items())),
    )


def measure(
    path: Path, report: DatasetReport, tokenizer: ChatTokenizer, *, fills: Mapping[str, str]
) -> TokenStatistics:
    """Count a checked file, a large one on a sample of evenly spaced rows. Blocking, some seconds at most."""
    every = max(1, ceil(report.rows / SAMPLE_ROWS), ceil(report.size_bytes / SAMPLE_BYTES))
    sample = conversations(path, report, fills=fills, every=every)
    return count_tokens(sample, tokenizer, rows=report.rows)
