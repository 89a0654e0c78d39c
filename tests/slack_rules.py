"""What Slack takes and what it refuses: the SDK's validators, the types as a JSON Schema, and what neither knows.

The third kind is read from Slack's reference of blocks and views.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

SCHEMA = Path(__file__).parent / "slack_emulator" / "slack_types.schema.json"
"""Made from npm ``@slack/types`` 3.2.0 with ``ts-json-schema-generator``."""

BLOCKS_IN_A_MESSAGE = 50
BLOCKS_IN_A_VIEW = 100
MARKDOWN_CHARACTERS = 12_000
IN_VIEWS = frozenset({"actions", "context", "divider", "header", "image", "input", "rich_text", "section", "video"})
"""Block types that modals and homes take."""

DEFINITIONS = {
    "actions": "ActionsBlock",
    "alert": "AlertBlock",
    "card": "CardBlock",
    "carousel": "CarouselBlock",
    "container": "ContainerBlock",
    "context": "ContextBlock",
    "context_actions": "ContextActionsBlock",
    "divider": "DividerBlock",
    "file": "FileBlock",
    "header": "HeaderBlock",
    "image": "ImageBlock",
    "input": "InputBlock",
    "markdown": "MarkdownBlock",
    "plan": "PlanBlock",
    "rich_text": "RichTextBlock",
    "section": "SectionBlock",
    "table": "TableBlock",
    "task_card": "TaskCardBlock",
    "video": "VideoBlock",
}

NAMED = frozenset({"button", "feedback_buttons", "overflow", "plain_text_input", "radio_buttons", "static_select"})
"""Elements that must have an ``action_id``."""

LENGTHS = {
    "action_id": 255,
    "block_id": 255,
    "alt_text": 2000,
    "image_url": 3000,
    "url": 3000,
}
BUTTON_CHARACTERS, VALUE_CHARACTERS = 75, 2000
OPTION_CHARACTERS, OPTION_VALUE_CHARACTERS, MOST_OPTIONS = 75, 150, 100
CHECKED_OPTIONS, OVERFLOW_OPTIONS = 10, 5
PLACEHOLDER_CHARACTERS = 150
FIELD_CHARACTERS = 2000
INITIAL_VALUE_CHARACTERS = 3000
TABLE_ROWS, TABLE_COLUMNS = 100, 20

Json = Mapping[str, Any]


class BadBlocks(AssertionError):
    """Slack would refuse this; ``problems`` says where and why."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def check_blocks(blocks: Sequence[Json], *, limit: int = BLOCKS_IN_A_MESSAGE) -> None:
    """Raise BadBlocks unless a message may have these blocks."""
    _raise_for([*problems_of(blocks, limit=limit), *_of_messages(blocks)])


def check_view(view: Json) -> None:
    """Raise BadBlocks unless this may be opened or published."""
    blocks = view.get("blocks") or []
    problems = problems_of(blocks, limit=BLOCKS_IN_A_VIEW)
    problems += [f"/blocks/{at}: a {block['type']} block is not for views" for at, block in _foreign(blocks)]
    if view.get("type") == "modal":
        problems += list(_of_modals(view, blocks))
    elif view.get("type") != "home":
        problems.append(f"/type: {view.get('type')} is no view")
    _raise_for([*problems, *_schema_problems("ModalView" if view.get("type") == "modal" else "HomeView", view, "")])


def problems_of(blocks: Sequence[Json], *, limit: int) -> list[str]:
    """All that is wrong with blocks, wherever they stand."""
    problems = [] if len(blocks) <= limit else [f"/blocks: {len(blocks)} blocks, at most {limit}"]
    for at, block in enumerate(blocks):
        where = f"/blocks/{at}"
        kind = str(block.get("type"))
        if kind not in DEFINITIONS:
            problems.append(f"{where}: unknown type {kind}")
            continue
        problems += _sdk_problems(block, where)
        problems += _schema_problems(DEFINITIONS[kind], block, where)
        problems += [f"{where}{path}: {problem}" for path, problem in _own_problems(block)]
    problems += _repeated("block_id", [str(block["block_id"]) for block in blocks if "block_id" in block])
    for at, block in enumerate(blocks):
        ids = [str(element["action_id"]) for _, element in _nodes(block, "") if "action_id" in element]
        problems += [f"/blocks/{at}: {problem}" for problem in _repeated("action_id", ids)]
    return problems


def _of_messages(blocks: Sequence[Json]) -> Iterator[str]:
    characters = sum(len(str(block.get("text", ""))) for block in blocks if block.get("type") == "markdown")
    if characters > MARKDOWN_CHARACTERS:
        yield f"/blocks: {characters} characters of Markdown, at most {MARKDOWN_CHARACTERS} in a message"
    if sum(block.get("type") == "table" for block in blocks) > 1:
        yield "/blocks: only one table in a message"
    if any(block.get("type") == "input" for block in blocks):
        yield "/blocks: an input block is for views"


def _of_modals(view: Json, blocks: Sequence[Json]) -> Iterator[str]:
    for name in ("title", "submit", "close"):
        text = str((view.get(name) or {}).get("text", ""))
        if len(text) > 24:
            yield f"/{name}: {len(text)} characters, at most 24"
        if name in view and not text.strip():
            yield f"/{name}: empty"
    if len(str(view.get("private_metadata", ""))) > 3000:
        yield "/private_metadata: at most 3000 characters"
    if len(str(view.get("callback_id", ""))) > 255:
        yield "/callback_id: at most 255 characters"
    if any(block.get("type") == "input" for block in blocks) and "submit" not in view:
        yield "/submit: needed where there are inputs"


def _foreign(blocks: Sequence[Json]) -> list[tuple[int, Json]]:
    return [(at, block) for at, block in enumerate(blocks) if block.get("type") not in IN_VIEWS]


def _sdk_problems(block: Json, where: str) -> list[str]:
    # What the SDK does not know it leaves out with a warning, and then finds nothing wrong with it.
    heard: list[str] = []
    listener = _Listener(heard)
    logger = logging.getLogger("slack_sdk.models")
    logger.addHandler(listener)
    try:
        parsed = Block.parse(dict(block))
        if parsed is None:
            return [f"{where}: the SDK does not know it"]
        parsed.validate_json()
    except (SlackObjectFormationError, TypeError, ValueError, AttributeError) as error:
        return [f"{where}: {error}"]
    finally:
        logger.removeHandler(listener)
    return [f"{where}: {line}" for line in heard]


class _Listener(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(record.getMessage()[:300])


def _schema_problems(definition: str, value: Json, where: str) -> list[str]:
    return [
        f"{where}/{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for error in _validator(definition).iter_errors(value)
    ]


@cache
def _validator(definition: str) -> Draft7Validator:
    return Draft7Validator({**json.loads(SCHEMA.read_text()), "$ref": f"#/definitions/{definition}"})


def _own_problems(block: Json) -> Iterator[tuple[str, str]]:
    for path, node in _nodes(block, ""):
        for name, most in LENGTHS.items():
            if isinstance(node.get(name), str) and len(node[name]) > most:
                yield f"{path}/{name}", f"at most {most} characters"
            if name in {"action_id", "block_id"} and node.get(name) == "":
                yield f"{path}/{name}", "empty"
        yield from _texts(path, node)
        yield from _of_elements(path, node)
    for name in ("elements", "fields", "rows"):
        if name in block and not block[name]:
            yield f"/{name}", "empty"
    if block.get("type") == "section":
        yield from _of_sections(block)
    if block.get("type") == "markdown" and not str(block.get("text", "")).strip():
        yield "/text", "empty"
    if block.get("type") == "table":
        yield from _of_tables(block)
    if block.get("type") == "image" and ("image_url" in block) == ("slack_file" in block):
        yield "", "either image_url or slack_file"


def _texts(path: str, node: Json) -> Iterator[tuple[str, str]]:
    if node.get("type") in {"plain_text", "mrkdwn"}:
        # Slack refuses the empty one; that of spaces alone shows nothing, and we do not send it either.
        if not str(node.get("text", "")).strip():
            yield f"{path}/text", "empty"
        if node["type"] == "mrkdwn" and "emoji" in node:
            yield f"{path}/emoji", "only for plain_text"


def _of_sections(block: Json) -> Iterator[tuple[str, str]]:
    if "text" not in block and "fields" not in block:
        yield "", "neither text nor fields"
    for at, field in enumerate(block.get("fields") or []):
        if len(str(field.get("text", ""))) > FIELD_CHARACTERS:
            yield f"/fields/{at}", f"at most {FIELD_CHARACTERS} characters"


def _of_tables(block: Json) -> Iterator[tuple[str, str]]:
    rows = block.get("rows") or []
    if len(rows) > TABLE_ROWS or any(len(row) > TABLE_COLUMNS for row in rows):
        yield "/rows", f"at most {TABLE_ROWS} x {TABLE_COLUMNS}"
    if len({len(row) for row in rows}) > 1:
        yield "/rows", "rows of different lengths"


def _of_elements(path: str, node: Json) -> Iterator[tuple[str, str]]:
    kind = node.get("type")
    if kind in NAMED and not node.get("action_id"):
        yield path, "no action_id"
    if kind == "button":
        if len(str((node.get("text") or {}).get("text", ""))) > BUTTON_CHARACTERS:
            yield f"{path}/text", f"at most {BUTTON_CHARACTERS} characters"
        if len(str(node.get("value", ""))) > VALUE_CHARACTERS:
            yield f"{path}/value", f"at most {VALUE_CHARACTERS} characters"
        if node.get("style") not in {None, "primary", "danger"}:
            yield f"{path}/style", "primary or danger"
    if kind in {"static_select", "overflow", "radio_buttons", "checkboxes", "multi_static_select"}:
        yield from _of_options(path, node)
    if kind == "plain_text_input" and len(str(node.get("initial_value", ""))) > INITIAL_VALUE_CHARACTERS:
        yield f"{path}/initial_value", f"at most {INITIAL_VALUE_CHARACTERS} characters"
    if len(str((node.get("placeholder") or {}).get("text", ""))) > PLACEHOLDER_CHARACTERS:
        yield f"{path}/placeholder", f"at most {PLACEHOLDER_CHARACTERS} characters"


def _of_options(path: str, node: Json) -> Iterator[tuple[str, str]]:
    options = node.get("options") or []
    most = {"overflow": OVERFLOW_OPTIONS, "radio_buttons": CHECKED_OPTIONS, "checkboxes": CHECKED_OPTIONS}
    if "option_groups" not in node and not 0 < len(options) <= most.get(str(node["type"]), MOST_OPTIONS):
        yield f"{path}/options", f"1 to {most.get(str(node['type']), MOST_OPTIONS)} options"
    for at, option in enumerate(options):
        if len(str(option["text"]["text"])) > OPTION_CHARACTERS:
            yield f"{path}/options/{at}/text", f"at most {OPTION_CHARACTERS} characters"
        if not 0 < len(str(option.get("value", ""))) <= OPTION_VALUE_CHARACTERS:
            yield f"{path}/options/{at}/value", f"1 to {OPTION_VALUE_CHARACTERS} characters"
        if len(str((option.get("description") or {}).get("text", ""))) > OPTION_CHARACTERS:
            yield f"{path}/options/{at}/description", f"at most {OPTION_CHARACTERS} characters"
    initial = node.get("initial_option")
    if initial is not None and initial not in options:
        yield f"{path}/initial_option", "none of the options"


def _nodes(node: object, path: str) -> Iterator[tuple[str, Json]]:
    """Every object of a block, itself first."""
    if isinstance(node, Mapping):
        yield path, node
        for name, value in node.items():
            yield from _nodes(value, f"{path}/{name}")
    elif isinstance(node, list | tuple):
        for at, value in enumerate(node):
            yield from _nodes(value, f"{path}/{at}")


def _repeated(name: str, ids: Sequence[str]) -> list[str]:
    return [f"{name} {one!r} stands there {times} times" for one, times in Counter(ids).items() if times > 1]


def _raise_for(problems: Sequence[str]) -> None:
    if problems:
        raise BadBlocks(problems)
