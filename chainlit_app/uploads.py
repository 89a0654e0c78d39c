"""Uploads go straight to the disk: Chainlit's own route would hold a whole file in memory."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from chainlit.auth import get_current_user
from chainlit.session import WebsocketSession
from chainlit.types import FileDict
from chainlit.user import PersistedUser, User
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, FormParser, parse_options_header

from bot.texts import Texts, nearest_language, texts
from bot.turns import Upload

CurrentUser = Annotated[User | PersistedUser | None, Depends(get_current_user)]

CHUNK_BYTES = 1 << 20
SPARE_BYTES = 500_000_000
"""What an upload must leave free on the disk."""


class RefusedUpload(Exception):
    """The upload cannot be taken; the text says why and what to do."""

    def __init__(self, text_id: str, **values: str) -> None:
        super().__init__(text_id)
        self.text_id = text_id
        self.values = values


def upload_router(*, most_bytes: int) -> APIRouter:
    """The route that Chainlit's composer sends files to, in place of Chainlit's own."""
    router = APIRouter()

    @router.post("/project/file", include_in_schema=False)
    async def upload_file(request: Request, session_id: str, user: CurrentUser) -> JSONResponse:
        text = texts(nearest_language(request.headers.get("accept-language", "")))
        session = WebsocketSession.get_by_id(session_id)
        if session is None or session.user is None or user is None or session.user.identifier != user.identifier:
            return JSONResponse({"detail": text("web.upload.session")}, status_code=404)
        try:
            file_id = await receive(request, session, most_bytes=most_bytes, text=text)
        except RefusedUpload as refusal:
            return JSONResponse({"detail": text(refusal.text_id, **refusal.values)}, status_code=413)
        return JSONResponse({"id": file_id})

    return router


async def receive(request: Request, session: WebsocketSession, *, most_bytes: int, text: Texts) -> str:
    """Write the one file of a multipart request below the session's folder; returns Chainlit's id for it.

    Raises RefusedUpload; nothing of the file is kept then.
    """
    file_id = str(uuid4())
    folder = session.files_dir / file_id
    folder.mkdir(parents=True)
    try:
        file = await _write(request, folder, most_bytes=most_bytes, text=text)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    path = _settle(file, folder)
    name = Path((file.file_name or b"").decode("utf-8", "replace")).name
    session.files[file_id] = FileDict(
        id=file_id, name=name, path=path, size=path.stat().st_size, type="application/octet-stream"
    )
    return file_id


async def _write(request: Request, folder: Path, *, most_bytes: int, text: Texts) -> File:
    """Let the multipart parser write what comes in; the sizes are checked before and on the way."""
    free = shutil.disk_usage(folder).free - SPARE_BYTES
    _check_size(int(request.headers.get("content-length", 0)), most_bytes=most_bytes, free=free, text=text)
    found: list[File] = []
    size = 0
    try:
        parser = _parser(request, folder, found)
        async for chunk in request.stream():
            size += len(chunk)
            _check_size(size, most_bytes=most_bytes, free=free, text=text)
            await asyncio.to_thread(parser.write, chunk)
        parser.finalize()
    except FormParserError as error:
        raise RefusedUpload("web.upload.broken") from error
    if len(found) != 1:
        raise RefusedUpload("web.upload.broken")
    return found[0]


def _check_size(size: int, *, most_bytes: int, free: int, text: Texts) -> None:
    if size > most_bytes:
        raise RefusedUpload("web.upload.too_large", most=text.size(most_bytes))
    if size > free:
        raise RefusedUpload("web.upload.disk_full", free=text.size(max(free, 0)))


def _parser(request: Request, folder: Path, found: list[File]) -> FormParser:
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    return FormParser(
        content_type.decode(),
        on_field=lambda _: None,
        on_file=found.append,
        boundary=options.get(b"boundary"),
        config={"UPLOAD_DIR": str(folder), "MAX_MEMORY_FILE_SIZE": 0, "UPLOAD_DELETE_TMP": False},
    )


def _settle(file: File, folder: Path) -> Path:
    """Close the file under a name of ours; an empty one never came to the disk."""
    path = folder / "content"
    file.close()
    if file.actual_file_name is None:
        path.touch()
    else:
        Path(file.actual_file_name.decode()).rename(path)
    return path


async def chunks(path: Path) -> AsyncIterator[bytes]:
    """The content of a file, piece by piece."""
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


def as_upload(name: str, path: Path) -> Upload:
    """A file that a person sent, as a turn takes it: only its name and its content are trusted."""
    return Upload(name=Path(name).name, size_bytes=path.stat().st_size, chunks=chunks(path))
