"""The page that draws the workspace: its files, its state, and what a person does there."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from aiohttp import web

from tests.slack_emulator.delivery import OperationTimeout
from tests.slack_emulator.emulator import SlackEmulator
from tests.slack_emulator.page_state import snapshot
from tests.slack_emulator.people import Person
from tests.slack_emulator.state import Channel, Json, Refused

FOLDER = Path(__file__).parent / "page"
LONGEST_WAIT_S = 20.0

Act = Callable[[Person, Json], Awaitable[object]]


def add_page(slack: SlackEmulator) -> None:
    """Add the page's routes; before the emulator starts."""
    pages = Pages(slack)
    slack.application.on_cleanup.append(pages.close)
    routes = slack.application.router
    routes.add_get("/", pages.index)
    routes.add_static("/page/static", FOLDER)
    routes.add_get("/page/state", pages.state)
    routes.add_get("/page/file/{file}", pages.file)
    routes.add_post("/page/act", pages.act)
    routes.add_post("/page/post", pages.post)


class Pages:
    """Answers what the page asks."""

    def __init__(self, slack: SlackEmulator) -> None:
        self._slack = slack
        self._folder = TemporaryDirectory(prefix="slack-emulator-")

    async def index(self, _: web.Request) -> web.StreamResponse:
        """The page itself."""
        return web.FileResponse(FOLDER / "index.html")

    async def state(self, request: web.Request) -> web.StreamResponse:
        """What a person sees, as soon as it is newer than the version that the page has, or after a while."""
        person = self._person(request.query.get("person"))
        channel = person.workspace.channels.get(request.query.get("channel", ""), person.dm)
        if person.id not in channel.members:
            channel = person.dm
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_WAIT_S):
                await self._slack.changes.after(int(request.query.get("version", "-1")))
        return web.json_response(snapshot(self._slack, person, channel))

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Do something as a person."""
        asked: Json = await request.json()
        return await _answered(ACTS[asked["act"]](self._person(asked["person"]), asked))

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Say something, with files."""
        asked = await request.post()
        person = self._person(str(asked["person"]))
        channel = person.workspace.channels[str(asked["channel"])]
        dropped = [file for file in asked.getall("files", []) if isinstance(file, web.FileField)]
        files = [(file.filename, await asyncio.to_thread(self._keep, file)) for file in dropped]
        thread = str(asked["thread"]) or None
        return await _answered(person.post(channel, str(asked["text"]), thread=thread, files=files), name="ts")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """The bytes of a file."""
        file = self._slack.files.get(request.match_info["file"])
        if file is None or file.data is None or file.is_deleted:
            raise web.HTTPNotFound
        if isinstance(file.data, Path):
            return web.FileResponse(file.data)
        return web.Response(body=file.data, content_type=file.mimetype or "application/octet-stream")

    def _keep(self, file: web.FileField) -> Path:
        """Copy what was sent to a file that lives as long as the emulator: it may be a gigabyte."""
        path = Path(self._folder.name) / uuid4().hex
        with path.open("wb") as stream:
            shutil.copyfileobj(file.file, stream)
        return path

    async def close(self, _: web.Application) -> None:
        """Remove the files that were sent."""
        await asyncio.to_thread(self._folder.cleanup)

    def _person(self, wanted: str | None) -> Person:
        """The person of that id; anybody where the page knows nobody, as at first and after a restart."""
        people = [person for workspace in self._slack.workspaces.values() for person in workspace.users.values()]
        return next((person for person in people if person.id == wanted), people[0])


async def _answered(act: Awaitable[object], *, name: str = "done") -> web.StreamResponse:
    """What came of an act, or why Slack did not do it."""
    try:
        return web.json_response({name: await act})
    except Refused as refused:
        return web.json_response({"error": str(refused.more.get("reason", refused.error))})
    except OperationTimeout as error:
        return web.json_response({"error": str(error)})


async def _press(person: Person, asked: Json) -> None:
    wanted = asked["wanted"]
    if asked["where"] != "message":
        await person.press_in_view(wanted, is_home=asked["where"] == "home", given=asked.get("given"))
        return
    acts = {"button": person.press, "icon_button": person.press, "feedback_buttons": person.rate}
    await acts.get(asked["kind"], person.choose)(_channel(person, asked), asked["ts"], wanted)


async def _tab(person: Person, asked: Json) -> None:
    await (person.open_home() if asked["tab"] == "home" else person.open_messages_tab())


async def _slash(person: Person, asked: Json) -> object:
    return await person.slash(_channel(person, asked), asked["command"], asked["text"], thread=asked["thread"])


async def _message_shortcut(person: Person, asked: Json) -> None:
    await person.message_shortcut(_channel(person, asked), asked["ts"], asked["callback_id"])


def _channel(person: Person, asked: Json) -> Channel:
    return person.workspace.channels[asked["channel"]]


ACTS: dict[str, Act] = {
    "press": _press,
    "tab": _tab,
    "slash": _slash,
    "shortcut": lambda person, asked: person.shortcut(asked["callback_id"]),
    "message_shortcut": _message_shortcut,
    "submit": lambda person, asked: person.submit(asked["given"]),
    "close_modal": lambda person, _: person.close_modal(),
    "edit": lambda person, asked: person.edit(_channel(person, asked), asked["ts"], asked["text"]),
    "delete": lambda person, asked: person.delete(_channel(person, asked), asked["ts"]),
}
"""What the page can do, by name."""
