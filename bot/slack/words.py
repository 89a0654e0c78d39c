"""What people write in Slack, as they meant it: Slack's escapes undone, mentions of the app taken out."""

import html
import re

from bot.commands import COMMANDS

SLASH_COMMANDS = ("finetune", "tune", "models", "runs", "services")
"""Slack's own slash commands of ours, few since all apps share one list; ``/tune`` reaches all the others."""

_LINK = re.compile(r"<(?P<kind>[@#!]?)(?P<target>[^<>|]*)(?:\|(?P<label>[^<>]*))?>")
_BANG = re.compile(r"!(?P<name>[A-Za-z]+)")
_NAMES = frozenset(command.name for command in COMMANDS)


def plain_words(text: str, *, app_user: str | None = None) -> str:
    """The words of a message: links and channels by what the eye sees, the mention of the app gone.

    ``!status`` is ``/status``, since Slack allows no slash command in a thread; ``!wow`` is just said. A mention that
    is followed by nothing but the name of a command is that command.
    """
    mention = f"<@{app_user}>" if app_user else ""
    is_to_app = bool(mention) and mention in text
    words = html.unescape(_LINK.sub(_seen, text.replace(mention, " ") if is_to_app else text))
    words = re.sub(r"[ \t]{2,}", " ", words).strip() if is_to_app else words.strip()
    if is_to_app and words.lower() in _NAMES:
        return f"/{words.lower()}"
    banged = _BANG.match(words)
    return f"/{words[1:]}" if banged and banged["name"].lower() in _NAMES else words


def command_words(command: str, text: str) -> str:
    """What a slash command of Slack asks for: ``/tune status x`` is ``/status x``, ``/tune`` alone asks for help."""
    arguments = text.strip()
    if command != "/tune":
        return f"{command} {arguments}".strip()
    return f"/{arguments.lstrip('/!')}" if arguments else "/help"


def _seen(found: re.Match[str]) -> str:
    kind, target, label = found["kind"], found["target"], found["label"]
    if kind in {"@", "!"}:
        return f"@{label or target}"
    if kind == "#":
        return f"#{label or target}"
    # A link: Slack writes <http://a.b|a.b> for what was typed as a.b, and <mailto:x@y|x@y> for x@y.
    return label if label and target.removeprefix("mailto:").removeprefix("http://").startswith(label) else target
