"""Lets other machines reach only what knows its callers, and keeps foreign web pages away from the rest.

The web chat asks nobody to log in, so whatever reaches it acts as its person: connections from this machine may, and of
what browsers here send only what our own pages ask for (no DNS rebinding, no requests or sockets from other origins).
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
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


FOREIGN_PAGE = "This server answers its own pages only."
FROM_ELSEWHERE = (
    "The web chat has no accounts yet and opens on the server's own machine alone: use an SSH tunnel or `kubectl "
    "port-forward`. Programs come in with a key, below /v1.\n"
    "网页聊天暂无账号功能，只能在服务器本机上打开：请使用 SSH 隧道或 `kubectl port-forward`。程序可凭密钥访问 /v1。"
)


class Guard:
    """Refuses what may not come in, and sends the content policy with every answer."""

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str], open_paths: Iterable[str] = (), key_path: str | None = None
    ) -> None:
        """``hosts``: the names by which this machine calls the server.

        ``open_paths``: harmless, or (with a slash at the end: what is below it) proves itself who calls, as Slack does
        with its signature. ``key_path``: what is below it needs a key, so that programs may call it from anywhere and
        by any name; foreign pages have no business there either.
        """
        self._app = app
        self._hosts = frozenset(hosts)
        self._open_paths = tuple(open_paths)
        self._key_path = key_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may come in."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        objection = self._objection(scope, headers)
        if objection is not None:
            await _refuse(objection, scope, receive, send)
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

    def _objection(self, scope: Scope, headers: Headers) -> str | None:
        path, host, origin = scope["path"], headers.get("host", ""), headers.get("origin")
        if any(path == open_path or _is_below(path, open_path) for open_path in self._open_paths):
            return None
        if self._key_path is None or not _is_below(path, self._key_path):
            if not _is_from_here(scope):
                return FROM_ELSEWHERE
            if (urlsplit(f"//{host}").hostname or "") not in self._hosts:
                return FOREIGN_PAGE
        return None if origin is None or urlsplit(origin).netloc == host else FOREIGN_PAGE


def _is_below(path: str, folder: str) -> bool:
    return folder.endswith("/") and path.startswith(folder)


def _is_from_here(scope: Scope) -> bool:
    """Whether the connection comes from this machine; the server itself says so, no header does."""
    client = scope.get("client")
    if client is None:
        return False
    try:
        address = ip_address(client[0])
    except ValueError:
        return False
    # A listener on all addresses of both kinds sees IPv4 in this form.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def cache_control(path: str) -> str:
    """How long a browser may keep an answer: Chainlit's assets have their hash in their names, all else may change."""
    return "public, max-age=31536000, immutable" if path.startswith("/assets/") else "no-cache"


async def _refuse(objection: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    response = PlainTextResponse(objection, status_code=403)
    await response(scope, receive, send)
