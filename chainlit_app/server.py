"""Runs the web face with the application's loops in one event loop, until it is told to stop."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
import uvicorn
from fastapi import APIRouter
from starlette.types import ASGIApp

from bot.cli import terminal_texts
from bot.garbage import keep_what_is_there
from bot.metrics import metrics_site
from bot.openai_api.site import openai_api
from bot.settings import Settings
from bot.slack import slack_of
from bot.stopping import CannotGoOnError
from bot.wiring import Application, build
from bot.world import World
from chainlit_app.prepare import prepare

log = structlog.get_logger(__name__)

GRACE_SECONDS = 2
"""How long open connections may take to end."""

MOST_COLLECTORS = 8
"""Connections to the port of the metrics at once; it is open to others, and each scrape asks the database."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; prints one line, the address, once a browser can open it.

    Raises CannotGoOnError where others could reach the web chat, or the port is taken.
    """
    if not settings.is_local:
        raise CannotGoOnError("listen_there", host=settings.host)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    with listen(settings) as listener, listen_for_collectors(settings) as metrics_listener:
        # Any free port was asked for with 0: what is said of the address says the one that it became.
        listening = settings.model_copy(update={"port": listener.getsockname()[1]})
        async with (
            build(listening) as application,
            slack_of(application) as slack,
            site_of(application, slack) as site,
            metrics_served(application.world, metrics_listener),
        ):
            await run(site, listener, lambda: _say_ready(address_of(listener)))


def _say_ready(address: str) -> None:
    keep_what_is_there()
    log.info("server.ready")
    sys.stdout.write(terminal_texts()("web.ready", address=address) + "\n")
    sys.stdout.flush()


@asynccontextmanager
async def site_of(application: Application, slack: APIRouter | None = None) -> AsyncIterator[ASGIApp]:
    """The web site of an application, its face registered and its loops running; ``slack``: the routes of that face."""
    prepare(application.settings)
    # Chainlit reads its folder and its environment while it is imported.
    from chainlit_app.app import WebApp
    from chainlit_app.face import WebFace
    from chainlit_app.site import build_site

    face = WebFace()
    web = WebApp(application, face)
    web.install()
    application.faces["web"] = face
    try:
        async with openai_api(application) as api, application.running():
            yield build_site(application, api, slack)
    finally:
        await web.close()


async def run(site: ASGIApp, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve ``site`` on a listening socket until a signal comes."""
    server = Server(_config(site), on_ready)
    with stopping(server):
        await server.serve(sockets=[listener])
    log.info("server.stopped")


@asynccontextmanager
async def metrics_served(world: World, listener: socket.socket | None) -> AsyncIterator[None]:
    """Serve ``/metrics`` alone on a listening socket, where there is one."""
    if listener is None:
        yield
        return
    server = Server(_config(metrics_site(world), most_connections=MOST_COLLECTORS), lambda: log.info("metrics.ready"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _config(site: ASGIApp, *, most_connections: int | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        site,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who connects is who is there: a header does not make a connection one of this machine.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        limit_concurrency=most_connections,
    )


class Server(uvicorn.Server):
    """Says when it is ready, and leaves the signals to us: uvicorn would raise them again at its end, before ours."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets=sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield


@contextmanager
def stopping(server: uvicorn.Server) -> Iterator[None]:
    """SIGTERM and SIGINT end the server; a second one does not wait for open connections."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            with suppress(ValueError):
                loop.remove_signal_handler(number)


@contextmanager
def listen(settings: Settings) -> Iterator[socket.socket]:
    """A socket where the settings want it. Raises CannotGoOnError(``use_port`` or ``take_port``)."""
    family = socket.AF_INET6 if ":" in settings.listens_at else socket.AF_INET
    # Its protocol named, asyncio sends small pieces at once; else each may wait 40 ms for the one before (Nagle).
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.listens_at, settings.port))
        except PermissionError as error:
            raise CannotGoOnError("take_port", port=settings.port) from error
        except OSError as error:
            raise CannotGoOnError("use_port", port=settings.port) from error
        listener.set_inheritable(False)
        yield listener


@contextmanager
def listen_for_collectors(settings: Settings) -> Iterator[socket.socket | None]:
    """A socket on the metrics' port, at all addresses of this machine; None where none is set.

    Raises CannotGoOnError(``use_metrics_port``).
    """
    if settings.metrics_port is None:
        yield None
        return
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        listener = socket.create_server(("", settings.metrics_port), family=family, dualstack_ipv6=dual)
    except OSError as error:
        raise CannotGoOnError("use_metrics_port", port=settings.metrics_port) from error
    with listener:
        yield listener


def address_of(listener: socket.socket) -> str:
    """Where a browser of this machine finds the server."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
