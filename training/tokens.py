"""Text to tokens, the same for the server, the trainer and vLLM, without transformers.

``ChatTokenizer`` renders messages with the checkpoint's own chat template and tokenises them with ``tokenizers``; a
test proves that text and ids equal transformers' ``apply_chat_template``.
"""

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from training.conversation import ChatMessage, Conversation
from training.templates import ChatTemplate, TemplateRefused

NOT_LEARNED = -100
"""The label of a token that makes no loss."""

SPECIAL_TOKEN_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


class TokenizerError(Exception):
    """A checkpoint's tokenizer or chat template cannot be used: ``code`` (text ``tokenizer_error.<code>``), params."""

    def __init__(self, code: str, **params: str | int) -> None:
        super().__init__(f"{code} {params}" if params else code)
        self.code = code
        self.params: Mapping[str, str | int] = params


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """One training example: ``labels`` repeats the learned tokens of ``input_ids`` and is NOT_LEARNED elsewhere."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def learned_tokens(self) -> int:
        """How many tokens make loss."""
        return len(self.labels) - self.labels.count(NOT_LEARNED)

    @property
    def first_learned(self) -> int:
        """The place of the first learned token; the length where there is none."""
        return next((place for place, label in enumerate(self.labels) if label != NOT_LEARNED), len(self.labels))

    def cut(self, length: int) -> "Encoded":
        """The first ``length`` tokens. Nothing may be left to learn: see ``learned_tokens``."""
        if len(self.input_ids) <= length:
            return self
        return Encoded(input_ids=self.input_ids[:length], labels=self.labels[:length])


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A stretch of text as the model sees it."""

    text: str
    ids: tuple[int, ...]
    is_learned: bool


class ChatTokenizer:
    """A checkpoint's tokenizer together with its chat template."""

    def __init__(self, tokenizer: Tokenizer, template: str, special_tokens: Mapping[str, str], *, name: str) -> None:
        """TokenizerError("bad_chat_template") where the template does not compile."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.name = name
        self._tokenizer = tokenizer
        self._special_tokens = dict(special_tokens)
        try:
            self._template = ChatTemplate(template, special_tokens)
        except TemplateRefused as error:
            raise TokenizerError("bad_chat_template", detail=str(error)) from error
        # No empty alternative: a tokenizer without added tokens has a pattern that matches nothing.
        added = sorted((token.content for token in tokenizer.get_added_tokens_decoder().values()), key=len)
        self._last_marker = re.compile(rf"(?:{'|'.join(map(re.escape, added[::-1])) or '(?!)'})(?=\s*\Z)")

    @classmethod
    def from_checkpoint(cls, folder: Path, *, name: str | None = None) -> "ChatTokenizer":
        """The tokenizer of a checkpoint's folder, which must hold ``tokenizer.json`` and a chat template.

        TokenizerError: ``no_tokenizer``, ``bad_tokenizer``, ``no_chat_template``, ``bad_chat_template``.
        """
        tokenizer = _read_tokenizer(folder)
        config = _read_json(folder / "tokenizer_config.json")
        template = _find_template(folder, config)
        if template is None:
            raise TokenizerError("no_chat_template")
        special = _special_tokens(_read_json(folder / "special_tokens_map.json")) | _special_tokens(config)
        return cls(tokenizer, template, special, name=name or folder.name)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal tokenizers with equal templates: 32 hexadecimal digits."""
        parts = (self._tokenizer.to_str(), self._template.source, json.dumps(self._special_tokens, sort_keys=True))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template prints a system prompt; some raise, some leave it out in silence."""
        probe = "Probe of the system prompt"
        messages = (ChatMessage(role="system", content=probe), ChatMessage(role="user", content="Hello"))
        try:
            return probe in self._template.render(messages, add_generation_prompt=True)
        except TemplateRefused:
            return False

    def prepared(self, messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
        """The messages as the template takes them: without a place for it, the system prompt opens the first question.

        What is sent to vLLM must go through this too, so that it sees what was trained.
        """
        if self.takes_system or not messages or messages[0].role != "system":
            return tuple(messages)
        system, *rest = messages
        if not rest or rest[0].role != "user":
            return (ChatMessage(role="user", content=system.content), *rest)
        return (ChatMessage(role="user", content=f"{system.content}\n\n{rest[0].content}"), *rest[1:])

    def render(self, messages: Sequence[ChatMessage], add_generation_prompt: bool = False) -> str:
        """The messages as the model sees them. TokenizerError("template_refused") with the template's own words."""
        try:
            return self._template.render(self.prepared(messages), add_generation_prompt=add_generation_prompt)
        except TemplateRefused as error:
            raise TokenizerError("template_refused", detail=str(error)) from error

    def ids(self, text: str) -> list[int]:
        """The tokens of a rendered text; nothing is added to it."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def count(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> int:
        """How many tokens a prompt of these messages has, as vLLM counts it."""
        return len(self.ids(self.render(messages, add_generation_prompt)))

    def encode(self, conversation: Conversation) -> tuple[Encoded, ...]:
        """Training examples whose learned tokens are the assistant turns, each with the token that ends it.

        A turn is found by rendering twice: what comes before it with the generation prompt, and the same with the
        turn; so no marker of any template needs to be known. The ids before a turn are exactly the ids of its prompt,
        as vLLM makes them. Where that holds for the conversation tokenised as a whole, it is one example. Where it
        does not, each turn is an example of its own, prompt and answer tokenised apart and joined: when the template
        rewrites earlier turns (thinking removed), and when a token would reach over the border between a prompt and
        its answer (an answer that begins with a line break, after a prompt that ends with one).
        """
        return tuple(_joined(pieces) for pieces in self._examples(conversation))

    def pieces(self, conversation: Conversation) -> tuple[tuple[Piece, ...], ...]:
        """What ``encode`` makes, as text: one tuple an example."""
        return tuple(
            tuple(Piece(text=text, ids=tuple(ids), is_learned=is_learned) for text, ids, is_learned in pieces)
            for pieces in self._examples(conversation)
        )

    def _examples(self, conversation: Conversation) -> list[list["_Part"]]:
        turns = self._turns(conversation.messages)
        if not turns:
            return []
        whole = self._as_one(turns)
        if whole is not None:
            return [whole]
        return [[(prompt, self.ids(prompt), False), (answer, self.ids(answer), True)] for prompt, answer in turns]

    def _turns(self, messages: Sequence[ChatMessage]) -> list[tuple[str, str]]:
        """For each assistant message: its prompt, and what is learned after it."""
        turns = []
        for place, message in enumerate(messages):
            if message.role == "assistant":
                prompt = self.render(messages[:place], add_generation_prompt=True)
                turns.append((prompt, self._answer(prompt, self.render(messages[: place + 1]), message.content)))
        return turns

    def _answer(self, prompt: str, rendered: str, content: str) -> str:
        """The turn's own text up to its end marker; the white space that templates print after that is left out."""
        if rendered.startswith(prompt):
            answer = rendered[len(prompt) :]
        else:
            # The generation prompt holds more than a finished turn does (an opened thought, say).
            start = rendered.rfind(content.strip())
            if start < 0:
                raise TokenizerError("turn_not_found")
            answer = rendered[start:]
        marker = self._last_marker.search(answer)
        return answer[: marker.end()] if marker else answer

    def _as_one(self, turns: Sequence[tuple[str, str]]) -> list["_Part"] | None:
        """The conversation as one example; None where a prompt is not the beginning of the next."""
        text = "".join(turns[-1])
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        starts = [start for start, _ in encoding.offsets] if len(turns) > 1 else []
        parts: list[_Part] = []
        place, token = 0, 0
        for prompt, answer in turns:
            prompt_ids = self.ids(prompt)
            first, end = len(prompt_ids), len(prompt) + len(answer)
            if not text.startswith(prompt + answer) or ids[:first] != prompt_ids:
                return None
            last = bisect_left(starts, end) if end < len(text) else len(ids)
            parts.append((text[place : len(prompt)], ids[token:first], False))
            parts.append((answer, ids[first:last], True))
            place, token = end, last
        return parts


_Part = tuple[str, list[int], bool]


def _joined(parts: Sequence[_Part]) -> Encoded:
    ids: list[int] = []
    labels: list[int] = []
    for _, part, is_learned in parts:
        ids += part
        labels += part if is_learned else [NOT_LEARNED] * len(part)
    return Encoded(input_ids=tuple(ids), labels=tuple(labels))


def _read_tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise TokenizerError("no_tokenizer", file=path.name)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more specific
        raise TokenizerError("bad_tokenizer", file=path.name, detail=str(error)) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError("bad_tokenizer", file=path.name, detail=str(error)) from error
    return value if isinstance(value, dict) else {}


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """``bos_token`` and the like; older files hold each as an object with its ``content``."""
    tokens = {name: config.get(name) for name in SPECIAL_TOKEN_NAMES}
    texts = {name: token.get("content") if isinstance(token, dict) else token for name, token in tokens.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _find_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The default template: the file of its own wins over the one in the tokenizer's configuration."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None
