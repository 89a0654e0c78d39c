"""Replies as what Chainlit draws: a step (the message) and at most one custom element in it. Pure.

The message carries what is Markdown, headed by its author; the element (``public/elements/<name>.jsx``) carries what is
structured, buttons included. Both have the message's own id, so that showing a message again changes it in place.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from bot.replies import (
    Answer,
    Comparison,
    DatasetCard,
    Form,
    Listing,
    Log,
    Notice,
    Question,
    Reply,
    Review,
    RunCard,
    Said,
    Text,
)

ASSISTANT = "Tunesmith"
"""Who speaks, except in a model's answers."""

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One message as Chainlit's client takes it."""

    step: Json
    element: Json | None = None


@dataclass(frozen=True, kw_only=True)
class Look:
    """What differs between the kinds of replies."""

    author: str = ASSISTANT
    heading: Literal["assistant", "tuned", "base", "none"] = "assistant"
    markdown: str = ""
    element: str | None = None
    props: Mapping[str, Any] | None = None
    is_streaming: bool = False


def draw(body: Said | Reply, *, message_id: str, thread_key: str, created_at: datetime | None = None) -> Drawing:
    """What is shown of ``body`` in the thread that Chainlit knows as ``thread_key``."""
    if isinstance(body, Said):
        said = _step(message_id, thread_key, created_at, kind="user_message", output=body.text)
        files = _element(message_id, thread_key, "Files", {"names": list(body.files)}) if body.files else None
        return Drawing(step=said, element=files)
    look = _look(body)
    step = _step(
        message_id,
        thread_key,
        created_at,
        kind="assistant_message",
        output=_headed(look),
        author=look.author,
        is_streaming=look.is_streaming,
        avatar=_avatar(look),
    )
    if look.element is None:
        return Drawing(step=step)
    return Drawing(step=step, element=_element(message_id, thread_key, look.element, look.props or {}))


def _look(reply: Reply) -> Look:
    match reply:
        case Text(tone="plain", choices=()):
            return Look(markdown=reply.markdown)
        case Text():
            return _carded("Text", reply, markdown=reply.markdown)
        case Notice():
            return _carded("Notice", reply, heading="none")
        case Question():
            return _carded("Question", reply, markdown=reply.markdown)
        case Answer():
            return _answer(reply)
        case Comparison():
            rows = tuple(
                replace(row, base=tame_markdown(row.base), tuned=tame_markdown(row.tuned)) for row in reply.rows
            )
            return _carded("Comparison", replace(reply, rows=rows))
        case DatasetCard() | Review() | Form() | RunCard() | Listing() | Log():
            return _carded(type(reply).__name__, reply)


def _carded(
    element: str, reply: Reply, *, markdown: str = "", heading: Literal["assistant", "none"] = "assistant"
) -> Look:
    props = asdict(reply)
    if markdown:
        del props["markdown"]
    return Look(heading=heading, markdown=markdown, element=element, props=props)


def _answer(answer: Answer) -> Look:
    needs_element = bool(answer.choices or answer.note)
    return Look(
        author=answer.author,
        heading=answer.speaker,
        markdown=answer.markdown,
        element="Answer" if needs_element else None,
        props={"state": answer.state, "note": answer.note, "choices": [asdict(choice) for choice in answer.choices]},
        is_streaming=answer.state == "streaming",
    )


HEADINGS = {"assistant": "######", "base": "######", "tuned": "#####", "none": ""}
"""The author stands above the text as a small heading; the style sheet gives a tuned model's the accent."""


def _headed(look: Look) -> str:
    if look.heading == "none":
        return ""
    heading = f"{HEADINGS[look.heading]} {escape_markdown(look.author)}"
    return f"{heading}\n\n{tame_markdown(look.markdown)}" if look.markdown else heading


def escape_markdown(text: str) -> str:
    """``text`` so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+\-.!|~&:$])", r"\\\1", text.replace("\n", " "))


CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
FOREIGN_PICTURE = re.compile(r"!(?=\[[^\]]*\]\(\s*(?:https?:)?//)")
DIRECTIVE = re.compile(r":(?=[A-Za-z])")


def tame_markdown(markdown: str) -> str:
    """``markdown`` without what Chainlit's renderer would do beyond it.

    It takes ``:word`` for a directive and swallows it ("Answer:Paris" would lose Paris), and it would fetch pictures
    from foreign hosts: those become links. Code stays as it is.
    """
    pieces = CODE.split(markdown)
    pieces[::2] = [DIRECTIVE.sub(r"\:", FOREIGN_PICTURE.sub("", piece)) for piece in pieces[::2]]
    return "".join(pieces)


def _avatar(look: Look) -> str:
    return "base" if look.heading == "base" else ASSISTANT


def _step(
    message_id: str,
    thread_key: str,
    created_at: datetime | None,
    *,
    kind: Literal["user_message", "assistant_message"],
    output: str,
    author: str = "",
    is_streaming: bool = False,
    avatar: str = ASSISTANT,
) -> Json:
    step: Json = {
        "id": message_id,
        "threadId": thread_key,
        "type": kind,
        "name": author,
        "output": output,
        "streaming": is_streaming,
        "isError": False,
        "command": None,
        "metadata": {"avatarName": avatar},
    }
    if created_at:
        # The client keeps the time that it has where this is missing.
        step["createdAt"] = step["start"] = step["end"] = created_at.isoformat()
    return step


def _element(message_id: str, thread_key: str, name: str, props: Mapping[str, Any]) -> Json:
    return {
        "id": message_id,
        "threadId": thread_key,
        "forId": message_id,
        "type": "custom",
        "name": name,
        "display": "inline",
        "props": dict(props),
    }
