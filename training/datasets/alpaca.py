"""Alpaca rows for supervised fine-tuning: what is wrong with one, and the conversation it becomes."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from training.conversation import ChatMessage, Conversation
from training.datasets.columns import Column
from training.datasets.json_errors import NotANumber
from training.datasets.report import Params, Severity
from training.datasets.suspects import look_closer

LONG_CHARACTERS = 50_000
"""A longer text gets a warning: most likely several rows or a whole document ran together."""


class Finding(NamedTuple):
    """A problem, before it is known which line it is of."""

    code: str
    field: str | None
    params: Params
    severity: Severity = "bad"


class AlpacaRow(NamedTuple):
    """The texts of a row; what it does not have is empty."""

    prompt: str
    query: str
    response: str
    history: tuple[tuple[str, str], ...]
    system: str

    @property
    def question(self) -> str:
        """The user's text: the non-empty ones of instruction and input, a line each."""
        return f"{self.prompt}\n{self.query}" if self.prompt and self.query else self.prompt or self.query

    def texts(self) -> Iterator[str]:
        """All texts, in the order of the conversation."""
        yield self.system
        for question, answer in self.history:
            yield question
            yield answer
        yield self.prompt
        yield self.query
        yield self.response

    def conversation(self, number: int) -> Conversation:
        """What the model is taught: every answer, those of the history too."""
        messages = [ChatMessage(role="system", content=self.system)] if self.system else []
        for question, answer in (*self.history, (self.question, self.response)):
            messages.append(ChatMessage(role="user", content=question))
            messages.append(ChatMessage(role="assistant", content=answer))
        return Conversation(messages=tuple(messages), row=number)


class AlpacaReader:
    """Reads rows under a mapping of columns."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.fields = frozenset(field for field in columns.values() if field)
        self._prompt = columns[Column.PROMPT]
        self._response = columns[Column.RESPONSE]
        self._query = columns.get(Column.QUERY)
        self._history = columns.get(Column.HISTORY)
        self._system = columns.get(Column.SYSTEM)

    def read(self, value: Mapping[str, object], *, is_plain: bool) -> tuple[AlpacaRow, list[Finding]]:
        """The row and what is wrong with it; with a bad finding the row is not to be used."""
        get = value.get
        findings: list[Finding] = []
        prompt = _text(get(self._prompt), self._prompt, findings)
        query = _text(get(self._query), self._query, findings) if self._query else ""
        response = _text(get(self._response), self._response, findings)
        system = _text(get(self._system), self._system, findings) if self._system else ""
        history = _history(get(self._history), self._history, findings) if self._history else ()
        row = AlpacaRow(prompt, query, response, history, system)
        if not findings:
            if not prompt and not query:
                findings.append(_nothing(self._prompt, value))
            if not response:
                findings.append(_nothing(self._response, value))
        if not is_plain:
            findings.extend(self._closer(row))
        if len(prompt) + len(query) + len(response) + len(system) > LONG_CHARACTERS:
            findings.extend(self._long(row))
        return row, findings

    def read_quickly(self, value: Mapping[str, object]) -> AlpacaRow | None:
        """The same for the many plain rows that are simple and right, in a third of the time; None for any other."""
        prompt = value.get(self._prompt)
        response = value.get(self._response)
        query = value.get(self._query, "") if self._query else ""
        if not (type(prompt) is str and type(response) is str and type(query) is str):
            return None
        if (
            self._system in value
            or self._history in value
            or len(prompt) + len(query) + len(response) > LONG_CHARACTERS
        ):
            return None
        if not prompt or prompt.isspace() or query.isspace() or not response or response.isspace():
            return None
        return AlpacaRow(prompt, query, response, (), "")

    def _named(self, row: AlpacaRow) -> Iterator[tuple[str | None, str]]:
        yield self._system, row.system
        yield self._history, "\n".join(text for pair in row.history for text in pair)
        yield self._prompt, row.prompt
        yield self._query, row.query
        yield self._response, row.response

    def _closer(self, row: AlpacaRow) -> Iterator[Finding]:
        for field, text in self._named(row):
            for code, params, severity in look_closer(text):
                yield Finding(code, field, params, severity)

    def _long(self, row: AlpacaRow) -> Iterator[Finding]:
        for field, text in self._named(row):
            if len(text) > LONG_CHARACTERS:
                yield Finding("very_long", field, {"characters": len(text)}, "warning")


def _text(value: object, field: str, findings: list[Finding]) -> str:
    if type(value) is str:
        return "" if value.isspace() else value
    if value is not None:
        findings.append(Finding("wrong_type", field, {"found": type_name(value)}))
    return ""


def _nothing(field: str, value: Mapping[str, object]) -> Finding:
    return Finding("empty_field" if field in value else "missing_field", field, {})


def _history(value: object, field: str, findings: list[Finding]) -> tuple[tuple[str, str], ...]:
    if value is None or value in ("", []):
        return ()
    if not isinstance(value, list):
        findings.append(Finding("history_not_a_list", field, {"found": type_name(value)}))
        return ()
    pairs = []
    for place, pair in enumerate(value, start=1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            findings.append(Finding("history_not_pairs", field, {"pair": place}))
            return ()
        if not all(text.strip() for text in pair):
            findings.append(Finding("history_empty", field, {"pair": place}))
            return ()
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)


def type_name(value: object) -> str:
    """What JSON calls it: the id of a text ``json_type.<id>``."""
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "true_or_false"),
        ((int, float), "number"),
        (str, "text"),
        (list, "list"),
        (dict, "object"),
        (NotANumber, "nan"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "null")
