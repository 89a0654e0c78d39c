"""Lets nobody but the server into a vLLM that runs in a pod: an ASGI middleware that vLLM loads itself.

Its text is mounted into vLLM's pod (:mod:`serving.guard`), where nothing else of ours is: it needs the standard
library alone. vLLM's own ``--api-key`` would not do: the API server's proxy keeps ``Authorization`` for itself, and
``/metrics`` and ``/tokenize`` would be open.
"""

import hmac
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

HEADER = "X-Tunesmith-Key"
"""Of every request."""
KEY_VARIABLE = "TUNESMITH_KEY"
"""The environment variable with the key."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_REFUSAL = json.dumps(
    {
        "error": {
            "message": f"This server answers only with its key in {HEADER}.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
).encode()


class Guard:
    """Passes on ``GET /health``, and what carries the key. Without one in the environment the server does not start."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._key = os.environ.get(KEY_VARIABLE, "").encode()
        if not self._key:
            raise RuntimeError(f"{KEY_VARIABLE} is not set")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer 401, or let the app answer."""
        if scope["type"] == "lifespan" or _is_probe(scope) or self._has_key(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closed before it was accepted: the client is told 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_REFUSAL)).encode())]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    def _has_key(self, scope: Message) -> bool:
        given = [value for name, value in scope["headers"] if name.lower() == HEADER.lower().encode()]
        return len(given) == 1 and hmac.compare_digest(given[0], self._key)


def _is_probe(scope: Message) -> bool:
    return (scope["type"], scope.get("method"), scope.get("path")) == ("http", "GET", "/health")
