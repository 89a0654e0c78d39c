"""Plain words to answers and edits, in English and Chinese: "lr 1e-4, 2 epochs", "均衡，秩改成 16". Pure.

A text is cut into tokens (names, numbers, words, separators), and the tokens are read from left to right: a name with
a value after it, a number with a name after it, or a word that is an answer by itself.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from rapidfuzz import fuzz, process

NEAR_ENOUGH = 84
"""Of 100: from here on a misspelt word is taken as the one it is like."""


class Control(StrEnum):
    """What can be said at every question."""

    BACK = "back"
    SKIP = "skip"
    CANCEL = "cancel"
    WHAT = "what"
    START = "start"
    CHANGE = "change"
    DONE = "done"


CONTROLS: Mapping[Control, tuple[str, ...]] = {
    Control.BACK: ("back", "go back", "previous", "返回", "上一步", "后退", "回到上一步", "上一个"),
    Control.SKIP: ("skip", "next", "default", "recommended", "跳过", "下一步", "默认", "用默认", "推荐", "用推荐的"),
    Control.CANCEL: ("cancel", "abort", "quit", "never mind", "nevermind", "forget it", "取消", "算了", "放弃", "不做了"),
    Control.WHAT: (
        *("?", "help", "what is this", "what's this", "whats this", "what does this mean", "explain", "why"),
        *("这是什么", "什么意思", "这是什么意思", "解释", "解释一下", "帮助", "说明", "为什么", "什么"),
    ),
    Control.START: ("start", "go", "begin", "run", "let's go", "start it", "开始", "开始训练", "启动", "开始吧"),
    Control.CHANGE: ("change", "edit", "modify", "修改", "更改", "编辑", "改"),
    Control.DONE: ("done", "ok", "okay", "finished", "that's all", "完成", "好", "好的", "好了", "可以", "就这样"),
}

_CONTROL_WORDS = {word: control for control, words in CONTROLS.items() for word in words}

_ASKED_ABOUT = re.compile(
    r"(?:what(?:'s| is| are| does)?|explain|解释一下|解释|什么是|什么叫)\s*(?:the |a |an )?(?P<a>.+?)(?: mean| do)?\s*[?？]?"
    r"|(?P<b>.+?)(?:是什么意思|是什么|什么意思|是啥)\s*[?？]?"
)

_FILLERS = (
    *("but", "and", "also", "with", "set", "the", "to", "use", "using", "please", "change", "make", "it", "is", "of"),
    *("at", "for", "only", "i", "want", "would", "like", "my", "be", "as", "by", "then", "instead", "a", "an", "take"),
    *("from", "into", "lower", "raise", "reduce", "increase", "put", "try", "just", "per"),
    *("但是", "但", "不过", "而且", "并且", "并", "和", "与", "把", "将", "请", "使用", "用", "改成", "改为", "改到", "设为"),
    *("设成", "设置为", "设置成", "设置", "调成", "调为", "调到", "降到", "升到", "提高到", "降低到", "变成", "换成", "等于"),
    *("训练", "为", "是", "到", "成", "的", "了", "我要", "我想", "只", "就", "吧", "取", "选"),
)
_NUMBER = r"[+\-−]?(?:\d{1,3}(?:[,，]\d{3})+(?!\d)|\d+(?:[.．]\d+)?|[.．]\d+)(?:e[+\-−]?\d+)?%?"
_HAN_DIGITS = {"一": "1", "两": "2", "二": "2", "三": "3", "四": "4", "五": "5", "六": "6", "八": "8", "十": "10"}
_GLUED = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
_RUN = re.compile(r"[^\s,，;；、。!！]*")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "《": "》"}
_SEPARATORS = r"[,;、。!\n]|\.(?!\w)"


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A name with the value that it should have, as typed; a word by itself has the value that it stands for."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """Words that were not understood, with the name that was probably meant."""

    text: str
    nearest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a text says, in its order."""

    edits: tuple[Edit, ...]
    unknown: tuple[Unknown, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all of it was understood, and it says something."""
        return bool(self.edits) and not self.unknown


@dataclass(frozen=True)
class Vocabulary:
    """The names and words that edits may use, folded (see :func:`fold`)."""

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
        fillers = sorted(_FILLERS, key=len, reverse=True)
        return re.compile(
            rf"(?P<space>[^\S\n]+)|(?P<separator>{_SEPARATORS})|(?P<equals>[=:])"
            rf"|(?P<named>{'|'.join(map(_word_pattern, named))})|(?P<number>{_NUMBER})(?![\w.])|(?P<glued>{_NUMBER})"
            rf"|(?P<filler>{'|'.join(map(_word_pattern, fillers))})"
            r"|(?P<word>[a-z0-9_@./\-+%]+)|(?P<other>.)"
        )

    def nearest(self, word: str) -> str | None:
        """The name that a misspelt one was probably meant to be."""
        found = process.extractOne(fold(word), list(self.names), scorer=fuzz.ratio, score_cutoff=60)
        return self.names[found[0]] if found else None


def fold(text: str) -> str:
    """The text in lower case with full-width characters made narrow, each character in its place."""
    return "".join(_folded(character) for character in text)


def read_control(text: str) -> Control | None:
    """What of :class:`Control` a text says; None when it is something else."""
    bare = fold(text).strip()
    return _CONTROL_WORDS.get(bare) or _CONTROL_WORDS.get(bare.strip(" ?!.,。、~\"'`"))


def read_topic(text: str, vocabulary: Vocabulary) -> str | None:
    """The name that a text asks about: "what is lora rank?", "秩是什么"."""
    found = _ASKED_ABOUT.fullmatch(fold(text).strip())
    if not found:
        return None
    topic = (found["a"] or found["b"] or "").strip(" ?!.,。\"'`")
    return vocabulary.names.get(topic) or vocabulary.names.get(topic.replace(" ", "_"))


def read_edits(text: str, vocabulary: Vocabulary, pairs: Mapping[str, str] | None = None) -> Reading:
    """All edits that a text makes, and what of it was not understood.

    ``pairs``: further names, folded, that count only where ``=`` follows at once.
    """
    return _Reader(text, vocabulary, pairs or {}).read()


def _folded(character: str) -> str:
    narrow = unicodedata.normalize("NFKC", character).lower()
    return narrow if len(narrow) == 1 else character


def _word_pattern(words: str) -> str:
    """A name as a pattern: spaces, ``_`` and ``-`` are alike; Latin letters beside it would make it another word."""
    inner = r"[\s_\-]*".join(re.escape(part) for part in re.split(r"[\s_\-]+", words))
    before = r"(?<![a-z_])" if words[0].isascii() else ""
    after = r"(?![a-z_]|-[a-z])" if words[-1].isascii() else ""
    return f"{before}{inner}{after}"


@dataclass(frozen=True)
class _Token:
    kind: str
    folded: str
    start: int
    end: int


class _Reader:
    """Reads one text; ``place`` is the token that comes next."""

    def __init__(self, text: str, vocabulary: Vocabulary, pairs: Mapping[str, str]) -> None:
        self._text = text
        self._vocabulary = vocabulary
        self._pairs = pairs
        self._canonical = {re.sub(r"[\s_\-]+", "", word): word for word in [*vocabulary.names, *vocabulary.answers]}
        self._tokens = list(self._cut())
        self._place = 0
        self._edits: list[Edit] = []
        self._unknown: list[Unknown] = []

    def read(self) -> Reading:
        while (token := self._peek()) is not None:
            self._place += 1
            if token.kind == "pair":
                self._read_pair(token)
            elif token.kind == "named":
                self._read_named(token)
            elif token.kind in {"number", "han"}:
                self._read_number(token)
            elif token.kind in {"word", "other", "quoted", "equals"}:
                self._read_word(token)
        return Reading(edits=tuple(self._edits), unknown=tuple(self._unknown))

    def _cut(self) -> Iterator[_Token]:
        folded = fold(self._text)
        place = 0
        while place < len(folded):
            token = self._pair_at(folded, place) or self._quoted_at(place) or self._token_at(folded, place)
            place = token.end
            if token.kind not in {"space", "separator", "filler"}:
                yield token
            elif token.kind == "separator":
                yield token

    def _pair_at(self, folded: str, place: int) -> _Token | None:
        """``name=value`` without spaces, whose value may be anything: quoted, or up to a space."""
        if place and re.match(r"[\w.]", folded[place - 1]):
            return None
        found = re.compile(r"[\w.\-]{1,80}?\s?=\s?(?=\S)").match(folded, place)
        if not found:
            return None
        value = self._quoted_at(found.end())
        if value:
            return _Token("pair", folded[place : value.end], place, value.end)
        is_free = folded.startswith("fill.", place)
        ends = r"\S+?(?=[,;、]?(?:\s|$)|[,;、][\w.\-]+=)" if is_free else r"[^\s,;、]+?(?=[.。!]?(?:[\s,;、]|$))"
        rest = re.compile(ends).match(folded, found.end())
        return _Token("pair", folded[place : rest.end()], place, rest.end()) if rest else None

    def _quoted_at(self, place: int) -> _Token | None:
        is_inside = place > 0 and self._text[place - 1].isalnum()
        closing = _QUOTES.get(self._text[place]) if place < len(self._text) and not is_inside else None
        end = self._text.find(closing, place + 1) if closing else -1
        return _Token("quoted", self._text[place + 1 : end], place, end + 1) if end > place + 1 else None

    def _token_at(self, folded: str, place: int) -> _Token:
        found = self._vocabulary.pattern.match(folded, place)
        if found is None or found.lastgroup is None:
            return _Token("space", folded[place], place, place + 1)
        kind = "number" if found.lastgroup == "glued" else found.lastgroup
        if kind == "number" and place and folded[place - 1].isascii() and folded[place - 1].isalpha():
            kind = "word"
        if kind == "other" and found[0] in _HAN_DIGITS:
            kind = "han"
        return _Token(kind, found[0], place, found.end())

    def _peek(self, ahead: int = 0) -> _Token | None:
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else None

    def _read_pair(self, token: _Token) -> None:
        name, _, _ = token.folded.partition("=")
        value = re.split(r"[=＝]", self._text[token.start : token.end], maxsplit=1)[1].strip()
        if len(value) > 1 and _QUOTES.get(value[0]) == value[-1]:
            value = value[1:-1]
        name = name.strip()
        if name.startswith("fill."):
            name = "fill." + self._text[token.start : token.end].partition(".")[2].replace("＝", "=").partition("=")[0]
            self._edits.append(Edit(name=name.strip(), text=value))
            return
        known = self._known(name)
        if known:
            self._edits.append(Edit(name=known, text=value))
        else:
            written = self._text[token.start : token.end]
            self._unknown.append(Unknown(text=written, nearest=self._vocabulary.nearest(name)))

    def _known(self, word: str) -> str | None:
        known = self._canonical.get(re.sub(r"[\s_\-]+", "", word), "")
        return self._vocabulary.names.get(known) or self._pairs.get(word)

    def _read_named(self, token: _Token) -> None:
        word = self._canonical[re.sub(r"[\s_\-]+", "", token.folded)]
        if word in self._vocabulary.answers and not self._is_value(self._peek()):
            name, value = self._vocabulary.answers[word]
            self._edits.append(Edit(name=name, text=value))
            return
        name = self._vocabulary.names.get(word)
        value_text = self._take_value() if name else None
        if name and value_text is not None:
            self._edits.append(Edit(name=name, text=value_text))
        elif word in self._vocabulary.answers:
            name, value = self._vocabulary.answers[word]
            self._edits.append(Edit(name=name, text=value))
        else:
            self._unknown.append(Unknown(text=self._text[token.start : token.end], nearest=name))

    def _is_value(self, token: _Token | None) -> bool:
        return token is not None and token.kind in {"equals"}

    def _take_value(self) -> str | None:
        """The value after a name: a number, a quoted text, or a run of characters up to a space or separator."""
        token = self._peek()
        if token and token.kind == "equals":
            self._place += 1
            token = self._peek()
        if token is None or token.kind in {"separator", "named", "pair"}:
            return None
        self._place += 1
        if token.kind == "quoted":
            return token.folded
        if token.kind == "han":
            return _HAN_DIGITS[token.folded]
        run = _GLUED if token.kind == "number" else _RUN
        found = run.match(self._text, token.end)
        end = found.end() if found else token.end
        while (following := self._peek()) and following.start < end:
            if following.kind == "named":
                end = following.start
                break
            self._place += 1
        return self._text[token.start : end]

    def _read_number(self, token: _Token) -> None:
        following = self._peek()
        value = _HAN_DIGITS.get(token.folded, token.folded)
        if following and following.kind == "named":
            word = self._canonical[re.sub(r"[\s_\-]+", "", following.folded)]
            name = self._vocabulary.names.get(word)
            if name in self._vocabulary.numeric:
                self._place += 1
                self._edits.append(Edit(name=name, text=value))
                return
        if following and following.kind == "word" and (name := self._near_name(following.folded)):
            self._place += 1
            self._edits.append(Edit(name=name, text=value))
            return
        self._unknown.append(Unknown(text=self._text[token.start : token.end]))

    def _read_word(self, token: _Token) -> None:
        if token.kind == "word" and (name := self._near_name(token.folded)):
            following = self._peek()
            if following and following.kind in {"number", "equals"} and (value := self._take_value()) is not None:
                self._edits.append(Edit(name=name, text=value))
                return
        if token.kind == "word" and (answer := self._near_answer(token.folded)):
            self._edits.append(Edit(name=answer[0], text=answer[1]))
            return
        self._note_unknown(token)

    def _near_name(self, word: str) -> str | None:
        if len(word) < 4:
            return None
        found = process.extractOne(word, list(self._vocabulary.names), scorer=fuzz.ratio, score_cutoff=NEAR_ENOUGH)
        name = self._vocabulary.names[found[0]] if found else None
        return name if name in self._vocabulary.numeric else None

    def _near_answer(self, word: str) -> tuple[str, str] | None:
        if len(word) < 5:
            return None
        found = process.extractOne(word, list(self._vocabulary.answers), scorer=fuzz.ratio, score_cutoff=NEAR_ENOUGH)
        return self._vocabulary.answers[found[0]] if found else None

    def _note_unknown(self, token: _Token) -> None:
        """Neighbouring strange characters make one unknown word."""
        start = token.start
        end = token.end
        while (following := self._peek()) and following.start == end and following.kind in {"other", "han"}:
            end = following.end
            self._place += 1
        self._unknown.append(Unknown(text=self._text[start:end], nearest=self._vocabulary.nearest(token.folded)))
