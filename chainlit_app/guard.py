"""Keeps foreign web pages away from the local server: no DNS rebinding, no requests or sockets from other origins.

The server asks nobody to log in, so whatever reaches it acts as its person. A browser says where a request comes from:
only our own pages may.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Elements are evaluated in the page, hence unsafe-eval. All else is ours: even a model's answer with a foreign picture
# in it makes no request that leaves the machine.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' {socket}",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)


class Guard:
    """Refuses what does not come from this server's own pages, and sends the content policy with every answer."""

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str], open_path: str | None = None, key_path: str | None = None
    ) -> None:
        """``open_path``: what is below it proves itself who calls, from wherever (Slack signs its requests).

        ``key_path``: what is below it needs a key, whatever name the server is called by; foreign pages have no
        business there either.
        """
        self._app = app
        self._hosts = frozenset(hosts)
        self._open_path = open_path
        self._key_path = key_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may come in."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_open = self._open_path is not None and scope["path"].startswith(self._open_path)
        if not is_open and not self._may_come_in(scope["path"], headers):
            await _refuse(scope, receive, send)
            return
        host = headers.get("host", "")

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["Content-Security-Policy"] = POLICY.format(socket=f"ws://{host}")
                answer["X-Content-Type-Options"] = "nosniff"
                answer["Referrer-Policy"] = "no-referrer"
                answer["Cache-Control"] = cache_control(scope["path"])
            await send(message)

        await self._app(scope, receive, send_with_policy)

    def _may_come_in(self, path: str, headers: Headers) -> bool:
        host = headers.get("host", "")
        needs_key = self._key_path is not None and path.startswith(self._key_path)
        if not needs_key and (urlsplit(f"//{host}").hostname or "") not in self._hosts:
            return False
        origin = headers.get("origin")
        return origin is None or urlsplit(origin).netloc == host


def cache_control(path: str) -> str:
    """How long a browser may keep an answer: Chainlit's assets have their hash in their names, all else may change."""
    return "public, max-age=31536000, immutable" if path.startswith("/assets/") else "no-cache"


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    response = PlainTextResponse("This server answers its own pages only.", status_code=403)
    await response(scope, receive, send)
