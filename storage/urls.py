"""Which database is meant: its URL as people write it, as the engine takes it, and as it may be shown."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""One driver a database; ``postgres`` is how many hosts of databases write it."""


class NotADatabaseUrl(ValueError):
    """A database is written postgresql://user:password@host:5432/name (a character like @ or / in the password as %40
    or %2F), or sqlite:////folder/file.db."""

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()).rstrip("."))


def complete_url(written: str) -> str:
    """The URL with its driver. Raises NotADatabaseUrl, which quotes nothing: a password may stand anywhere in it."""
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):
        raise NotADatabaseUrl from None
    kind = url.get_backend_name()
    driver = DRIVERS.get(kind)
    names_a_file = kind != "sqlite" or url.database
    # A host with "@" has half of a password in it that was not written as %40.
    if driver is None or url.drivername not in (driver, kind) or not names_a_file or "@" in (url.host or ""):
        raise NotADatabaseUrl
    return url.set(drivername=driver).render_as_string(hide_password=False)


def shown_url(url: str) -> str:
    """Who, where and which: no driver, no password, and no options, of which one may be a password."""
    parsed = make_url(url)
    return URL.create(
        parsed.get_backend_name(), parsed.username, None, parsed.host, parsed.port, parsed.database
    ).render_as_string()
