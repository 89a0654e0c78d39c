"""What programs may ask, how often, and what vLLM is asked for them."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message

from bot.openai_api import answers
from bot.openai_api.answers import Answering, Stalled
from bot.openai_api.errors import ApiError, unavailable
from bot.openai_api.fields import Kind
from bot.openai_api.limits import RateLimits
from bot.openai_api.queries import Query, prepared, read_query, with_system
from training.conversation import ChatMessage

HI = [{"role": "user", "content": "Hi"}]


def query(kind: Kind = "chat/completions", **body: Any) -> Query:
    return read_query(kind, json.dumps({"model": "nova-1", **body}).encode())[0]


def refusal(raw: bytes, kind: Kind = "chat/completions") -> ApiError:
    with pytest.raises(ApiError) as caught:
        read_query(kind, raw)
    return caught.value


def test_known_fields_go_on_and_books_are_left_out() -> None:
    body = {"messages": HI, "temperature": 0.5, "seed": None, "user": "u", "store": True, "stream": True}
    read, user = read_query("chat/completions", json.dumps({"model": "nova-1", **body}).encode())
    assert read.body == {"messages": HI, "temperature": 0.5, "stream": True}
    assert (read.model, read.is_stream, user) == ("nova-1", True, "u")
    assert query("completions", prompt="Once", echo=True).body == {"prompt": "Once", "echo": True}


@pytest.mark.parametrize(
    "field",
    [
        "chat_template",
        "chat_template_kwargs",
        "documents",
        "mm_processor_kwargs",
        "media_io_kwargs",
        "priority",
        "request_id",
        "session_id",
        "cache_salt",
        "kv_transfer_params",
        "vllm_xargs",
        "prompt_embeds",
        "lora_request",
        "use_beam_search",
        "whatever",
    ],
)
@pytest.mark.parametrize("kind", ["chat/completions", "completions"])
def test_what_could_break_out_is_refused_by_name(kind: Kind, field: str) -> None:
    raw = json.dumps({"model": "nova-1", "messages": HI, "prompt": "Hi", field: "x"}).encode()
    if kind == "chat/completions":
        raw = raw.replace(b'"prompt": "Hi", ', b"")
    else:
        raw = raw.replace(b'"messages": [{"role": "user", "content": "Hi"}], ', b"")
    error = refusal(raw, kind)
    assert (error.status, error.param, error.code) == (400, field, "unsupported_parameter")
    assert f"`{field}`" in error.message


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", None),
        (b"[1]", None),
        (b'{"model": "x", "messages": [', None),
        (b'{"model": NaN}', None),
        (b'{"messages": []}', "model"),
        (b'{"model": 5}', "model"),
        (b'{"model": "x"}', "messages"),
        (b'{"model": "x", "messages": "Hi"}', "messages"),
        (b'{"model": "x", "messages": []}', "messages"),
        (b'{"model": "x", "messages": ["Hi"]}', "messages[0]"),
        (b'{"model": "x", "messages": [{"role": "root", "content": "Hi"}]}', "messages[0]"),
        (b'{"model": "x", "messages": [{"role": ["user"], "content": "Hi"}]}', "messages[0]"),
        (b'{"model": "x", "messages": [{"role": "user"}]}', "messages[0].content"),
        (b'{"model": "x", "messages": [{"role": "user", "content": 5}]}', "messages[0].content"),
        (b'{"model": "x", "messages": [{"role": "user", "content": [5]}]}', "messages[0].content"),
        (
            b'{"model": "x", "messages": [{"role": "user", "content": '
            b'[{"type": "image_url", "image_url": {"url": "http://10.0.0.1/"}}]}]}',
            "messages[0].content",
        ),
        (b'{"model": "x", "messages": [{"role": "system", "tool_calls": []}]}', "messages[0].content"),
        (b'{"model": "x", "messages": [{"role": "user", "tool_calls": []}]}', "messages[0].content"),
        (b'{"model": "x", "messages": [{"role": "tool", "tool_calls": []}]}', "messages[0].content"),
        (b'{"model": "x", "messages": [{"role": "user", "content": "Hi"}], "n": 1000}', "n"),
        (b'{"model": "x", "messages": [{"role": "user", "content": "Hi"}], "n": "1000"}', "n"),
        (b'{"model": "x", "messages": [{"role": "user", "content": "Hi"}], "n": 1000.0}', "n"),
        (b'{"model": "x", "messages": [{"role": "user", "content": "Hi"}], "n": true}', "n"),
        (b'{"model": "x", "messages": [{"role": "user", "content": "Hi"}], "stream": "false"}', "stream"),
        (b'{"model": "x", "messages": [{"role": "user", "content": "Hi"}], "stream": 0}', "stream"),
    ],
)
def test_what_is_wrong_is_said(raw: bytes, param: str | None) -> None:
    error = refusal(raw)
    assert (error.status, error.param) == (400, param)
    assert error.body["error"]["message"].endswith(".")


@pytest.mark.parametrize("prompt", [None, [], 5, ["x"] * 33])
def test_a_prompt_is_a_text_or_a_few(prompt: object) -> None:
    raw = json.dumps({"model": "x", "prompt": prompt}).encode()
    assert refusal(raw, "completions").status == 400


def test_parts_of_text_are_joined_and_other_things_of_a_message_dropped() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    read = query(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": parts, "name": "ann", "audio": "x"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]
    )
    assert read.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one\ntwo", "name": "ann"},
        {"role": "assistant", "tool_calls": [call]},
    ]


def test_the_services_system_prompt_stands_in_for_none() -> None:
    assert with_system(query(messages=HI), "You are Nova.").body["messages"] == [
        {"role": "system", "content": "You are Nova."},
        *HI,
    ]
    own = [{"role": "system", "content": "Be rude."}, *HI]
    assert with_system(query(messages=own), "You are Nova.").body["messages"] == own
    assert with_system(query(messages=HI), None).body["messages"] == HI
    assert with_system(query("completions", prompt="Hi"), "You are Nova.").body == {"prompt": "Hi"}


class WithoutSystem:
    """A template that has no place for a system prompt."""

    def prepared(self, messages: list[ChatMessage]) -> tuple[ChatMessage, ...]:
        assert [message.role for message in messages] == ["system", "user"]
        return (ChatMessage(role="user", content=f"{messages[0].content}\n\n{messages[1].content}"),)


def test_messages_go_on_as_the_template_takes_them() -> None:
    rest = [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Who?"}]
    read = with_system(query(messages=[*HI, *rest]), "You are Nova.")
    assert prepared(read, WithoutSystem()).body["messages"] == [  # type: ignore[arg-type]
        {"role": "user", "content": "You are Nova.\n\nHi"},
        *rest,
    ]


def test_requests_of_one_conversation_stick_together() -> None:
    first = query(messages=HI)
    later = query(messages=[*HI, {"role": "assistant", "content": "Hi!"}, *HI])
    again = query(messages=[*HI, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "Bye"}])
    assert first.sticky(None) == later.sticky(None) == again.sticky(None)
    other = query(messages=[{"role": "system", "content": "Be brief."}, *HI])
    assert other.sticky(None) != first.sticky(None)
    assert first.sticky("ann") == later.sticky("ann") != first.sticky("bob")
    assert query("completions", prompt="a").sticky(None) != query("completions", prompt="b").sticky(None)


async def test_what_goes_wrong_once_a_stream_has_begun_is_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEEP_ALIVE_SECONDS", 0)
    sent: list[Message] = []
    is_alive = asyncio.Event()

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body"):
            is_alive.set()

    answering = Answering(send, is_stream=True)
    async with answering.kept_alive():
        await is_alive.wait()
        monkeypatch.setattr(answers, "KEEP_ALIVE_SECONDS", 60)
    await answering.refuse(unavailable("Not now."))
    assert sent[0]["status"] == 200
    assert {message["body"] for message in sent[1:-1]} == {b": waiting\n\n"}
    event, done, end = sent[-1]["body"].split(b"\n\n")
    assert json.loads(event.removeprefix(b"data: "))["error"]["message"] == "Not now."
    assert (done, end, sent[-1].get("more_body")) == (b"data: [DONE]", b"", None)


async def test_a_program_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "STALLED_SECONDS", 0.01)

    async def send(message: Message) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        await Answering(send, is_stream=True).piece(b"data: {}\n\n")


def test_a_bucket_is_emptied_and_fills_again() -> None:
    at = 100.0
    limits = RateLimits(clock=lambda: at)
    assert [limits.take("a", 3) for _ in range(3)] == [0, 0, 0]
    assert limits.take("a", 3) == pytest.approx(20)
    assert limits.take("b", 3) == 0
    at += 19
    assert limits.take("a", 3) == pytest.approx(1)
    at += 1
    assert limits.take("a", 3) == 0
    assert limits.take("a", 3) == pytest.approx(20)
    at += 1000
    assert [limits.take("a", 3) for _ in range(4)] == [0, 0, 0, pytest.approx(20)]
