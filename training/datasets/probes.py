"""Rows of a data set to put a service to the proof with: the same every time."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from training.conversation import ChatMessage, Conversation
from training.datasets.languages import language_of

MOST_PROBES = 5

LONGEST_TRIED = 20
"""How many of the longest rows are tried before none is taken."""


def telling(rows: Sequence[Conversation], fits: Callable[[Conversation], bool]) -> tuple[Conversation, ...]:
    """At most MOST_PROBES rows, as unlike each other as there are, in the order of the file.

    The first one; the first with a system prompt, with several turns, and in Chinese; the longest that ``fits``; the
    next ones where these are fewer.
    """
    wanted = (
        next(iter(rows), None),
        next((row for row in rows if row.messages[0].role == "system"), None),
        next((row for row in rows if _answers(row) > 1), None),
        next((row for row in rows if _is_chinese(row)), None),
        next(filter(fits, sorted(rows, key=_characters, reverse=True)[:LONGEST_TRIED]), None),
        *rows[:MOST_PROBES],
    )
    found = {row.row: row for row in wanted if row is not None}
    return tuple(sorted(list(found.values())[:MOST_PROBES], key=lambda row: row.row))


def with_short_answers(rows: Iterable[Conversation], system: str | None, most: int) -> tuple[Conversation, ...]:
    """The beginnings of the ``most`` rows whose first answer is shortest: what is asked, and the answer, in a row.

    Their own system prompt is left out; where some have ``system``, only these count.
    """
    first = [_first_exchange(row) for row in rows]
    alike = [row for prompt, row in first if prompt == system]
    candidates = {_asked(row): row for row in reversed(alike or [row for _, row in first])}
    shortest = sorted(candidates.values(), key=lambda row: (len(row.messages[-1].content), _characters(row), row.row))
    return tuple(shortest[:most])


def _first_exchange(row: Conversation) -> tuple[str | None, Conversation]:
    """The system prompt, and the messages from after it to the first answer."""
    end = next(place for place, message in enumerate(row.messages) if message.role == "assistant")
    systems = [message.content for message in row.messages[:end] if message.role == "system"]
    talk = tuple(message for message in row.messages[: end + 1] if message.role != "system")
    return next(iter(systems), None), Conversation(messages=talk, row=row.row)


def _asked(row: Conversation) -> tuple[ChatMessage, ...]:
    return row.messages[:-1]


def _texts(row: Conversation) -> Iterator[str]:
    return (message.content for message in row.messages)


def _answers(row: Conversation) -> int:
    return sum(message.role == "assistant" for message in row.messages)


def _characters(row: Conversation) -> int:
    return sum(map(len, _texts(row)))


def _is_chinese(row: Conversation) -> bool:
    return any(language_of(text) == "zh" for text in _texts(row))
