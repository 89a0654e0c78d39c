"""The client's errors -> ours: one table."""

import re
from collections.abc import Callable, Mapping

import httpx

from serving.services import AdapterMissing, ChatRefused, ChatTooLong, ServerUnavailable, ServingError


def translated(error: Exception, *, model: str) -> ServingError:
    """What an error of the OpenAI client or of its connection means for us; an unknown one is raised as it is."""
    import openai

    if isinstance(error, ServingError):
        return error
    if isinstance(error, openai.APIStatusError):
        return _BY_STATUS.get(error.status_code, _unavailable)(_message(error), model)
    if isinstance(error, openai.APIError | httpx.TransportError | httpx.StreamError):
        return ServerUnavailable("serving.unavailable")
    raise error


def _unavailable(_: str, __: str) -> ServingError:
    return ServerUnavailable("serving.unavailable")


def _missing(_: str, model: str) -> ServingError:
    return AdapterMissing("serving.adapter_missing", model=model)


def _refused(message: str, _: str) -> ServingError:
    """Too long is recognised by its words: "maximum context length is 2048 tokens ... contains at least 2049", or
    "max_tokens=3000 cannot be greater than max_model_len=2048"."""
    limit = re.search(r"(?:maximum context length is|max_model_len=)\s*(\d+)", message)
    tokens = re.search(r"value=(\d+)|max_tokens=(\d+)", message)
    if limit is None:
        return ChatRefused("serving.chat_refused", detail=message)
    found = int(tokens[1] or tokens[2]) if tokens else int(limit[1]) + 1
    return ChatTooLong("serving.chat_too_long", tokens=found, limit=int(limit[1]))


_BY_STATUS: Mapping[int, Callable[[str, str], ServingError]] = {
    400: _refused,
    404: _missing,
    413: _refused,
    422: _refused,
}
"""All others (401 of a server that was replaced, 429, 5xx): it is not there for us now."""


def _message(error: Exception) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, Mapping) and isinstance(body.get("message"), str):
        return str(body["message"])
    return str(error)
