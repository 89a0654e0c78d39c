"""The routes below ``/v1``. Nothing else is there: no other address of a model server has one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from bot.openai_api.access import Access, Opened
from bot.openai_api.connections import Connections
from bot.openai_api.errors import ApiError, bug, too_large, unavailable
from bot.openai_api.fields import Kind
from bot.openai_api.queries import Query, prepared, read_query, with_system
from bot.openai_api.relay import Relay
from bot.routing import Routes
from bot.texts import texts
from bot.tokenizers import Tokenizers
from bot.wiring import Application
from bot.world import World
from storage.artifact_errors import ArtifactError
from storage.models import Service
from training.tokens import TokenizerError

log = structlog.get_logger(__name__)

PREFIX = "/v1"
MOST_BODY_BYTES = 4 << 20
"""More than the longest context has in any language."""


@asynccontextmanager
async def openai_api(application: Application) -> AsyncIterator[ASGIApp]:
    """What is mounted at PREFIX; its connections are closed at the end."""
    connections = Connections()
    endpoint = Endpoint(application.world, application.routes, application.tokenizers, connections)
    try:
        yield endpoint.site()
    finally:
        await connections.close()


class Endpoint:
    """Answers programs: who they are, whom they may ask, and what they asked."""

    def __init__(self, world: World, routes: Routes, tokenizers: Tokenizers, connections: Connections) -> None:
        self._world = world
        self._routes = routes
        self._tokenizers = tokenizers
        self._connections = connections
        self._access = Access(world)

    def site(self) -> Starlette:
        """The four routes."""
        site = Starlette(
            routes=[
                Route("/models", self.models),
                Route("/models/{name:path}", self.model),
                Route("/chat/completions", self._asking("chat/completions"), methods=["POST"]),
                Route("/completions", self._asking("completions"), methods=["POST"]),
            ],
            exception_handlers={ApiError: _refused, HTTPException: _not_there, Exception: _failed},
        )
        site.router.redirect_slashes = False
        return site

    async def models(self, request: Request) -> JSONResponse:
        """``GET /models``: the services that the key opens."""
        key = await self._access.admit(request.headers.get("authorization"))
        services = await self._access.services(key)
        return JSONResponse({"object": "list", "data": [_as_model(service) for service in services]})

    async def model(self, request: Request) -> JSONResponse:
        """``GET /models/NAME``: one of them."""
        key = await self._access.admit(request.headers.get("authorization"))
        opened = await self._access.open(key, request.path_params["name"])
        return JSONResponse(_as_model(opened.service))

    def _asking(self, kind: Kind) -> Callable[[Request], Awaitable[Relay]]:
        async def ask(request: Request) -> Relay:
            key = await self._access.admit(request.headers.get("authorization"))
            query, user = read_query(kind, await _body(request))
            opened = await self._access.open(key, query.model)
            log.info("api.asked", key=key.id, service=opened.service.id, kind=kind)
            return Relay(
                await self._prepared(with_system(query, opened.model.system_prompt), opened),
                service_id=opened.service.id,
                sticky=f"{key.id}/{query.sticky(user)}",
                turn=f"{key.id}/{user or ''}",
                routes=self._routes,
                connections=self._connections,
            )

        return ask

    async def _prepared(self, query: Query, opened: Opened) -> Query:
        if not query.has_system:
            return query
        text = texts("en")
        try:
            tokenizer = await self._tokenizers.of(await self._world.folder_of(opened.base))
        except TokenizerError as error:
            raise unavailable(text(f"tokenizer_error.{error.code}", **error.params)) from error
        except ArtifactError as error:
            raise unavailable(text(f"artifact_error.{error.code}", detail=str(error))) from error
        return prepared(query, tokenizer)


def _as_model(service: Service) -> dict[str, str | int]:
    return {
        "id": service.name,
        "object": "model",
        "created": int(service.created_at.timestamp()),
        "owned_by": "tunesmith",
    }


async def _body(request: Request) -> bytes:
    """The request's body. Raises ApiError where it is too long: it is not read further."""
    if int(request.headers.get("content-length") or 0) > MOST_BODY_BYTES:
        raise too_large(MOST_BODY_BYTES)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BODY_BYTES:
            raise too_large(MOST_BODY_BYTES)
    return bytes(body)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, status_code=error.status, headers=error.headers)


async def _not_there(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    address = f"{request.method} {request.url.path}"
    wrong = ApiError(
        status=error.status_code,
        message=f"There is no {address} here. There are GET /v1/models, POST /v1/chat/completions and "
        "POST /v1/completions.",
        code="unknown_url" if error.status_code == 404 else "method_not_allowed",
        headers=error.headers or {},
    )
    return await _refused(request, wrong)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    log.error("api.bug", exc_info=error)
    return await _refused(request, bug())
