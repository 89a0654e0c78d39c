"""An open page, as far as the server can tell: Chainlit's client protocol over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import socketio

Json = dict[str, Any]


@dataclass(kw_only=True)
class Page:
    """A page of one thread; it keeps messages and elements as Chainlit's client does."""

    address: str
    http: httpx.AsyncClient
    socket: socketio.AsyncClient
    session_id: str
    messages: dict[str, Json] = field(default_factory=dict)
    elements: dict[str, Json] = field(default_factory=dict)
    events: list[tuple[str, Any]] = field(default_factory=list)
    thread_id: str = ""
    is_loading: bool = False
    has_news: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> None:
        """Connect, or connect anew: the server knows the page by its session."""
        headers = {name: self.http.headers[name] for name in ("origin", "accept-language")}
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        await self.socket.connect(
            self.address,
            socketio_path="/ws/socket.io",
            headers=headers,
            auth={"sessionId": self.session_id, "clientType": "webapp", "threadId": self.thread_id},
            transports=["websocket"],
            # As patient as a browser; a server that has just begun beside a busy model server wants more than a second.
            wait_timeout=60,
        )
        await self.socket.emit("connection_successful")

    def take(self, event: str, data: Any) -> None:
        """Do with an event what the client does."""
        self.events.append((event, data))
        self.has_news.set()
        match event:
            case "new_message":
                self.messages[data["id"]] = self.messages.get(data["id"], {}) | data
            case "stream_token":
                self.messages[data["id"]]["output"] += data["token"]
            case "element":
                self.elements[data["id"]] = data
            case "remove_element":
                self.elements.pop(data["id"], None)
            case "first_interaction":
                self.thread_id = data["thread_id"]
            case "resume_thread":
                self.thread_id = data["id"]
                self.messages = {step["id"]: step for step in data["steps"]}
                self.elements = {element["id"]: element for element in data["elements"]}
            case "task_start" | "task_end":
                self.is_loading = event == "task_start"

    def texts(self) -> list[str]:
        """What stands in the thread, from top to bottom."""
        return [message["output"] for message in self.messages.values()]

    def named(self, event: str) -> list[Any]:
        """The data of all events of that name."""
        return [data for name, data in self.events if name == event]

    async def say(self, text: str, *, files: tuple[str, ...] = (), command: str | None = None) -> str:
        """Write a message; returns its id."""
        message_id = str(uuid4())
        message: Json = {"id": message_id, "type": "user_message", "output": text, "createdAt": "2026-11-25T00:00:00Z"}
        message |= {"threadId": "", "name": "local", "command": command}
        self.take("new_message", message)
        references = [{"id": file_id} for file_id in files]
        await self.socket.emit("client_message", {"message": message, "fileReferences": references})
        return message_id

    async def press(self, **payload: Any) -> httpx.Response:
        """Press a button of a card."""
        action = {"name": "say", "payload": {"id": str(uuid4())} | payload}
        return await self.http.post("/project/action", json={"sessionId": self.session_id, "action": action})

    async def upload(self, name: str, content: bytes) -> str:
        """Send a file; returns its id for a message."""
        response = await self.http.post(
            "/project/file", params={"session_id": self.session_id}, files={"file": (name, content)}
        )
        response.raise_for_status()
        return str(response.json()["id"])

    async def until(self, is_so: Callable[[], object], *, seconds: float = 60) -> None:
        """Wait until an event makes something hold."""
        async with asyncio.timeout(seconds):
            while not is_so():
                self.has_news.clear()
                await self.has_news.wait()


@asynccontextmanager
async def open_page(address: str, *, thread_id: str = "", language: str = "en-US") -> AsyncIterator[Page]:
    """Open the first screen, or a thread, and be connected."""
    async with httpx.AsyncClient(base_url=address, headers={"accept-language": language}, timeout=60) as http:
        (await http.get("/")).raise_for_status()
        http.headers["origin"] = address
        socket = socketio.AsyncClient(reconnection=False)
        page = Page(address=address, http=http, socket=socket, session_id=str(uuid4()), thread_id=thread_id)
        socket.on("*", page.take)
        await page.connect()
        try:
            await page.until(lambda: page.named("set_commands"))
            yield page
        finally:
            await socket.disconnect()
