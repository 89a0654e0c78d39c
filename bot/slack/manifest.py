"""The app's manifest, made from the table of commands: what is pasted into Slack to make the app."""

import json
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from bot.dialogs.general import starters
from bot.slack.words import SLASH_COMMANDS
from bot.texts import texts

SCOPES = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:history",
    "mpim:read",
    "users:read",
)
EVENTS = (
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
    "tokens_revoked",
)
NEW_FINETUNING = "new_finetuning"
FINETUNE_FILE = "finetune_file"
LONGEST_HINT = 100


def manifest(*, address: str | None = None, is_distributed: bool = False) -> dict[str, Any]:
    """The manifest: Socket Mode, or HTTP where the public ``address`` of the server is given.

    ``is_distributed``: to be installed in several workspaces, with tokens that are renewed.
    """
    text = texts("en")
    events_url = f"{address.rstrip('/')}/slack/events" if address else None
    where = {"url": events_url} if events_url else {}
    request = {"request_url": events_url} if events_url else {}
    redirect = {"redirect_urls": [f"{address.rstrip('/')}/slack/oauth_redirect"]} if address and is_distributed else {}
    return {
        "display_information": {
            "name": "Tunesmith",
            "description": text("slack.description"),
            "background_color": "#0f5257",
        },
        "features": {
            "agent_view": {
                "agent_description": text("slack.description"),
                "suggested_prompts": [{"title": choice.label, "message": choice.label} for choice in starters("en")],
            },
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": "Tunesmith", "always_online": True},
            "shortcuts": [
                {
                    "name": text("slack.shortcut.finetune_file"),
                    "type": "message",
                    "callback_id": FINETUNE_FILE,
                    "description": text("slack.shortcut.finetune_file.what"),
                },
                {
                    "name": text("slack.shortcut.new_finetuning"),
                    "type": "global",
                    "callback_id": NEW_FINETUNING,
                    "description": text("slack.shortcut.new_finetuning.what"),
                },
            ],
            "slash_commands": [_slash_command(name, where) for name in SLASH_COMMANDS],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}, **redirect},
        "settings": {
            "event_subscriptions": {**request, "bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True, **request},
            "org_deploy_enabled": False,
            "socket_mode_enabled": events_url is None,
            "token_rotation_enabled": is_distributed,
        },
    }


def as_yaml(content: dict[str, Any]) -> str:
    """The manifest as it is pasted."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    stream = StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def as_json_text(content: dict[str, Any]) -> str:
    """The manifest as JSON."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _slash_command(name: str, where: dict[str, str]) -> dict[str, Any]:
    text = texts("en")
    if name == "tune":
        hint, what = text("slack.tune.usage"), text("slack.tune")
    else:
        usage, what = text(f"command.{name}.usage"), text(f"command.{name}")
        hint = usage.strip("`").removeprefix(f"/{name}").strip()
    command = {"command": f"/{name}", "description": what, "should_escape": False, **where}
    return {**command, "usage_hint": hint[:LONGEST_HINT]} if hint else command
