"""A Slack of our own on 127.0.0.1: several workspaces, one app."""

import itertools
import secrets
from types import TracebackType
from typing import Any, Self

from aiohttp import web

import tests.slack_emulator.methods_assistant
import tests.slack_emulator.methods_auth
import tests.slack_emulator.methods_chat
import tests.slack_emulator.methods_conversations
import tests.slack_emulator.methods_files
import tests.slack_emulator.methods_streaming
import tests.slack_emulator.methods_views  # noqa: F401
from bot.slack.manifest import manifest as own_manifest
from tests.slack_emulator import api, file_routes, oauth, oauth_routes, response_routes
from tests.slack_emulator.changes import Changes
from tests.slack_emulator.delivery import PATIENT_S, Delivery
from tests.slack_emulator.faults import Faults
from tests.slack_emulator.limits import RateLimits
from tests.slack_emulator.state import File, Ids, Json, ResponseUrl, Token, Trigger
from tests.slack_emulator.workspace import Workspace

MOST_BYTES = 2 << 30


class SlackEmulator:
    """Begins with ``async with``; then its addresses and tokens are what the app is configured with.

    ``manifest``: what the app asked for; its own by default. Commands, shortcuts, scopes and events are those.
    ``checks_blocks``: False spares the few milliseconds that a check takes, for measurements in one process.
    ``speed``: how many times faster than Slack's minutes the rate limits are refilled here; 0: no limits.
    ``answer_s``: how long the app has to acknowledge, and a trigger to be used. Slack's own ``ANSWER_S`` is for what is
    about it: on a machine that does ten things at once, everything else would fail by chance.
    """

    def __init__(
        self,
        *,
        manifest: Json | None = None,
        speed: float = 1.0,
        faults: Faults | None = None,
        checks_blocks: bool = True,
        answer_s: float = PATIENT_S,
    ) -> None:
        content = own_manifest() if manifest is None else manifest
        features = content["features"]
        self.manifest = content
        self.checks_blocks = checks_blocks
        self.app_name: str = content["display_information"]["name"]
        self.commands = {command["command"] for command in features.get("slash_commands", ())}
        self.shortcuts = {(each["type"], each["callback_id"]) for each in features.get("shortcuts", ())}
        self.scopes: tuple[str, ...] = tuple(content["oauth_config"]["scopes"]["bot"])
        self.subscriptions = set(content["settings"]["event_subscriptions"]["bot_events"])
        self.redirect_urls: list[str] = list(content["oauth_config"].get("redirect_urls", ()))
        self.has_rotation = bool(content["settings"].get("token_rotation_enabled"))
        """Whether new tokens end after twelve hours, unless renewed."""
        self.codes: dict[str, oauth.Code] = {}
        self.ids = Ids()
        self.app_id = self.ids.new("A")
        self.app_token = f"xapp-1-{self.app_id}-{secrets.token_hex(16)}"
        self.signing_secret = secrets.token_hex(16)
        self.verification_token = secrets.token_hex(12)
        self.client_id = f"{self.ids.number()}.{self.ids.number()}"
        self.client_secret = secrets.token_hex(16)
        self.workspaces: dict[str, Workspace] = {}
        self.tokens: dict[str, Token] = {}
        self.files: dict[str, File] = {}
        self.uploads: dict[str, File] = {}
        self.triggers: dict[str, Trigger] = {}
        self.has_hard_history_limits = False
        """Whether threads are read as slowly as Slack lets distributed apps outside its marketplace."""
        self.trigger_seconds = answer_s
        self.stream_seconds = 300.0
        """After which a stream ends by itself. Slack does not say when; our reading is a few minutes."""
        self.looking_seconds = 0.2
        """Slack looks at an uploaded file before it may stand in a message; until then it has no ``mimetype``."""
        self.response_urls: dict[str, ResponseUrl] = {}
        self.calls: list[api.CallRecord] = []
        self.changes = Changes()
        self.faults = faults or Faults()
        self.limits = RateLimits(speed)
        self.delivery = Delivery(self, answer_s)
        self.address = ""
        """``http://127.0.0.1:PORT``, once it runs."""
        self.application = web.Application(client_max_size=MOST_BYTES)
        """Routes may be added before it begins."""
        self._runner = web.AppRunner(self.application, shutdown_timeout=0.5, access_log=None)
        self._secrets = itertools.count(1)
        self._add_routes()

    @property
    def api_url(self) -> str:
        return f"{self.address}/api/"

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0: any that is free."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.delivery.open()

    async def stop(self) -> None:
        """Break off every delivery and connection."""
        await self.delivery.close()
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def add_workspace(self, name: str, *, scopes: tuple[str, ...] | None = None, installed: bool = True) -> Workspace:
        """A workspace, with the app installed with these scopes (the manifest's by default), or without it."""
        workspace = Workspace(self, name)
        self.workspaces[workspace.team_id] = workspace
        if installed:
            self.install(workspace, scopes=scopes)
        self.changes.note()
        return workspace

    def install(self, workspace: Workspace, *, scopes: tuple[str, ...] | None = None) -> Token:
        """Give the app a token for a workspace."""
        prefix = "xoxe.xoxb-1" if self.has_rotation else "xoxb"
        value = f"{prefix}-{workspace.team_number}-{self.secret()}"
        token = Token(value=value, team_id=workspace.team_id, scopes=self.scopes if scopes is None else scopes)
        if self.has_rotation:
            oauth.renewed(self, token)
        self.tokens[value] = workspace.token = token
        return token

    def deliver_over_http(self, url: str | None) -> None:
        """Send events and acts to this address, signed; None: over the app's sockets."""
        self.delivery.url = url

    async def settled(self, within_s: float) -> None:
        """Return when every delivery was acknowledged or given up. Raises TimeoutError."""
        if not await self.delivery.settled(within_s):
            raise TimeoutError("deliveries are still under way")

    def secret(self) -> str:
        """A word that nobody guesses, no two alike."""
        return f"{secrets.token_hex(10)}{next(self._secrets):x}"

    def _add_routes(self) -> None:
        router = self.application.router
        router.add_route("*", "/api/{method}", self._bound(api.handle))
        router.add_get("/link/", self.delivery.link)
        router.add_post("/upload/v1/{secret}", self._bound(file_routes.upload))
        router.add_get("/files-pri/{file}/{name}", self._bound(file_routes.download))
        router.add_get("/files-pri/{file}/download/{name}", self._bound(file_routes.download))
        router.add_get("/oauth/v2/authorize", self._bound(oauth_routes.ask))
        router.add_post("/oauth/v2/authorize", self._bound(oauth_routes.allowed))
        router.add_post("/response/{team}/{secret}", self._bound(response_routes.respond))

    def _bound(self, handler: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            response: web.StreamResponse = await handler(self, request)
            return response

        return handle
