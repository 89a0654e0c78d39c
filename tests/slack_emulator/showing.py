"""New messages and views of the app."""

from typing import TYPE_CHECKING

from tests.slack_emulator.checks import checked_blocks, checked_text
from tests.slack_emulator.state import Channel, Json, SlackMessage, View

if TYPE_CHECKING:
    from tests.slack_emulator.people import Person
    from tests.slack_emulator.workspace import Workspace

MOST_VIEWS = 3


def message_of(workspace: "Workspace", channel: Channel, content: Json) -> SlackMessage:
    """A message of the app with this text and these blocks, not standing yet. Raises Refused."""
    return SlackMessage(
        ts=workspace.slack.ids.stamp(),
        channel=channel.id,
        user=workspace.bot_user_id,
        bot_id=workspace.bot_id,
        text=checked_text(content.get("text")),
        blocks=checked_blocks(workspace, content.get("blocks")),
    )


def new_view(person: "Person", content: Json, *, below: View | None = None) -> View:
    """A view for a person; ``below``: the modal that it covers."""
    view_id = person.slack.ids.new("V")
    return View(
        id=view_id,
        hash=new_hash(person),
        user=person.id,
        content=content,
        previous_id=below.id if below else None,
        root_id=below.root_id if below else view_id,
    )


def replace_view(person: "Person", view: View, content: Json) -> None:
    """Show something else in a view."""
    view.content, view.hash, view.errors = content, new_hash(person), {}


def new_hash(person: "Person") -> str:
    return f"{person.slack.ids.stamp().partition('.')[0]}.{person.slack.secret()[:8]}"
