"""Why the database cannot be used, and the table from the driver's and the server's words to it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from storage.urls import shown_url

NOT_ALLOWED = "42501"
"""PostgreSQL's code where a role may not do something."""

_CODES = (
    (re.compile(r'database "[^"]*" does not exist'), "no_database"),
    (re.compile(r"password|authentication failed|role \"[^\"]*\" does not exist|pg_hba\.conf"), "not_let_in"),
    (re.compile(r"permission denied|not permitted"), "not_allowed"),
    (re.compile(r"refused|No such file|resolve|translate host|timeout|timed out|unreachable|No route"), "no_server"),
)
"""A server says why it lets nobody in before there is a connection that could carry a code: its words must do."""


class CannotUseDatabase(Exception):
    """The database does not open, or is not as it must be; ``cannot.database.<code>`` of the texts says it."""

    def __init__(self, code: str, *, url: str, words: str) -> None:
        self.code = code
        self.url = shown_url(url)
        self.words = words
        """The server's or the driver's own; no password is among them."""
        super().__init__(f"{self.url}: {words}")


class DatabaseAway(Exception):
    """The database could not be reached in the middle of something: the same may be tried later."""


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Errors of opening the database at ``url`` as CannotUseDatabase; a statement of ours that is wrong stays a bug."""
    try:
        yield
    except (DBAPIError, OSError) as error:
        if isinstance(error, DBAPIError) and not _is_of_opening(error):
            raise
        raise CannotUseDatabase(_code_of(url, error), url=url, words=_words_of(error)) from error


def is_away(error: Exception) -> bool:
    """Whether the database could not be reached or its connection broke: later the same will do."""
    return isinstance(error, DBAPIError) and (error.statement is None or error.connection_invalidated)


@contextmanager
def reaching() -> Iterator[None]:
    """Errors of a database that is away as DatabaseAway."""
    try:
        yield
    except DBAPIError as error:
        if is_away(error):
            raise DatabaseAway(type(error).__name__) from error
        raise


def _is_of_opening(error: DBAPIError) -> bool:
    return error.statement is None or isinstance(error, OperationalError) or _state_of(error) == NOT_ALLOWED


def _state_of(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _code_of(url: str, error: DBAPIError | OSError) -> str:
    if make_url(url).get_backend_name() == "sqlite":
        return "file"
    if isinstance(error, DBAPIError) and _state_of(error) == NOT_ALLOWED:
        return "not_allowed"
    words = str(error)
    return next((code for pattern, code in _CODES if pattern.search(words)), "failed")


def _words_of(error: DBAPIError | OSError) -> str:
    """What was said of the last address that was tried, in one line."""
    said = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip()
    lines = [" ".join(line.split()) for line in said.splitlines()]
    line = next((line for line in reversed(lines) if "failed: " in line), lines[0] if lines else said)
    # Before it stand the host and the port, which the URL says.
    return line.rpartition("failed: ")[2]
