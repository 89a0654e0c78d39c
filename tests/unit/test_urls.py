import pytest
from pydantic import ValidationError

from bot.settings import Settings
from storage.urls import complete_url, shown_url


@pytest.mark.parametrize(
    ("written", "complete", "shown"),
    [
        ("postgres://u:p%40w@h/db", "postgresql+psycopg://u:p%40w@h/db", "postgresql://u@h/db"),
        (
            "postgresql://u:w@h:5433/db?sslmode=require&password=w",
            "postgresql+psycopg://u:w@h:5433/db?password=w&sslmode=require",
            "postgresql://u@h:5433/db",
        ),
        ("postgresql+psycopg:///db?host=/run", "postgresql+psycopg:///db?host=%2Frun", "postgresql:///db"),
        ("sqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_a_plain_url_gets_its_driver_and_is_shown_without_secrets(written: str, complete: str, shown: str) -> None:
    assert complete_url(written) == complete
    assert complete_url(complete) == complete
    assert shown_url(complete) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "secret",
        "mysql://u:secret@h/db",
        "postgresql+asyncpg://u:secret@h/db",
        "sqlite://",
        "postgresql://u:secret@h:5x/db",
        "postgresql://u:sec@ret@h/db",
    ],
)
def test_what_is_no_database_is_said_without_its_password(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(database_url=url)
    (problem,) = (one for one in caught.value.errors() if one["loc"] == ("database_url",))
    assert problem["msg"].startswith("A database is written postgresql://user:password@host:5432/name")
    assert "secret" not in str(caught.value)
    assert "ret@" not in str(caught.value)
