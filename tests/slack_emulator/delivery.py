"""How what happens reaches the app: Socket Mode or signed HTTP, a moment to acknowledge, then again."""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

from tests.slack_emulator.state import Json

if TYPE_CHECKING:
    from tests.slack_emulator.emulator import SlackEmulator

MOST_SOCKETS = 10
ANSWER_S = 3.0
"""So long Slack waits for the app's acknowledgement."""
PATIENT_S = 60.0
"""So long a test does that is not about Slack's hurry."""


class OperationTimeout(Exception):
    """The person sees that the app did not answer in time."""


class Unacknowledged(Exception):
    """An attempt failed; its text is the reason that the next one carries."""


@dataclass(eq=False, kw_only=True)
class Socket:
    """A connection of the app."""

    ws: web.WebSocketResponse
    request: web.Request
    waiting: dict[str, asyncio.Future[Json | None]] = field(default_factory=dict)
    """Envelopes without an answer yet; None: the connection broke."""
    is_leaving: bool = False

    def abort(self) -> None:
        """Break the connection without a word."""
        if self.request.transport is not None:
            self.request.transport.abort()


class Delivery:
    """Delivers events (again and again until acknowledged) and what people do (once)."""

    def __init__(self, slack: "SlackEmulator", ack_deadline_s: float) -> None:
        self._slack = slack
        self.sockets: list[Socket] = []
        self.url: str | None = None
        self.ack_deadline_s = ack_deadline_s
        self.retry_pauses_s: tuple[float, ...] = (0.1, 0.5, 1.0)
        """Slack itself waits nothing, a minute and five minutes."""
        self.connection_wait_s = 30.0
        """How long an event waits for somebody to listen: it stands for the minutes between Slack's own tries."""
        self.tickets: set[str] = set()
        self.lost: list[Json] = []
        """Events that were given up."""
        self.attempts: list[tuple[str, Json]] = []
        """Everything that was sent: the kind and its payload."""
        self.acknowledged_s: list[float] = []
        """Seconds from the sending of each delivery to its acknowledgement."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._http: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Begin; inside the loop."""
        self._http = aiohttp.ClientSession()

    async def close(self) -> None:
        """Break everything off."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket in list(self.sockets):
            await socket.ws.close()
        if self._http is not None:
            await self._http.close()

    @property
    def is_settled(self) -> bool:
        """Whether everything was acknowledged or given up."""
        return not self._tasks

    async def settled(self, within_s: float) -> bool:
        """Wait until then; False where it takes longer."""
        return await self._slack.changes.until(lambda: self.is_settled, within_s=within_s)

    def event(self, payload: Json) -> None:
        """Deliver an ``event_callback`` in the background."""
        task = asyncio.create_task(self._deliver(payload, self._slack.faults.delay_s()))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def ask(self, kind: str, payload: Json) -> Json:
        """Deliver what a person did, and return the answer. Raises OperationTimeout; Slack does not try again."""
        try:
            async with asyncio.timeout(self.ack_deadline_s):
                return await self._attempt(kind, payload, 0, "")
        except (Unacknowledged, TimeoutError) as error:
            raise OperationTimeout(f"operation_timeout: {error}") from error

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Ask every connection to be opened anew, as Slack does every few hours."""
        for socket in list(self.sockets):
            socket.is_leaving = True
            await socket.ws.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "emulator"}})

    def drop_sockets(self) -> None:
        """Break every connection without a word."""
        for socket in list(self.sockets):
            socket.abort()

    async def link(self, request: web.Request) -> web.StreamResponse:
        """The app's connection, of an address that ``apps.connections.open`` gave, which is good for once."""
        ticket = request.query.get("ticket", "")
        if ticket not in self.tickets:
            raise web.HTTPForbidden(text="ticket is not valid")
        self.tickets.discard(ticket)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        if len(self.sockets) >= MOST_SOCKETS:
            await ws.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await ws.close()
            return ws
        socket = Socket(ws=ws, request=request)
        self.sockets.append(socket)
        try:
            await ws.send_json(self._hello())
            self._slack.changes.note()
            async for message in ws:
                if message.type == WSMsgType.TEXT:
                    self._answered(socket, message.data)
        finally:
            self.sockets.remove(socket)
            for future in socket.waiting.values():
                if not future.done():
                    future.set_result(None)
        return ws

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slack.changes.note()

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.sockets),
            "connection_info": {"app_id": self._slack.app_id},
            "debug_info": {"host": "emulator", "build_number": 1, "approximate_connection_time": 18060},
        }

    @staticmethod
    def _answered(socket: Socket, data: str) -> None:
        answer = json.loads(data)
        future = socket.waiting.pop(str(answer.get("envelope_id")), None)
        if future is not None and not future.done():
            future.set_result(answer.get("payload") or {})

    async def _deliver(self, payload: Json, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if not await self._is_acknowledged(payload, 0, ""):
            self.lost.append(payload)
        elif self._slack.faults.happens(self._slack.faults.duplicates, "duplicate"):
            await self._is_acknowledged(payload, 1, "timeout")

    async def _is_acknowledged(self, payload: Json, first: int, reason: str) -> bool:
        """Deliver an event again and again, as often as Slack does; ``first``: the number of the first attempt."""
        for attempt, pause_s in enumerate((0.0, *self.retry_pauses_s), start=first):
            await asyncio.sleep(pause_s)
            try:
                await self._attempt("events_api", payload, attempt, reason)
            except Unacknowledged as error:
                reason = str(error)
            else:
                return True
        return False

    async def _attempt(self, kind: str, payload: Json, attempt: int, reason: str) -> Json:
        if self.url is None and not await self._slack.changes.until(self._listening, within_s=self.connection_wait_s):
            raise Unacknowledged("no_connection")
        begin = time.monotonic()
        answer = await (
            self._send_over_socket(self._next_socket(), kind, payload, attempt, reason)
            if self.url is None
            else self._send_over_http(kind, payload, attempt, reason)
        )
        self.acknowledged_s.append(time.monotonic() - begin)
        return answer

    def _listening(self) -> list[Socket]:
        return [socket for socket in self.sockets if not socket.is_leaving and not socket.ws.closed]

    def _next_socket(self) -> Socket:
        listening = self._listening()
        self._turn += 1
        return listening[self._turn % len(listening)]

    async def _send_over_socket(self, socket: Socket, kind: str, payload: Json, attempt: int, reason: str) -> Json:
        envelope_id = str(uuid.uuid4())
        envelope: Json = {"envelope_id": envelope_id, "type": kind, "payload": payload}
        envelope["accepts_response_payload"] = kind != "events_api"
        if kind == "events_api":
            envelope |= {"retry_attempt": attempt, "retry_reason": reason}
        future: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        socket.waiting[envelope_id] = future
        self.attempts.append((kind, payload))
        # As it is now: a test may change it for the next attempt as soon as the app has this one.
        deadline_s = self.ack_deadline_s
        try:
            await socket.ws.send_json(envelope)
            faults = self._slack.faults
            if kind == "events_api" and faults.happens(faults.socket_drops, "socket"):
                asyncio.get_running_loop().call_later(0.01, socket.abort)
            async with asyncio.timeout(deadline_s):
                answer = await future
        except TimeoutError as error:
            raise Unacknowledged("timeout") from error
        except ConnectionError as error:
            raise Unacknowledged("connection_failed") from error
        finally:
            socket.waiting.pop(envelope_id, None)
        if answer is None:
            raise Unacknowledged("connection_failed")
        return answer

    async def _send_over_http(self, kind: str, payload: Json, attempt: int, reason: str) -> Json:
        body, content_type = _as_body(kind, payload)
        headers = {**signature(self._slack.signing_secret, body), "Content-Type": content_type}
        if attempt:
            headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason}
        self.attempts.append((kind, payload))
        assert self._http is not None
        assert self.url is not None
        try:
            async with (
                asyncio.timeout(self.ack_deadline_s),
                self._http.post(self.url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                text = await response.text()
        except TimeoutError as error:
            raise Unacknowledged("http_timeout") from error
        except aiohttp.ClientError as error:
            raise Unacknowledged("connection_failed") from error
        if response.status != 200 and response.headers.get("X-Slack-No-Retry") != "1":
            raise Unacknowledged("http_error")
        return _as_answer(text, response.content_type)


def signature(secret: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    """The headers by which the app knows that a request comes from Slack."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}


def _as_body(kind: str, payload: Json) -> tuple[bytes, str]:
    if kind == "events_api":
        return json.dumps(payload).encode(), "application/json"
    content: dict[str, Any] = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
    return urlencode(content).encode(), "application/x-www-form-urlencoded"


def _as_answer(text: str, content_type: str) -> Json:
    if not text.strip():
        return {}
    if content_type == "application/json":
        answer: Json = json.loads(text)
        return answer
    return {"text": text}
