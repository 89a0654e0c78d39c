"""The choices that replies offer: each can be typed, and a button that could not carry its own is looked up."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from bot.commands import Request, parse_command
from bot.context import Context
from bot.dialogs.general import starters
from bot.replies import BODIES, Choice
from storage.threads import messages_of

LOOKED_AT = 20
"""Messages, from the newest, among whose choices a typed label is looked for."""


def choices_in(reply: object) -> Iterator[Choice]:
    """Every choice of a reply, those of its parts included."""
    if isinstance(reply, Choice):
        yield reply
    elif isinstance(reply, tuple):
        for part in reply:
            yield from choices_in(part)
    elif is_dataclass(reply):
        for field in fields(reply):
            yield from choices_in(getattr(reply, field.name))


async def typed_choice(context: Context) -> Request | None:
    """The command behind a label that was typed instead of pressed: of what the thread offers, else of the starters."""
    said = context.turn.text.strip().casefold()
    messages = await messages_of(context.session, context.thread.id)
    offered = [choice for message in reversed(messages[-LOOKED_AT:]) for choice in choices_in(_body(message.body))]
    for choice in (*offered, *starters("en"), *starters("zh-CN")):
        if choice.label.casefold() == said:
            return parse_command(choice.say)
    return None


def _body(body: object) -> object:
    return BODIES.validate_python(body)
