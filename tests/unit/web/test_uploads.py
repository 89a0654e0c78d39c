"""Uploads go to the disk as they come, whole or not at all."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from chainlit.auth import get_current_user
from chainlit.session import WebsocketSession
from chainlit.user import User
from fastapi import FastAPI

from chainlit_app import uploads
from chainlit_app.uploads import as_upload, upload_router

LIMIT = 100_000


def nothing(*_: object) -> None:
    """A page that is told nothing."""


@pytest.fixture
def session() -> Iterator[WebsocketSession]:
    session = WebsocketSession(
        id=str(uuid4()),
        socket_id="socket",
        emit=nothing,
        emit_call=nothing,
        user_env={},
        client_type="webapp",
        user=User(identifier="local"),
    )
    yield session
    shutil.rmtree(session.files_dir, ignore_errors=True)


async def send(
    session_id: str, content: bytes, *, name: str = "a.jsonl", user: str = "local", language: str = "en"
) -> httpx.Response:
    site = FastAPI()
    site.include_router(upload_router(most_bytes=LIMIT))
    site.dependency_overrides[get_current_user] = lambda: User(identifier=user)
    transport = httpx.ASGITransport(site)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.post(
            "/project/file",
            params={"session_id": session_id},
            files={"file": (name, content)},
            headers={"accept-language": language},
        )


def kept(session: WebsocketSession) -> list[Path]:
    return [path for path in session.files_dir.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", [b"x" * 70_000, b"", "您好\r\n--\r\n".encode()])
async def test_a_file_arrives_whole(session: WebsocketSession, content: bytes) -> None:
    response = await send(session.id, content, name="客服 问答.jsonl")
    assert response.status_code == 200
    file = session.files[response.json()["id"]]
    assert file["name"] == "客服 问答.jsonl"
    assert file["size"] == len(content)
    upload = as_upload(file["name"], file["path"])
    assert upload.size_bytes == len(content)
    assert b"".join([chunk async for chunk in upload.chunks]) == content


async def test_a_path_in_a_name_is_only_a_name(session: WebsocketSession) -> None:
    response = await send(session.id, b"x", name="../../etc/passwd")
    file = session.files[response.json()["id"]]
    assert file["name"] == "passwd"
    assert file["path"].is_relative_to(session.files_dir)


@pytest.mark.parametrize(("language", "words"), [("en", "larger than 100 KB"), ("zh-CN", "超过 100 KB")])
async def test_a_file_that_is_too_large_is_refused_in_words(
    session: WebsocketSession, language: str, words: str
) -> None:
    response = await send(session.id, b"x" * (LIMIT + 1), language=language)
    assert response.status_code == 413
    assert words in response.json()["detail"]
    assert session.files == {}
    assert kept(session) == []


async def test_a_full_disk_is_said_before_it_is_full(
    session: WebsocketSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SPARE_BYTES", shutil.disk_usage(session.files_dir.parent).total * 2)
    response = await send(session.id, b"x")
    assert response.status_code == 413
    assert "free on the disk" in response.json()["detail"]
    assert kept(session) == []


async def test_what_is_no_upload_is_refused(session: WebsocketSession) -> None:
    site = FastAPI()
    site.include_router(upload_router(most_bytes=LIMIT))
    site.dependency_overrides[get_current_user] = lambda: User(identifier="local")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://127.0.0.1") as client:
        for headers, content in (
            ({"content-type": "multipart/form-data; boundary=b"}, b"--b\r\nbroken"),
            ({"content-type": "multipart/form-data"}, b"x"),
            ({"content-type": "application/json"}, b"{}"),
        ):
            response = await client.post(
                "/project/file", params={"session_id": session.id}, headers=headers, content=content
            )
            assert response.status_code == 413, headers
    assert kept(session) == []


async def test_files_go_into_one_s_own_session_only(session: WebsocketSession) -> None:
    assert (await send(session.id, b"x", user="somebody")).status_code == 404
    assert (await send(str(uuid4()), b"x")).status_code == 404
    assert session.files == {}
