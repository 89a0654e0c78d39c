"""What the doctor finds."""

from dataclasses import dataclass
from typing import Literal

from bot.texts import Texts

State = Literal["ok", "warn", "bad"]
Value = str | int | float


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """One thing that was looked at; ``doctor.<name>.<code>`` of the texts says it, or a code that is ``cannot...``."""

    name: str
    state: State
    code: str
    values: dict[str, Value]

    def sentence(self, text: Texts) -> str:
        """What was found and what to do; sizes are written out."""
        written = {
            name: text.size(value) if name.endswith("_bytes") and not isinstance(value, str) else value
            for name, value in self.values.items()
        }
        return text(self.code if self.code.startswith("cannot.") else f"doctor.{self.name}.{self.code}", **written)


def found(name: str, state: State, code: str | None = None, **values: Value) -> Diagnosis:
    """One thing that was looked at; the code is the state where nothing else is said."""
    return Diagnosis(name=name, state=state, code=code or state, values=values)
