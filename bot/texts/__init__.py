"""Every sentence that a person can see: one gettext catalogue a language, read with Babel.

Message ids are names (``run.finished``), so that both languages are catalogues alike. Placeholders are ``{name}``.
A message with plural forms takes its count as ``n``.
"""

from datetime import datetime
from functools import cache
from pathlib import Path

from babel.core import Locale
from babel.dates import format_datetime
from babel.lists import format_list
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

LANGUAGES = {"en": "English", "zh-CN": "中文"}
"""The languages that we speak, each in its own name."""

FOLDER = Path(__file__).parent


def nearest_language(wanted: str) -> str:
    """Our language for a browser's: ``zh``, ``zh-TW`` and the like are Chinese, anything else is English."""
    return "zh-CN" if wanted.lower().startswith("zh") else "en"


class Texts:
    """The sentences of one language, with its way to write numbers and times."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._locale = Locale.parse(language, sep="-")
        with (FOLDER / f"{language}.po").open("rb") as file:
            self._catalog = read_po(file, locale=str(self._locale), abort_invalid=True)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._catalog

    def __call__(self, message_id: str, **values: object) -> str:
        """The sentence ``message_id`` with ``values`` in its placeholders; a KeyError names a missing one."""
        message = self._catalog[message_id]
        if message is None or not message.string:
            raise KeyError(f"no text {message_id!r} in {self.language}")
        forms = message.string
        if isinstance(forms, str):
            return forms.format(**values)
        count = values["n"]
        if not isinstance(count, int):
            raise TypeError(f"{message_id!r} needs a whole number n")
        form = forms[self._plural_index(count)]
        return form.format(**(values | {"n": self.number(count)}))

    def _plural_index(self, count: int) -> int:
        return 0 if self._catalog.num_plurals == 1 or count == 1 else 1

    def number(self, value: float) -> str:
        """``1204`` as "1,204"."""
        return str(format_decimal(value, locale=self._locale))

    def percent(self, share: float) -> str:
        """``0.993`` as "99.3%"."""
        return str(format_percent(share, format="0.#%", locale=self._locale))

    def time(self, moment: datetime) -> str:
        """A time, short, in this machine's zone."""
        return str(format_datetime(moment.astimezone(), format="short", locale=self._locale))

    def duration(self, seconds: float) -> str:
        """A length of time in the largest fitting unit: "40 s", "13 min", "2.5 h"."""
        if seconds < 90:
            return self("unit.seconds", value=self.number(max(1, round(seconds))))
        if seconds < 90 * 60:
            return self("unit.minutes", value=self.number(round(seconds / 60)))
        return self("unit.hours", value=self.number(round(seconds / 3600, 1)))

    def size(self, size_bytes: float) -> str:
        """A size in the largest fitting unit (powers of 1,000)."""
        for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
            if size_bytes >= factor:
                return f"{self.number(round(size_bytes / factor, 1))} {unit}"
        return f"{self.number(round(size_bytes))} B"

    def joined(self, parts: list[str]) -> str:
        """A list in a sentence: "a, b, c"."""
        return self("unit.comma").join(parts)

    def either(self, parts: list[str]) -> str:
        """Possibilities in a sentence: "a, b, or c"."""
        return format_list(parts, style="or", locale=self._locale)


@cache
def texts(language: str) -> Texts:
    """The sentences of ``language`` (one of LANGUAGES)."""
    return Texts(language)
