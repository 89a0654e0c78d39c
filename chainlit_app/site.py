"""The web site: our routes, then Chainlit's, behind the guard. Import after :func:`chainlit_app.prepare.prepare`."""

from importlib.metadata import PackageNotFoundError, version

import structlog
from chainlit.server import app as chainlit_server
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp

from bot.metrics import metrics_router
from bot.openai_api.site import PREFIX
from bot.settings import LOCAL_HOSTS
from bot.wiring import Application
from chainlit_app import page, uploads
from chainlit_app.guard import Guard

log = structlog.get_logger(__name__)

HEALTH = "/health"


def build_site(application: Application, api: ASGIApp, slack: APIRouter | None = None) -> ASGIApp:
    """Everything that the server answers. Routes of ours come before Chainlit's of the same address.

    ``api``: the endpoint for programs, below PREFIX; ``slack``: the routes of that face.
    """
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @site.get(HEALTH)
    async def health() -> JSONResponse:
        is_up = await _is_database_up(application)
        # A process of this home or, on PostgreSQL, of any machine runs the loops.
        loops = is_up and await application.turn.is_taken()
        state = {"status": "ok", "version": our_version(), "database": is_up, "loops": loops}
        if not is_up:
            state["status"] = "database unreachable"
        return JSONResponse(state, status_code=200 if is_up else 503)

    site.include_router(page.router)
    site.include_router(uploads.upload_router(most_bytes=application.settings.max_upload_bytes))
    site.include_router(metrics_router(application.world))
    if slack is not None:
        site.include_router(slack)
    site.mount(PREFIX, api)
    site.mount("/", chainlit_server)
    slack_paths = [f"{slack.prefix}/"] if slack is not None else []
    return Guard(site, hosts=LOCAL_HOSTS, open_paths=[HEALTH, *slack_paths], key_path=f"{PREFIX}/")


def our_version() -> str:
    """Of the installed package."""
    try:
        return version("tunesmith")
    except PackageNotFoundError:
        return "not installed"


async def _is_database_up(application: Application) -> bool:
    try:
        async with application.world.store.reading() as session:
            await session.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError):
        log.exception("health.database")
        return False
    return True
