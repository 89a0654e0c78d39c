"""What a program asks -> what vLLM is asked. Pure: a body comes in, a body goes out, or an ApiError."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from bot.openai_api.errors import ApiError, bad_request
from bot.openai_api.fields import DROPPED, PASSED, Kind
from training.conversation import ChatMessage

Json = dict[str, Any]

MOST_ANSWERS = 32
"""Of one request: ``n`` times its prompts."""

ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))
OF_A_MESSAGE = ("role", "content", "name", "tool_calls", "tool_call_id")


class Preparing(Protocol):
    """What is needed of ``training.tokens.ChatTokenizer``."""

    def prepared(self, messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
        """The messages as the template takes them."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """One request of a program, checked."""

    kind: Kind
    model: str
    """A service's name."""
    body: Json
    """The fields that go on, without ``model``."""

    @property
    def is_stream(self) -> bool:
        """Whether the answer is wanted as it grows."""
        return bool(self.body.get("stream"))

    @property
    def has_system(self) -> bool:
        """Whether its messages begin with a system prompt."""
        messages = self.body.get("messages") or [{}]
        return bool(messages[0].get("role") == "system")

    def sticky(self, user: str | None) -> str:
        """What the requests of one conversation have in common: a replica keeps what it has read of it."""
        messages = self.body.get("messages", [])
        asked = next((place for place, message in enumerate(messages) if message["role"] == "user"), 0)
        beginning = user or messages[: asked + 1] or str(self.body.get("prompt"))[:500]
        return hashlib.sha256(orjson.dumps(beginning)).hexdigest()[:32]


def read_query(kind: Kind, raw: bytes) -> tuple[Query, str | None]:
    """The request in ``raw``, and the ``user`` that it names. Raises ApiError."""
    given = _object(raw)
    model = given.get("model")
    if not isinstance(model, str) or not model:
        raise bad_request(
            "`model` is missing: the name of a service.", param="model", code="missing_required_parameter"
        )
    for name in given:
        if name not in PASSED[kind] and name not in DROPPED:
            raise bad_request(
                f"The parameter `{name}` is not taken by this server.", param=name, code="unsupported_parameter"
            )
    body = {name: value for name, value in given.items() if name in PASSED[kind]}
    prompts = 1
    if kind == "chat/completions":
        body["messages"] = _messages(given.get("messages"))
    else:
        prompts = _prompts(given.get("prompt"))
    _check_answers(body.get("n", 1), prompts)
    if not isinstance(body.get("stream", False), bool):
        raise bad_request("`stream` must be true or false.", param="stream", code="invalid_type")
    user = given.get("user")
    return Query(kind=kind, model=model, body=body), user if isinstance(user, str) else None


def with_system(query: Query, system: str | None) -> Query:
    """With the service's own system prompt, where the program gives none: without it a tuned model looks broken."""
    if query.kind != "chat/completions" or not system:
        return query
    messages = query.body["messages"]
    if any(message["role"] == "system" for message in messages):
        return query
    return _with_messages(query, [{"role": "system", "content": system}, *messages])


def prepared(query: Query, tokenizer: Preparing) -> Query:
    """The messages as the base model's template takes them: it may have no place for a system prompt."""
    first, *rest = query.body["messages"]
    head = [ChatMessage(role="system", content=str(first["content"]))]
    if rest and rest[0]["role"] == "user":
        head.append(ChatMessage(role="user", content=str(rest[0]["content"])))
    made = [{"role": message.role, "content": message.content} for message in tokenizer.prepared(head)]
    return _with_messages(query, [*made, *rest[len(head) - 1 :]])


def _with_messages(query: Query, messages: list[Json]) -> Query:
    return replace(query, body={**query.body, "messages": messages})


def _object(raw: bytes) -> Json:
    try:
        given = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The body is not valid JSON: {error}.", code="invalid_json") from error
    if not isinstance(given, dict):
        raise bad_request("The body must be a JSON object.", code="invalid_json")
    return {name: value for name, value in given.items() if value is not None}


def _messages(given: object) -> list[Json]:
    if not isinstance(given, list) or not given:
        raise bad_request(
            "`messages` must be a list with at least one message.", param="messages", code="missing_required_parameter"
        )
    return [_message(message, f"messages[{place}]") for place, message in enumerate(given)]


def _message(given: object, where: str) -> Json:
    role = given.get("role") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(role, str) or role not in ROLES:
        raise bad_request(f"`{where}` needs a role: {', '.join(sorted(ROLES))}.", param=where)
    message = {name: given[name] for name in OF_A_MESSAGE if given.get(name) is not None}
    message["role"] = "system" if role == "developer" else role
    if "content" in message:
        message["content"] = _text(message["content"], f"{where}.content")
    elif role != "assistant" or "tool_calls" not in message:
        raise bad_request(f"`{where}` needs its content.", param=f"{where}.content")
    return message


def _text(content: object, where: str) -> str:
    """Text, or parts that are text. A picture is an address that the model's server would fetch."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    words = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    if not all(isinstance(word, str) for word in words):
        raise _only_text(where)
    return "\n".join(str(word) for word in words)


def _only_text(where: str) -> ApiError:
    return bad_request(f"`{where}` must be text: these models read nothing else.", param=where)


def _prompts(prompt: object) -> int:
    """How many prompts there are: a text, tokens, or a list of either."""
    if isinstance(prompt, str):
        return 1
    if not isinstance(prompt, list) or not prompt:
        raise bad_request("`prompt` must be a text.", param="prompt", code="missing_required_parameter")
    return 1 if isinstance(prompt[0], int) else len(prompt)


def _check_answers(n: object, prompts: int) -> None:
    # vLLM would read "1000" and 1000.0 as numbers, and "false" as no stream: what is checked here is what it gets.
    if not isinstance(n, int) or isinstance(n, bool):
        raise bad_request("`n` must be a whole number.", param="n", code="invalid_type")
    answers = prompts * n
    if answers > MOST_ANSWERS:
        raise bad_request(
            f"One request may ask for {MOST_ANSWERS} answers at most; this asks for {answers}.", param="n"
        )
