"""What the app's answer to an act does: to a modal, or as a message to the person."""

from typing import TYPE_CHECKING

from tests.slack_emulator.checks import checked_view
from tests.slack_emulator.filling import fields
from tests.slack_emulator.showing import MOST_VIEWS, message_of, new_view, replace_view
from tests.slack_emulator.state import Channel, Json, Refused, View

if TYPE_CHECKING:
    from tests.slack_emulator.people import Person


def show_ack(person: "Person", channel: Channel, answer: Json) -> None:
    """A slash command may be acknowledged with a message, which only the person sees unless it says otherwise."""
    if not (answer.get("text") or answer.get("blocks")):
        return
    workspace = person.workspace
    message = message_of(workspace, channel, answer)
    if answer.get("response_type") != "in_channel":
        message.ephemeral_to = person.id
    workspace.stand(channel, message)


def answer_submission(person: "Person", view: View, answer: Json) -> dict[str, str]:
    """Do what a ``response_action`` says; returns the errors by field.

    Raises Refused where the answer is none that Slack takes: the person sees that something went wrong.
    """
    action = answer.get("response_action")
    if action is None and not answer:
        person.views = [each for each in person.views if each is not view]
        return {}
    if action == "errors":
        return _errors(view, answer)
    if action == "clear":
        person.views = []
    elif action == "update":
        replace_view(person, view, checked_view(person.workspace, answer.get("view"), "modal"))
    elif action == "push":
        if len(person.views) >= MOST_VIEWS:
            raise Refused("push_limit_reached")
        person.views.append(new_view(person, checked_view(person.workspace, answer.get("view"), "modal"), below=view))
    else:
        raise Refused("bad_response_action", answer=answer)
    return {}


def _errors(view: View, answer: Json) -> dict[str, str]:
    errors = answer.get("errors")
    if not isinstance(errors, dict) or not errors:
        raise Refused("bad_response_action", answer=answer)
    unknown = sorted(set(errors) - set(fields(view)))
    if unknown or not all(isinstance(error, str) and error for error in errors.values()):
        raise Refused("bad_response_action", reason="errors must be texts by the block_id of an input", unknown=unknown)
    return dict(errors)
