"""What Slack refuses of texts, blocks and views."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tests.slack_emulator.state import Json, Refused
from tests.slack_rules import BadBlocks, check_blocks, check_view

if TYPE_CHECKING:
    from tests.slack_emulator.workspace import Workspace

LONGEST_TEXT = 40_000
LONGEST_MARKDOWN = 12_000
LONGEST_METADATA = 8_000


def checked_text(text: Any) -> str:
    """A message's text. Slack cuts longer ones in silence; here they are refused, since something would be lost."""
    if text is not None and not isinstance(text, str):
        raise Refused(
            "invalid_arguments", response_metadata={"messages": ["[ERROR] must be a string [json-pointer:/text]"]}
        )
    if len(text or "") > LONGEST_TEXT:
        raise Refused("msg_too_long")
    return text or ""


def checked_blocks(workspace: "Workspace", blocks: Any) -> list[Json]:
    """Blocks of a message, with a ``block_id`` and ``action_id`` each. Raises Refused."""
    content = _list_of_objects(blocks, "invalid_blocks_format")
    _refuse("invalid_blocks", [*_problems(workspace, check_blocks, content), *_file_problems(workspace, content)])
    return named(workspace, content)


def checked_view(workspace: "Workspace", view: Any, kind: str) -> Json:
    """A view of that type. Raises Refused."""
    if not isinstance(view, dict):
        raise Refused("invalid_arguments", response_metadata={"messages": ["[ERROR] missing required field: view"]})
    if view.get("type") != kind:
        _refuse("invalid_arguments", [f"a view of type {kind} is needed, not {view.get('type')}"])
    content = _list_of_objects(view.get("blocks"), "invalid_blocks_format")
    _refuse("invalid_arguments", [*_problems(workspace, check_view, view), *_file_problems(workspace, content)])
    return {**view, "blocks": named(workspace, content)}


def checked_metadata(metadata: Any) -> Json | None:
    """A message's metadata: ``event_type`` and a flat ``event_payload``. Raises Refused."""
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or set(metadata) - {"event_type", "event_payload", "entities"}:
        raise Refused("invalid_metadata_format")
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise Refused("invalid_metadata_format")
    if len(json.dumps(metadata)) > LONGEST_METADATA:
        raise Refused("metadata_too_large")
    return metadata


def checked_markdown(text: Any) -> str:
    """Markdown to be streamed. Raises Refused."""
    if not isinstance(text, str) or not text:
        raise Refused("invalid_arguments", response_metadata={"messages": ["[ERROR] markdown_text must be a text"]})
    if len(text) > LONGEST_MARKDOWN:
        raise Refused("msg_too_long")
    return text


def named(workspace: "Workspace", blocks: list[Json]) -> list[Json]:
    """A copy in which everything has the name that Slack gives where the app gave none."""
    content = copy.deepcopy(blocks)
    for block in content:
        block.setdefault("block_id", workspace.slack.secret()[:5])
    return content


def _list_of_objects(blocks: Any, error: str) -> list[Json]:
    if blocks is None:
        return []
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Refused(error)
    return blocks


def _refuse(error: str, problems: list[str]) -> None:
    if problems:
        raise Refused(error, errors=problems, response_metadata={"messages": [f"[ERROR] {each}" for each in problems]})


def _problems(workspace: "Workspace", check: Callable[[Any], None], content: Any) -> list[str]:
    """What is wrong by our rules of Slack. What is so odd that they cannot read it, is wrong too."""
    if not workspace.slack.checks_blocks:
        return []
    try:
        check(content)
    except BadBlocks as error:
        return error.problems
    except (KeyError, TypeError, AttributeError) as error:
        return [f"unreadable: {type(error).__name__} {error}"]
    return []


def _file_problems(workspace: "Workspace", blocks: list[Json]) -> list[str]:
    """Slack's own files may stand in blocks as soon as Slack has looked at them."""
    found = []
    for wanted in _slack_files(blocks):
        file = workspace.slack.files.get(str(wanted.get("id")))
        if file is None or file.team_id != workspace.team_id or file.is_deleted or not file.mimetype:
            found.append(f"invalid slack file: {wanted}")
    return found


def _slack_files(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        if isinstance(node.get("slack_file"), dict):
            yield node["slack_file"]
        for value in node.values():
            yield from _slack_files(value)
    elif isinstance(node, list):
        for value in node:
            yield from _slack_files(value)
