"""Texts on their way to PostgreSQL, which keeps every character but one."""

from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown


class WithoutNul(StrDumperUnknown):
    """Leaves out U+0000, which means nothing to a reader: with it a message or a log's line could not be kept."""

    def dump(self, obj: str) -> Buffer | None:
        """The text as it is sent; a parameter of a query is treated alike, and finds what was kept."""
        return super().dump(obj.replace("\0", ""))
