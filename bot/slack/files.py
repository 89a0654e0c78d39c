"""Files that people drop in Slack, fetched piece by piece."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.arrivals import SlackFile
from bot.slack.errors import NETWORK, was_refused
from bot.turns import Upload, UploadBroken

log = structlog.get_logger(__name__)

CHUNK_BYTES = 1 << 18
MOST_TRIES = 5
"""Of fetching what is left of a file after a break."""
SECONDS_BETWEEN_TRIES = 1.0
"""After the first break; twice as long after each further one."""
TIMEOUT = httpx.Timeout(30.0)
SLACK_HOST = "slack.com"
GONE = frozenset({404, 410})


class Files:
    """Makes uploads of the files of an arrival."""

    def __init__(self, *, api_url: str | None) -> None:
        """``api_url``: where Slack's API is, if not at its own address; files may come from there too."""
        self._api_host = urlsplit(api_url).netloc if api_url else None

    def upload(self, client: AsyncWebClient, file: SlackFile) -> Upload:
        """A file as the assistant takes it, fetched as that client. Its pieces raise UploadBroken."""
        return Upload(name=file.name, size_bytes=file.size_bytes, chunks=self._chunks(client, file))

    async def _chunks(self, slack: AsyncWebClient, file: SlackFile) -> AsyncIterator[bytes]:
        """All of the file, begun anew where it broke off."""
        url = file.url or await _ask_url(slack, file)
        if not self._may_send_token(url):
            # The token is Slack's: a file that is kept elsewhere is not fetched with it.
            raise UploadBroken("upload.elsewhere")
        done = 0
        headers = {"Authorization": f"Bearer {slack.token or ''}"}
        async with httpx.AsyncClient(timeout=TIMEOUT, headers=headers) as client:
            for attempt in range(MOST_TRIES):
                if attempt:
                    await asyncio.sleep(SECONDS_BETWEEN_TRIES * 2 ** (attempt - 1))
                try:
                    async for chunk in _fetch(client, url, begin=done, is_page_expected=is_page(file.name)):
                        done += len(chunk)
                        yield chunk
                    if file.size_bytes is None or done >= file.size_bytes:
                        return
                except httpx.HTTPError as error:
                    log.info("slack.file_broken", file=file.id, bytes=done, attempt=attempt, error=type(error).__name__)
        raise UploadBroken("upload.interrupted")

    def _may_send_token(self, url: str) -> bool:
        where = urlsplit(url)
        if self._api_host:
            return where.netloc == self._api_host
        host = where.hostname or ""
        return where.scheme == "https" and (host == SLACK_HOST or host.endswith(f".{SLACK_HOST}"))


async def _ask_url(slack: AsyncWebClient, file: SlackFile) -> str:
    """A file of another organisation comes without its address. Raises UploadBroken."""
    try:
        found = (await slack.files_info(file=file.id))["file"]
    except NETWORK as error:
        raise UploadBroken("upload.gone" if was_refused(error) else "upload.interrupted") from error
    return str(found.get("url_private_download") or found.get("url_private") or "")


async def _fetch(client: httpx.AsyncClient, url: str, *, begin: int, is_page_expected: bool) -> AsyncIterator[bytes]:
    """The file from its byte ``begin`` on. Raises UploadBroken, httpx.HTTPError."""
    headers = {"Range": f"bytes={begin}-"} if begin else {}
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code in GONE:
            raise UploadBroken("upload.gone")
        if response.is_redirect or (_is_html(response) and not is_page_expected):
            raise UploadBroken("upload.login_page")
        response.raise_for_status()
        skip = 0 if response.status_code == httpx.codes.PARTIAL_CONTENT else begin
        async for chunk in response.aiter_bytes(CHUNK_BYTES):
            kept = chunk[skip:]
            skip = max(0, skip - len(chunk))
            if kept:
                yield kept


def is_page(name: str) -> bool:
    """Whether a file of that name may be a web page in truth."""
    return name.lower().endswith((".html", ".htm"))


def _is_html(response: httpx.Response) -> bool:
    return str(response.headers.get("content-type", "")).startswith("text/html")
