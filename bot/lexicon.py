"""Cutting plain words into tokens: names, numbers, words, separators; in English and Chinese alike. Pure."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from rapidfuzz import fuzz, process

FILLERS = (
    "but and also with set the to use using please change make it is of at for only i want would like my be as by "
    "then instead a an take from into lower raise reduce increase put try just per "
    "但是 但 不过 而且 并且 并 和 与 把 将 请 使用 用 改成 改为 改到 设为 设成 设置为 设置成 设置 调成 调为 调到 "
    "降到 升到 提高到 降低到 变成 换成 等于 训练 为 是 到 成 的 了 我要 我想 只 就 吧 取 选"
)
"""Words that say nothing about a plan, divided by spaces."""

HAN_DIGITS = {"一": "1", "两": "2", "二": "2", "三": "3", "四": "4", "五": "5", "六": "6", "八": "8", "十": "10"}
NUMBER = r"[+\-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?|\.\d+)(?:e[+\-−]?\d+)?%?"
SEPARATORS = r"[,;、。!\n]|\.(?!\w)"
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "《": "》"}

_PAIR_NAME = re.compile(r"[\w.\-]{1,80}?\s?=\s?(?=\S)|fill\.\w{1,80}\s?:\s?(?=\S)")
_FREE_VALUE = re.compile(r"\S+?(?=[,;、]?(?:\s|$)|[,;、][\w.\-]+=)")
_VALUE = re.compile(r"[^\s,;、]+?(?=[.。!]?(?:[\s,;、]|$))")


def fold(text: str) -> str:
    """The text in lower case with full-width characters made narrow, each character in its place."""
    return "".join(_folded(character) for character in text)


def squeezed(words: str) -> str:
    """A name without spaces, ``_`` and ``-``, which are all alike in it."""
    return re.sub(r"[\s_\-]+", "", words)


def unquoted(value: str) -> str:
    """A value without the quotation marks around it."""
    return value[1:-1] if len(value) > 1 and QUOTES.get(value[0]) == value[-1] else value


@dataclass(frozen=True)
class Vocabulary:
    """The names and words that edits may use, folded."""

    names: Mapping[str, str]
    """How something may be called -> its name: "lr" -> "learning_rate"."""
    answers: Mapping[str, tuple[str, str]]
    """Words that say everything by themselves -> name and value: "balanced" -> ("preset", "balanced")."""
    numeric: frozenset[str]
    """The names that a bare number before them belongs to: "2 epochs"."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds one token of a folded text at a place."""
        named = sorted([*self.names, *self.answers], key=len, reverse=True)
        fillers = sorted(FILLERS.split(), key=len, reverse=True)
        return re.compile(
            rf"(?P<space>[^\S\n]+)|(?P<separator>{SEPARATORS})|(?P<equals>[=:])"
            rf"|(?P<named>{'|'.join(map(_word_pattern, named))})|(?P<number>{NUMBER})"
            rf"|(?P<filler>{'|'.join(map(_word_pattern, fillers))})"
            r"|(?P<word>[a-z0-9_@./\-+%]+)|(?P<other>.)"
        )

    @cached_property
    def canonical(self) -> Mapping[str, str]:
        """Squeezed names and words -> as they stand in ``names`` and ``answers``."""
        return {squeezed(word): word for word in [*self.names, *self.answers]}

    def nearest(self, word: str) -> str | None:
        """The name that a misspelt one was probably meant to be."""
        found = process.extractOne(fold(word), list(self.names), scorer=fuzz.ratio, score_cutoff=60)
        return self.names[found[0]] if found else None


@dataclass(frozen=True)
class Token:
    """A piece of a text, from ``start`` to ``end``."""

    kind: str
    """``pair`` (name=value in one piece), ``named``, ``number``, ``han`` (a Chinese digit), ``word``, ``other``,
    ``quoted``, ``equals``, ``separator``; spaces and fillers are left out."""
    folded: str
    """For a quoted one: what stands between the marks, as it was."""
    start: int
    end: int


def cut(text: str, vocabulary: Vocabulary) -> Iterator[Token]:
    """The tokens of a text, in order."""
    folded = fold(text)
    place = 0
    while place < len(folded):
        token = _pair_at(text, folded, place) or _quoted_at(text, place) or _token_at(folded, place, vocabulary)
        place = token.end
        if token.kind not in {"space", "filler"}:
            yield token


def _folded(character: str) -> str:
    narrow = unicodedata.normalize("NFKC", character).lower()
    return narrow if len(narrow) == 1 else character


def _word_pattern(words: str) -> str:
    """A name as a pattern: spaces, ``_`` and ``-`` are alike; Latin letters beside it would make it another word."""
    inner = r"[\s_\-]*".join(re.escape(part) for part in re.split(r"[\s_\-]+", words))
    before = r"(?<![a-z_])" if words[0].isascii() else ""
    after = r"(?![a-z_]|-[a-z])" if words[-1].isascii() else ""
    return f"{before}{inner}{after}"


def _pair_at(text: str, folded: str, place: int) -> Token | None:
    """``name=value``, whose value may be anything: quoted, or up to a space or separator."""
    if place and re.match(r"[\w.]", folded[place - 1]):
        return None
    found = _PAIR_NAME.match(folded, place)
    if not found:
        return None
    value = _quoted_at(text, found.end())
    if value:
        return Token("pair", folded[place : value.end], place, value.end)
    rest = (_FREE_VALUE if folded.startswith("fill.", place) else _VALUE).match(folded, found.end())
    return Token("pair", folded[place : rest.end()], place, rest.end()) if rest else None


def _quoted_at(text: str, place: int) -> Token | None:
    """A quotation; a mark inside a word (what's) is none."""
    is_inside = 0 < place < len(text) and text[place - 1].isalnum()
    closing = QUOTES.get(text[place]) if place < len(text) and not is_inside else None
    end = text.find(closing, place + 1) if closing else -1
    return Token("quoted", text[place + 1 : end], place, end + 1) if end > place + 1 else None


def _token_at(folded: str, place: int, vocabulary: Vocabulary) -> Token:
    found = vocabulary.pattern.match(folded, place)
    if found is None or found.lastgroup is None:
        return Token("space", folded[place], place, place + 1)
    kind = found.lastgroup
    if kind == "other" and found[0] in HAN_DIGITS:
        kind = "han"
    return Token(kind, found[0], place, found.end())
