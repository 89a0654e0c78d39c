"""What a program is told when it does not get its answer, in OpenAI's shape; in English, as its libraries expect.

The openai library tries 429 and 503 again by itself, after what ``Retry-After`` says.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True, eq=False)  # not frozen: a raised exception is given its traceback
class ApiError(Exception):
    """An answer that says what is wrong, and what to do."""

    status: int
    message: str
    code: str
    param: str | None = None
    kind: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """As OpenAI says it."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def invalid_key() -> ApiError:
    """No key, or none of ours that opens anything."""
    return ApiError(
        status=401,
        message="This needs a valid API key in the header `Authorization: Bearer tsk_...`. Make one with /key.",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


def no_such_model(name: str) -> ApiError:
    """One answer for what is not there and for what is somebody else's."""
    return ApiError(
        status=404,
        message=f"The model `{name}` does not exist or your key does not open it. GET /v1/models lists those it does.",
        code="model_not_found",
        param="model",
    )


def bad_request(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """The request cannot be taken as it is."""
    return ApiError(status=400, message=message, code=code, param=param)


def too_large(most_bytes: int) -> ApiError:
    """The body is longer than any context."""
    return ApiError(
        status=413, message=f"The request is too long: at most {most_bytes} bytes are taken.", code="request_too_large"
    )


def too_many_requests(per_minute: int, *, after_s: float) -> ApiError:
    """The key's requests of this minute are used up."""
    seconds = max(1, math.ceil(after_s))
    return ApiError(
        status=429,
        message=f"This key may make {per_minute} requests a minute. Try again in {seconds} s.",
        code="rate_limit_exceeded",
        kind="requests",
        headers={"Retry-After": str(seconds)},
    )


def unavailable(message: str, *, after_s: int = 5) -> ApiError:
    """The service cannot answer now."""
    return ApiError(
        status=503,
        message=message,
        code="service_unavailable",
        kind="server_error",
        headers={"Retry-After": str(after_s)},
    )


def bug() -> ApiError:
    """Our own mistake; the log has its trace."""
    return ApiError(
        status=500,
        message="Something went wrong on the server. Its log has the details.",
        code="internal_error",
        kind="server_error",
    )
