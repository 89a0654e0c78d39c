"""What a button carries, and how it is read back when it is pressed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.replies import Choice
from bot.slack.fitting import shorten

SAY = "say"
PICK = "pick"
LONGEST_VALUE = 2000
LONGEST_LABEL = 75
MOST_OPTIONS = 100
SHORT_DETAIL = 75

Element = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """A button that was pressed, or an entry that was chosen."""

    say: str
    about: str | None
    label: str
    of: str | None
    """The message whose choice of this label is meant, where the button was too small for what it says."""


def button(choice: Choice, *, message_id: str, about: str | None, place: str) -> Element:
    """A button; ``place`` is unique in its message."""
    value = _written({"say": choice.say, "about": about, "label": choice.label})
    if len(value) > LONGEST_VALUE:
        value = _written({"of": message_id, "about": about, "label": choice.label})
    element = {
        "type": "button",
        "action_id": f"{SAY}:{place}",
        "text": {"type": "plain_text", "text": shorten(choice.label.strip(), LONGEST_LABEL) or "…", "emoji": False},
        "value": value if len(value) <= LONGEST_VALUE else _written({"of": message_id, "label": choice.label[:200]}),
    }
    return element if choice.style == "plain" else {**element, "style": choice.style}


def menu(choices: Sequence[Choice], *, about: str, place: str) -> Element:
    """A menu of a question's choices: an entry says its number."""
    options = [
        {
            "text": {"type": "plain_text", "text": shorten(f"{number}. {choice.label}", LONGEST_LABEL), "emoji": False},
            "value": str(number),
            **(
                {
                    "description": {
                        "type": "plain_text",
                        "text": shorten(choice.detail.strip(), SHORT_DETAIL),
                        "emoji": False,
                    }
                }
                if choice.detail.strip()
                else {}
            ),
        }
        for number, choice in enumerate(choices[:MOST_OPTIONS], 1)
    ]
    return {
        "type": "static_select",
        "action_id": f"{PICK}:{place}:{shorten(about, 200)}",
        "placeholder": {"type": "plain_text", "text": f"1 – {len(options)}", "emoji": False},
        "options": options,
    }


def read_press(action: Mapping[str, Any]) -> Pressed | None:
    """What was pressed; None for an element that does not speak, or one that is not ours."""
    kind, _, rest = str(action.get("action_id", "")).partition(":")
    if kind == PICK:
        option = action.get("selected_option") or {}
        number, label = str(option.get("value", "")), str((option.get("text") or {}).get("text", ""))
        return Pressed(say=number, about=rest.partition(":")[2] or None, label=label, of=None) if number else None
    if kind != SAY:
        return None
    try:
        value = json.loads(str(action.get("value", "")))
    except ValueError:
        return None
    if not isinstance(value, dict) or not (value.get("say") or value.get("of")):
        return None
    return Pressed(
        say=str(value.get("say", "")),
        about=value.get("about") or None,
        label=str(value.get("label", "")),
        of=value.get("of") or None,
    )


def _written(value: Mapping[str, str | None]) -> str:
    given = {name: text for name, text in value.items() if text is not None}
    return json.dumps(given, ensure_ascii=False, separators=(",", ":"))
