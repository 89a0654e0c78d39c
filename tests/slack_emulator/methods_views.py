"""Modals and homes: ``views.*``."""

import time
from typing import TYPE_CHECKING

from tests.slack_emulator.api import Call, method
from tests.slack_emulator.checks import checked_view
from tests.slack_emulator.payloads import view_json
from tests.slack_emulator.showing import MOST_VIEWS, new_view, replace_view
from tests.slack_emulator.state import Json, Refused, Trigger, View

if TYPE_CHECKING:
    from tests.slack_emulator.people import Person


@method("views.open", required="view", optional="trigger_id interactivity_pointer", tier=4)
def open_view(call: Call) -> Json:
    content = checked_view(call.workspace, call.get("view"), "modal")
    person, _ = _triggered(call)
    view = new_view(person, content)
    person.views = [view]
    return {"view": view_json(call.workspace, view)}


@method("views.push", required="view", optional="trigger_id interactivity_pointer", tier=4)
def push_view(call: Call) -> Json:
    content = checked_view(call.workspace, call.get("view"), "modal")
    person, trigger = _triggered(call)
    below = next((view for view in person.views if view.id == trigger.view_id), None)
    if below is None:
        raise Refused("not_found")
    if len(person.views) >= MOST_VIEWS:
        raise Refused("push_limit_reached")
    view = new_view(person, content, below=below)
    person.views.append(view)
    return {"view": view_json(call.workspace, view)}


@method("views.update", required="view", optional="view_id external_id hash", tier=4)
def update_view(call: Call) -> Json:
    content = checked_view(call.workspace, call.get("view"), "modal")
    person, view = _find(call)
    _check_hash(call, view)
    replace_view(person, view, content)
    return {"view": view_json(call.workspace, view)}


@method("views.publish", required="user_id view", optional="hash", tier=4)
def publish_view(call: Call) -> Json:
    content = checked_view(call.workspace, call.get("view"), "home")
    person = call.person("user_id")
    if person.home is None:
        person.home = new_view(person, content)
    else:
        _check_hash(call, person.home)
        replace_view(person, person.home, content)
    return {"view": view_json(call.workspace, person.home)}


def _triggered(call: Call) -> tuple["Person", Trigger]:
    """Whom the trigger allows to show something, and the trigger, which is used up by it."""
    trigger = call.slack.triggers.get(str(call.get("trigger_id")))
    if trigger is None or trigger.team_id != call.workspace.team_id:
        raise Refused("invalid_trigger_id")
    if time.monotonic() > trigger.expires_at:
        raise Refused("expired_trigger_id")
    if trigger.is_used:
        raise Refused("exchanged_trigger_id")
    trigger.is_used = True
    return call.workspace.users[trigger.user], trigger


def _find(call: Call) -> tuple["Person", View]:
    wanted, external = call.get("view_id"), call.get("external_id")
    for person in call.workspace.users.values():
        for view in person.views:
            if wanted == view.id or (external and external == view.content.get("external_id")):
                return person, view
    raise Refused("not_found")


def _check_hash(call: Call, view: View) -> None:
    if call.get("hash") is not None and call.get("hash") != view.hash:
        raise Refused("hash_conflict")
