"""What went wrong at a model server: kept in a row as a code, said as a sentence."""

import orjson

from bot.routing import NotReadyError, Waiting
from bot.texts import Texts
from serving.parity import TokenPair, unpacked
from serving.services import ServingError
from storage.artifact_errors import ArtifactError
from training.tokens import TokenizerError

FAILURES = (NotReadyError, ServingError, TokenizerError, ArtifactError)
"""Why nothing answers."""


def packed(error: ServingError | ArtifactError) -> str:
    """The error as a row's ``reason``: its code and what fills its sentence, as JSON."""
    if isinstance(error, ArtifactError):
        return orjson.dumps({"code": f"artifact_error.{error.code}", "params": {"detail": str(error)}}).decode()
    return orjson.dumps({"code": error.code, "params": dict(error.params)}).decode()


def packed_host(reason: str | None) -> str:
    """A host's ``reason`` as the reason of a service on it."""
    return orjson.dumps({"code": "host", "params": {"reason": reason or "killed"}}).decode()


def problem_sentence(texts: Texts, reason: str | None) -> str:
    """The sentence of a packed reason, and what to do."""
    if not reason:
        return ""
    value = orjson.loads(reason)
    return _said(texts, value["code"], value["params"])


def problem_code(reason: str | None) -> str | None:
    """The code of a packed reason: what a log may have of it."""
    return str(orjson.loads(reason)["code"]) if reason else None


def token_lines(texts: Texts, reason: str | None) -> tuple[str, ...]:
    """The tokens around the first that differs, a line each, where a packed reason has them."""
    value = orjson.loads(reason) if reason else {"params": {}}
    pairs = unpacked(value["params"].get("table", "[]"))
    return (texts("parity.heading"), *map(_token_line, pairs)) if pairs else ()


def _token_line(pair: TokenPair) -> str:
    sign = "=" if pair.trained == pair.served else "≠"
    return f"{pair.place:>6} {sign} {_side(pair.trained, pair.trained_text)} | {_side(pair.served, pair.served_text)}"


def _side(token: int | None, text: str) -> str:
    """The id and the text in quotes, line breaks and the like as JSON writes them."""
    return "-" if token is None else f"{token} {orjson.dumps(text).decode()}"


def not_ready_sentence(texts: Texts, error: NotReadyError) -> str:
    """Why a service cannot answer, and what to do."""
    if error.code == "chat.not_ready":
        return texts(error.code, duration=texts.duration(float(error.params["seconds"])))
    return _said(texts, error.code, dict(error.params))


def waiting_sentence(texts: Texts, waiting: Waiting) -> str:
    """What a message waits for."""
    if waiting.code == "queue":
        place = waiting.params["place"]
        return texts("chat.waiting.queue", n=place) if place else texts("chat.waiting.next")
    sentence, detail = texts(f"chat.waiting.{waiting.code}"), f"host.waiting.{waiting.params.get('host')}"
    return texts("chat.waiting.with", sentence=sentence, detail=texts(detail)) if detail in texts else sentence


def error_sentence(texts: Texts, error: ServingError) -> str:
    """The sentence of an error."""
    return _said(texts, error.code, dict(error.params))


def failure_sentence(texts: Texts, error: NotReadyError | ServingError | TokenizerError | ArtifactError) -> str:
    """Why nothing answers, and what to do."""
    match error:
        case NotReadyError():
            return not_ready_sentence(texts, error)
        case ServingError():
            return error_sentence(texts, error)
        case TokenizerError():
            return texts(f"tokenizer_error.{error.code}", **error.params)
        case ArtifactError():
            return texts(f"artifact_error.{error.code}", detail=str(error))


def host_sentence(texts: Texts, reason: str | None) -> str:
    """Why a host failed: one of the codes that have a text, with the cluster's words below; or the log's own line."""
    code, _, words = (reason or "").partition("\n")
    sentence = texts(f"host.{code}") if f"host.{code}" in texts else code
    return f"{sentence}\n{words}" if words else sentence


def _said(texts: Texts, code: str, params: dict[str, str | int | float]) -> str:
    if code == "host":
        return texts("service.host_failed", reason=host_sentence(texts, str(params["reason"])))
    if code not in texts:
        return texts("service.problem", code=code)
    return texts(code, **{name: _number(texts, value) for name, value in params.items()})


def _number(texts: Texts, value: str | int | float) -> str:
    return value if isinstance(value, str) else texts.number(value)
