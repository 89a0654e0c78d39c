"""What went wrong at a model server: kept in a row as a code, said as a sentence."""

import orjson

from bot.texts import Texts
from serving.services import ServingError


def packed(error: ServingError) -> str:
    """The error as a row's ``reason``: its code and what fills its sentence, as JSON."""
    return orjson.dumps({"code": error.code, "params": dict(error.params)}).decode()


def packed_host(reason: str | None) -> str:
    """A host's ``reason`` as the reason of a service on it."""
    return orjson.dumps({"code": "host", "params": {"reason": reason or "killed"}}).decode()


def problem_sentence(texts: Texts, reason: str | None) -> str:
    """The sentence of a packed reason, and what to do."""
    if not reason:
        return ""
    value = orjson.loads(reason)
    if value["code"] == "host":
        return texts("service.host_failed", reason=host_sentence(texts, value["params"]["reason"]))
    return _said(texts, value["code"], value["params"])


def error_sentence(texts: Texts, error: ServingError) -> str:
    """The sentence of an error."""
    return _said(texts, error.code, dict(error.params))


def host_sentence(texts: Texts, reason: str | None) -> str:
    """Why a host failed: one of the codes that have a text, or the log's own line."""
    return texts(f"host.{reason}") if f"host.{reason}" in texts else (reason or "")


def _said(texts: Texts, code: str, params: dict[str, str | int | float]) -> str:
    if code not in texts:
        return texts("service.problem", code=code)
    return texts(code, **{name: _number(texts, value) for name, value in params.items()})


def _number(texts: Texts, value: str | int | float) -> str:
    return value if isinstance(value, str) else texts.number(value)
