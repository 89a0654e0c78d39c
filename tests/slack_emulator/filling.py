"""What stands in the inputs of a modal when a person has filled it."""

from collections.abc import Mapping
from typing import Any

from tests.slack_emulator.state import Json, Refused, View
from tests.slack_emulator.words import options, plain

REQUIRED = "Please complete this required field."
MENUS = frozenset({"static_select", "radio_buttons"})
SEVERAL = frozenset({"checkboxes", "multi_static_select"})


def fields(view: View) -> dict[str, Json]:
    """The input blocks of a modal, by ``block_id``."""
    return {block["block_id"]: block for block in view.blocks if block["type"] == "input"}


def fill(view: View, given: Mapping[str, Any]) -> tuple[Json, dict[str, str]]:
    """The ``state.values`` of a modal, and what Slack itself refuses before the app hears of it, by field.

    ``given``: what the person changed, by ``block_id``: words typed, an option's text or value, a list for checkboxes.
    Raises Refused where there is no such field or option.
    """
    known = fields(view)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise Refused("no_such_field", fields=unknown, known=sorted(known))
    values: Json = {}
    errors: dict[str, str] = {}
    for block_id, block in known.items():
        element = block["element"]
        state = _state(element, given.get(block_id))
        values[block_id] = {element["action_id"]: state}
        error = _problem(element, state, is_optional=bool(block.get("optional")))
        if error:
            errors[block_id] = error
    return values, errors


def option(element: Mapping[str, Any], wanted: str) -> Json:
    """The entry with that text or value. Raises Refused where there is none."""
    for each in options(element):
        if wanted in {plain(each.get("text")), each.get("value")}:
            return each
    raise Refused("no_such_option", wanted=wanted, options=[plain(each.get("text")) for each in options(element)])


def _state(element: Json, given: Any) -> Json:
    kind = element["type"]
    if kind in MENUS:
        chosen = element.get("initial_option") if given is None else option(element, str(given)) if given else None
        return {"type": kind, "selected_option": chosen}
    if kind in SEVERAL:
        wanted = given.split(",") if isinstance(given, str) else given
        chosen_options = (
            element.get("initial_options") or []
            if wanted is None
            else [option(element, str(each).strip()) for each in wanted if str(each).strip()]
        )
        return {"type": kind, "selected_options": chosen_options}
    value = element.get("initial_value") if given is None else str(given)
    return {"type": kind, "value": value or None}


def _problem(element: Json, state: Json, *, is_optional: bool) -> str:
    is_empty = not (state.get("value") or state.get("selected_option") or state.get("selected_options"))
    if is_empty:
        return "" if is_optional else REQUIRED
    length = len(state.get("value") or "")
    if length > int(element.get("max_length", 3000)):
        return f"Must be at most {element.get('max_length', 3000)} characters."
    if "value" in state and length < int(element.get("min_length", 0)):
        return f"Must be at least {element['min_length']} characters."
    return ""
