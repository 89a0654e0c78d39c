"""A form as a modal, and what was filled in."""

from collections.abc import Iterator, Mapping
from typing import Any

from bot.replies import Form, FormField
from bot.slack.fitting import marked, shorten
from bot.slack.layout import HEADER_CHARACTERS

FORM = "tunesmith_form"
"""The view's ``callback_id``."""
OPEN_FORM = "open_form"
RATE = "rate"
VALUE = "value"
"""The ``action_id`` of every input."""

MOST_BLOCKS = 100
TITLE_CHARACTERS = 24
INTRO_CHARACTERS = 3000
LABEL_CHARACTERS = 2000
INPUT_CHARACTERS = 3000
NAME_CHARACTERS = 255
OPTION_CHARACTERS = 75
VALUE_CHARACTERS = 150
MOST_OPTIONS = 100

View = dict[str, Any]


def form_view(form: Form, *, metadata: str) -> View:
    """The modal: sections under headings, a field an input, its name the ``block_id``."""
    return {
        "type": "modal",
        "callback_id": FORM,
        "title": _plain(form.title, TITLE_CHARACTERS),
        "submit": _plain(form.submit_label, TITLE_CHARACTERS),
        "private_metadata": metadata,
        "blocks": list(_blocks(form))[:MOST_BLOCKS],
    }


def read_answers(view: Mapping[str, Any]) -> dict[str, str]:
    """What was filled in, by field; an empty text for an emptied one."""
    answers = {}
    for name, inputs in view["state"]["values"].items():
        given = inputs.get(VALUE)
        if given is not None:
            answers[str(name)] = _given(given)
    return answers


def field_errors(form: Form) -> dict[str, str]:
    """What is wrong, by field, as a submission is answered."""
    return {
        field.name: shorten(field.error, LABEL_CHARACTERS)
        for part in form.sections
        for field in part.fields
        if field.error
    }


def _blocks(form: Form) -> Iterator[dict[str, Any]]:
    if form.intro.strip():
        yield {"type": "section", "text": {"type": "mrkdwn", "text": marked(form.intro, INTRO_CHARACTERS)}}
    seen: set[str] = set()
    for part in form.sections:
        if part.title.strip():
            yield {"type": "header", "text": _plain(part.title, HEADER_CHARACTERS)}
        for field in part.fields:
            name = field.name[:NAME_CHARACTERS]
            if name and name not in seen:
                seen.add(name)
                yield _input(field, name)


def _input(field: FormField, name: str) -> dict[str, Any]:
    made = {
        "type": "input",
        "block_id": name,
        # Slack says so beside the label, and insists on all others. An emptied text is a value too: "none".
        "optional": field.kind == "text" or not field.value,
        "label": _plain(field.label, LABEL_CHARACTERS),
        "element": _menu(field) if field.options else _line(field),
    }
    return {**made, "hint": _plain(field.help, LABEL_CHARACTERS)} if field.help.strip() else made


def _line(field: FormField) -> dict[str, Any]:
    element = {"type": "plain_text_input", "action_id": VALUE}
    return {**element, "initial_value": field.value[:INPUT_CHARACTERS]} if field.value else element


def _menu(field: FormField) -> dict[str, Any]:
    options = [
        {"text": _plain(choice.label, OPTION_CHARACTERS), "value": choice.say[:VALUE_CHARACTERS] or "…"}
        for choice in field.options[:MOST_OPTIONS]
    ]
    chosen = [option for option in options if option["value"] == field.value]
    element = {"type": "static_select", "action_id": VALUE, "options": options}
    return {**element, "initial_option": chosen[0]} if chosen else element


def _given(given: Mapping[str, Any]) -> str:
    option = given.get("selected_option")
    if option is not None:
        return str(option.get("value") or "")
    return str(given.get("value") or "")


def _plain(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": shorten(text.strip(), limit) or "…", "emoji": False}
