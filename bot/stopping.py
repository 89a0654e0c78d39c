"""Why a command ends before it has begun, as a code; ``cannot.<code>`` of the texts says it in a sentence."""


class CannotGoOnError(Exception):
    """What was asked cannot be done here; the sentence says why and what to do."""

    def __init__(self, code: str, **values: str | int) -> None:
        super().__init__(code, values)
        self.code = code
        self.values = values
