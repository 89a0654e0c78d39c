"""Plain words to answers and edits, in English and Chinese: "lr 1e-4, 2 epochs", "均衡，秩改成 16". Pure.

The tokens of a text are read from left to right: a name with a value after it, a number with a name after it, or a
word that is an answer by itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rapidfuzz import fuzz, process

from bot.lexicon import HAN_DIGITS, Token, Vocabulary, cut, fold, squeezed, unquoted

NEAR_ENOUGH = 82
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


CONTROLS: Mapping[Control, str] = {
    Control.BACK: "back|go back|previous|返回|上一步|后退|回到上一步|上一个",
    Control.SKIP: "skip|skip it|next|default|recommended|跳过|下一步|默认|用默认|推荐|用推荐的",
    Control.CANCEL: "cancel|abort|quit|never mind|nevermind|forget it|取消|算了|放弃|不做了",
    Control.WHAT: "?|help|what is this|what's this|whats this|what does this mean|explain|why"
    "|这是什么|什么意思|这是什么意思|解释|解释一下|帮助|说明|为什么|什么",
    Control.START: "start|go|begin|run|let's go|start it|开始|开始训练|启动|开始吧",
    Control.CHANGE: "change|edit|modify|修改|更改|编辑|改",
    Control.DONE: "done|ok|okay|finished|that's all|完成|好|好的|好了|可以|就这样",
}
"""How each can be said, whatever the thread's language is."""

_CONTROL_WORDS = {word: control for control, words in CONTROLS.items() for word in words.split("|")}

_ASKED_ABOUT = re.compile(
    r"(?:what(?:'s| is| are| does)?|explain|解释一下|解释|什么是|什么叫)\s*(?:the |an? )?(?P<a>.+?)(?: mean| do)?\s*\??"
    r"|(?P<b>.+?)(?:是什么意思|是什么|什么意思|是啥)\s*\??"
)

_GLUED = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
_RUN = re.compile(r"[^\s,，;；、。!！]*")


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


def read_control(text: str) -> Control | None:
    """What of :class:`Control` a text says; None when it is something else."""
    bare = fold(text).strip()
    return _CONTROL_WORDS.get(bare) or _CONTROL_WORDS.get(bare.strip(" ?!.,。、~\"'`"))


def read_topic(text: str, vocabulary: Vocabulary) -> str | None:
    """The name that a text asks about: "what is lora rank?", "秩是什么"."""
    found = _ASKED_ABOUT.fullmatch(fold(text).strip())
    if not found:
        return None
    topic = squeezed((found["a"] or found["b"] or "").strip(" ?!.,。\"'`"))
    return vocabulary.names.get(vocabulary.canonical.get(topic, ""))


def read_edits(text: str, vocabulary: Vocabulary, pairs: Mapping[str, str] | None = None) -> Reading:
    """All edits that a text makes, and what of it was not understood.

    ``pairs``: further names, folded, that count only where ``=`` follows at once. A text of ``name: value`` lines
    (a plan as flat YAML) is read line by line.
    """
    reader = _Reader(text, vocabulary, pairs or {})
    return reader.read_lines() if _is_plan(text) else reader.read()


def _is_plan(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return len(lines) > 1 and all(re.match(r"[\w.]+[:：]\s*\S", line) for line in lines)


class _Reader:
    """Reads one text; ``_place`` is the token that comes next."""

    def __init__(self, text: str, vocabulary: Vocabulary, pairs: Mapping[str, str]) -> None:
        self._text = text
        self._vocabulary = vocabulary
        self._pairs = pairs
        self._tokens: list[Token] = []
        self._place = 0
        self._edits: list[Edit] = []
        self._unknown: list[Unknown] = []

    def read(self) -> Reading:
        self._tokens = list(cut(self._text, self._vocabulary))
        while (token := self._peek()) is not None:
            self._place += 1
            if token.kind == "pair":
                self._read_pair(self._text[token.start : token.end])
            elif token.kind == "named":
                self._read_named(token)
            elif token.kind in {"number", "han"}:
                self._read_number(token)
            elif token.kind != "separator":
                self._read_word(token)
        return Reading(edits=tuple(self._edits), unknown=tuple(self._unknown))

    def read_lines(self) -> Reading:
        for line in self._text.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                self._read_pair(line.strip())
        return Reading(edits=tuple(self._edits), unknown=tuple(self._unknown))

    def _peek(self) -> Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _read_pair(self, written: str) -> None:
        """``name=value`` or ``name: value``."""
        name, value = (part.strip() for part in re.split(r"[=＝:：]", written, maxsplit=1))
        value = unquoted(value)
        if fold(name).startswith("fill."):
            self._edits.append(Edit(name="fill." + name[len("fill.") :], text=value))
        elif known := self._known(fold(name)):
            self._edits.append(Edit(name=known, text=value))
        else:
            self._unknown.append(Unknown(text=written, nearest=self._vocabulary.nearest(name)))

    def _known(self, word: str) -> str | None:
        named = self._vocabulary.canonical.get(squeezed(word), "")
        return self._vocabulary.names.get(named) or self._pairs.get(word)

    def _read_named(self, token: Token) -> None:
        word = self._vocabulary.canonical[squeezed(token.folded)]
        answer = self._vocabulary.answers.get(word)
        name = self._vocabulary.names.get(word)
        following = self._peek()
        has_equals = following is not None and following.kind == "equals"
        value = self._take_value(name) if name and (has_equals or not answer) else None
        if name and value is not None:
            self._edits.append(Edit(name=name, text=value))
        elif answer:
            self._edits.append(Edit(name=answer[0], text=answer[1]))
        else:
            self._unknown.append(Unknown(text=self._text[token.start : token.end], nearest=name))

    def _take_value(self, name: str) -> str | None:
        """The value after a name: a number, a quoted text, or a run of characters up to a space or separator.

        "lr fast" gives a number's name a word that is an answer elsewhere: it is taken as the value, and told wrong.
        """
        token = self._peek()
        if token and token.kind == "equals":
            self._place += 1
            token = self._peek()
        if token is None or token.kind in {"separator", "pair", "equals"}:
            return None
        if token.kind == "named" and not self._is_mere_answer(token, beside=name):
            return None
        self._place += 1
        if token.kind == "quoted":
            return token.folded
        if token.kind == "han":
            return HAN_DIGITS[token.folded]
        found = (_GLUED if token.kind == "number" else _RUN).match(self._text, token.end)
        end = found.end() if found else token.end
        while (following := self._peek()) and following.start < end:
            if following.kind == "named":
                end = following.start
                break
            self._place += 1
        return self._text[token.start : end]

    def _is_mere_answer(self, token: Token, *, beside: str) -> bool:
        word = self._vocabulary.canonical[squeezed(token.folded)]
        return beside in self._vocabulary.numeric and word in self._vocabulary.answers

    def _read_number(self, token: Token) -> None:
        """A number belongs to the name after it, if that takes numbers."""
        following = self._peek()
        name = None
        if following and following.kind == "named":
            name = self._vocabulary.names.get(self._vocabulary.canonical[squeezed(following.folded)])
        elif following and following.kind == "word":
            name = self._near_name(following.folded)
        if name in self._vocabulary.numeric and name is not None:
            self._place += 1
            self._edits.append(Edit(name=name, text=HAN_DIGITS.get(token.folded, token.folded)))
        else:
            self._note_unknown(token)

    def _read_word(self, token: Token) -> None:
        """A misspelt name before a number, a misspelt answer, or something unknown."""
        following = self._peek()
        if token.kind == "word" and following and following.kind in {"number", "equals", "named"}:
            name = self._near_name(token.folded)
            if following.kind == "named":
                # The misspelt word may be the first of two: "learnig rate 1e-4".
                name = self._near_name(f"{token.folded} {following.folded}")
                self._place += bool(name)
            value = self._take_value(name) if name else None
            if name and value is not None:
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

    def _note_unknown(self, token: Token) -> None:
        """Neighbouring strange characters make one unknown word."""
        end = token.end
        while (following := self._peek()) and following.start == end and following.kind in {"other", "han", "word"}:
            end = following.end
            self._place += 1
        self._unknown.append(
            Unknown(text=self._text[token.start : end], nearest=self._vocabulary.nearest(token.folded))
        )
