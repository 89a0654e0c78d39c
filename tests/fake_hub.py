"""A hub of our own over real HTTP: what is used of the Hugging Face hub's API, for the folders that it is given."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tests.served import Served

LONGEST_TEST_S = 900
"""So long connections are kept: one that ends just when it is used again would be an error."""
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def fake_hub(models: Mapping[str, Path], *, stalls_in: str | None = None) -> Iterator[str]:
    """Serve these models (``organisation/name`` -> folder); yields the hub's address.

    ``stalls_in``: a file of which it gives the beginning, and then nothing for a long time.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = uvicorn.Config(
            _app(models, stalls_in), log_level="critical", lifespan="off", ws="none", timeout_keep_alive=LONGEST_TEST_S
        )
        served = Served(settings, listener)
        served.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            served.stop()


def _app(models: Mapping[str, Path], stalls_in: str | None) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/api/models/{organisation}/{name}")
    @app.get("/api/models/{organisation}/{name}/revision/{revision}")
    def info(organisation: str, name: str) -> Response:
        folder = models.get(f"{organisation}/{name}")
        if folder is None:
            return _missing()
        siblings = [{"rfilename": path.name, "size": path.stat().st_size} for path in sorted(folder.iterdir())]
        body: dict[str, Any] = {"id": f"{organisation}/{name}", "sha": COMMIT, "siblings": siblings}
        return JSONResponse(body)

    @app.get("/api/models/{organisation}/{name}/tree/{revision}")
    def tree(organisation: str, name: str) -> Response:
        folder = models[f"{organisation}/{name}"]
        files = [
            {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _etag(path.read_bytes())}
            for path in sorted(folder.iterdir())
        ]
        return JSONResponse(files)

    @app.api_route("/{organisation}/{name}/resolve/{revision}/{file}", methods=["GET", "HEAD"])
    def resolve(organisation: str, name: str, file: str, request: Request) -> Response:
        folder = models.get(f"{organisation}/{name}")
        if folder is None or not (folder / file).is_file():
            return _missing()
        content = (folder / file).read_bytes()
        etag = f'"{_etag(content)}"'
        headers = {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if file == stalls_in and request.method == "GET":
            whole = {"Content-Length": str(len(content))}
            return StreamingResponse(_beginning(content), headers=headers | whole)
        return Response(content, headers=headers)

    return app


async def _beginning(content: bytes) -> AsyncIterator[bytes]:
    yield content[: len(content) // 2]
    await asyncio.sleep(LONGEST_TEST_S)


def _etag(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _missing() -> Response:
    return JSONResponse({"error": "Repository not found"}, 404, headers={"X-Error-Code": "RepoNotFound"})
