"""The one HTML page of the web face: Chainlit's, without its requests to foreign hosts, in the browser's language."""

import re
from html import escape

from chainlit.auth import create_jwt, get_token_from_cookies, set_auth_cookie
from chainlit.auth.jwt import decode_jwt
from chainlit.server import get_html_template
from chainlit.user import User
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse
from jwt import InvalidTokenError

from bot.texts import nearest_language, texts
from chainlit_app.prepare import translation

LOCAL_USER = "local"
"""The one person of a server that only its own machine reaches."""

PAGES = ("/", "/login", "/thread/{rest:path}", "/element/{rest:path}", "/env")
"""Addresses that Chainlit's client knows."""

FOREIGN_LINK = re.compile(r"\s*<link[^>]*https?://[^>]*>")

router = APIRouter()


async def page(request: Request) -> HTMLResponse:
    """The page, with the local person logged in."""
    language = nearest_language(request.headers.get("accept-language", ""))
    response = HTMLResponse(localised(get_html_template(""), language))  # type: ignore[no-untyped-call]
    if not _is_logged_in(request):
        set_auth_cookie(request, response, create_jwt(User(identifier=LOCAL_USER)))
    return response


for path in PAGES:
    router.add_api_route(path, page, methods=["GET"], include_in_schema=False)


@router.get("/project/translations", include_in_schema=False)
async def translations(language: str = "en-US") -> JSONResponse:
    """Chainlit's own words, in a language that all of Tunesmith speaks."""
    return JSONResponse({"translation": translation(nearest_language(language))})


def localised(template: str, language: str) -> str:
    """Chainlit's page without foreign links, and with our greeting in ``language`` (one of ours)."""
    text = texts(language)
    greeting = f'<meta name="tunesmith-greeting" content="{escape(text("web.greeting"))}">'
    html = FOREIGN_LINK.sub("", template).replace('<html lang="en">', f'<html lang="{language}">')
    return html.replace("</head>", f"{greeting}</head>")


def _is_logged_in(request: Request) -> bool:
    token = get_token_from_cookies(dict(request.cookies))
    if not token:
        return False
    try:
        decode_jwt(token)
    except InvalidTokenError:
        return False
    return True
