"""Things by the name that a person typed, and what to say where there is none of that name."""

from collections.abc import Sequence

from rapidfuzz import process

from bot.context import Context
from bot.replies import Choice, Text


async def say_no_such(context: Context, kind: str, name: str, names: Sequence[str], *, command: str) -> None:
    """Say that there is no run, model or service (``kind``) of that name, with the nearest one to press."""
    found = process.extractOne(name, names, score_cutoff=50) if names else None
    if found is None:
        listing = {"run": "/runs", "model": "/models", "service": "/services"}[kind]
        text = context.texts(f"unknown.{kind}", name=name)
        await context.refuse(Text(markdown=text, choices=(Choice(say=listing, label=listing),), tone="warning"))
        return
    nearest = found[0]
    text = context.texts(f"unknown.{kind}.nearest", name=name, nearest=nearest)
    again = Choice(say=f"/{command} {nearest}", label=f"/{command} {nearest}")
    await context.refuse(Text(markdown=text, choices=(again,), tone="warning"))


async def say_deleted(context: Context, name: str) -> None:
    """Say that there was a run of that name, and what it made, until somebody deleted it."""
    await context.refuse(Text(markdown=context.texts("run.deleted", name=name), tone="warning"))
