"""Bytes of files, in both directions."""

from typing import TYPE_CHECKING

from aiohttp import web

from tests.slack_emulator.state import File

if TYPE_CHECKING:
    from tests.slack_emulator.emulator import SlackEmulator

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in to the workspace</body></html>"
CHUNK_BYTES = 1 << 18


async def upload(slack: "SlackEmulator", request: web.Request) -> web.Response:
    """Take the bytes for an address that ``files.getUploadURLExternal`` gave."""
    file = slack.uploads.get(request.match_info["secret"])
    if file is None:
        return web.Response(status=404, text="no such upload")
    data = await _body(request)
    if len(data) != file.size:
        return web.Response(status=400, text=f"{len(data)} bytes instead of {file.size}")
    file.data = data
    return web.Response(text=f"OK - {len(data)}")


async def download(slack: "SlackEmulator", request: web.Request) -> web.StreamResponse:
    """Give a file to whoever has the token of an app that sees it; to anybody else a page to sign in, with 200."""
    if slack.faults.hits(slack.faults.fail, "fail", "download"):
        return web.Response(status=503, text="upstream is not there")
    file = slack.files.get(request.match_info["file"].partition("-")[2])
    if not _may_read(slack, request, file):
        return web.Response(text=LOGIN_PAGE, content_type="text/html")
    if file is None or file.is_deleted or file.data is None:
        return web.Response(status=404, text="no such file")
    return await _send(slack, request, file)


async def _body(request: web.Request) -> bytes:
    if request.content_type != "multipart/form-data":
        return await request.read()
    for part in (await request.post()).values():
        if isinstance(part, web.FileField):
            return part.file.read()
    return b""


def _may_read(slack: "SlackEmulator", request: web.Request, file: File | None) -> bool:
    token = slack.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
    if token is None or token.revoked_as is not None or "files:read" not in token.scopes:
        return False
    if file is None:
        return True
    return file.team_id == token.team_id and slack.workspaces[token.team_id].file_is_visible_to_bot(file)


async def _send(slack: "SlackEmulator", request: web.Request, file: File) -> web.StreamResponse:
    begin = request.http_range.start or 0
    if begin >= file.size > 0:
        return web.Response(status=416)
    headers = {"Content-Length": str(file.size - begin), "Accept-Ranges": "bytes"}
    if begin:
        headers["Content-Range"] = f"bytes {begin}-{file.size - 1}/{file.size}"
    response = web.StreamResponse(status=206 if begin else 200, headers=headers)
    response.content_type = file.mimetype or "application/octet-stream"
    await response.prepare(request)
    is_cut = slack.faults.happens(slack.faults.cut_downloads, "download")
    end = begin + (file.size - begin) // 2 if is_cut else file.size
    while begin < end:
        chunk = _piece(file, begin, min(end, begin + CHUNK_BYTES))
        await response.write(chunk)
        begin += len(chunk)
    if is_cut:
        assert request.transport is not None
        request.transport.close()
        return response
    await response.write_eof()
    return response


def _piece(file: File, begin: int, end: int) -> bytes:
    assert file.data is not None
    if isinstance(file.data, bytes):
        return file.data[begin:end]
    with file.data.open("rb") as stream:
        stream.seek(begin)
        return stream.read(end - begin)
