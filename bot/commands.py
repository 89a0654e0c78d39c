"""The table of commands: it feeds the help, the web's "/" menu, the terminal's completion and the docs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rapidfuzz import process

from bot.context import Context
from bot.ingest import Ingested


@dataclass(frozen=True, kw_only=True)
class Request:
    """A command as it was given."""

    name: str
    arguments: str = ""
    """All that followed the name, as typed."""
    files: tuple[Ingested, ...] = ()
    """What came with it, already checked and stored."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One row of the table. Its texts are ``command.<name>`` (one line) and ``command.<name>.usage``."""

    name: str
    icon: str
    """Of lucide, for the web's menu."""
    section: str
    """Of the help: ``tune``, ``runs``, ``models``, ``chat`` or ``general``."""


COMMANDS = tuple(
    Command(name=name, icon=icon, section=section)
    for name, icon, section in (
        ("finetune", "sliders-horizontal", "tune"),
        ("dataset", "file-json", "tune"),
        ("datasets", "database", "tune"),
        ("runs", "list", "runs"),
        ("status", "activity", "runs"),
        ("logs", "scroll-text", "runs"),
        ("stop", "square", "runs"),
        ("retry", "rotate-ccw", "runs"),
        ("delete", "trash-2", "runs"),
        ("models", "boxes", "models"),
        ("deploy", "rocket", "models"),
        ("undeploy", "power-off", "models"),
        ("services", "server", "models"),
        ("key", "key-round", "models"),
        ("chat", "message-circle", "chat"),
        ("base", "circle", "chat"),
        ("tuned", "circle-dot", "chat"),
        ("compare", "columns-2", "chat"),
        ("system", "scroll", "chat"),
        ("params", "thermometer", "chat"),
        ("leave", "log-out", "chat"),
        ("language", "languages", "general"),
        ("new", "plus", "general"),
        ("help", "circle-help", "general"),
    )
)

Handler = Callable[[Context, Request], Awaitable[None]]


def parse_command(text: str) -> Request | None:
    """The command that ``text`` is, known or not; None when it is plain words."""
    if not text.startswith("/") or not text[1:2].isalpha():
        return None
    name, _, arguments = text[1:].partition(" ")
    if "\n" in name:
        name, _, arguments = text[1:].partition("\n")
    return Request(name=name.lower(), arguments=arguments.strip())


def nearest_command(name: str) -> str | None:
    """The command that a misspelt name was probably meant to be."""
    found = process.extractOne(name, [command.name for command in COMMANDS], score_cutoff=60)
    return found[0] if found else None
