"""The page on which a person allows the app what it asks for, as a browser sees it."""

import html
from typing import TYPE_CHECKING

from aiohttp import web

from tests.slack_emulator.oauth import allow
from tests.slack_emulator.state import Refused

if TYPE_CHECKING:
    from tests.slack_emulator.emulator import SlackEmulator

PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{app} asks for access</title></head>
<body><h1>{app} asks for access</h1><ul>{scopes}</ul>{people}</body></html>"""
BUTTON = """<form method="post"><input type="hidden" name="user" value="{user}">
<button>Allow as {name} in {team}</button></form>"""


async def ask(slack: "SlackEmulator", request: web.Request) -> web.Response:
    """A button for each person of each workspace: here nobody signs in."""
    people = [person for workspace in slack.workspaces.values() for person in workspace.users.values()]
    buttons = [
        BUTTON.format(user=person.id, name=html.escape(person.name), team=html.escape(person.workspace.name))
        for person in people
    ]
    scopes = [f"<li>{html.escape(scope)}</li>" for scope in request.query.get("scope", "").split(",")]
    page = PAGE.format(app=html.escape(slack.app_name), scopes="".join(scopes), people="".join(buttons))
    return web.Response(text=page, content_type="text/html")


async def allowed(slack: "SlackEmulator", request: web.Request) -> web.Response:
    """Send the browser back to the app, with a code."""
    user = str((await request.post()).get("user", ""))
    for workspace in slack.workspaces.values():
        if user in workspace.users:
            try:
                return web.Response(status=302, headers={"Location": allow(workspace.users[user], str(request.url))})
            except Refused as refused:
                return web.Response(status=400, text=str(refused))
    return web.Response(status=400, text="user_not_found")
