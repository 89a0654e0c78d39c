"""Answers over loopback HTTP, from a server that behaves like vLLM."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from langchain_core.messages import HumanMessage

from serving.chat import ChatRequest, Timeouts, answer, ends_by_itself, stream_answer
from serving.services import AdapterMissing, Address, ChatRefused, ChatTooLong, ServerUnavailable
from tests.fake_vllm import FakeVllm
from tests.living import until


@pytest.fixture
def vllm() -> Iterator[FakeVllm]:
    with FakeVllm() as fake:
        yield fake


def ask(vllm: FakeVllm, text: str = "Hello", model: str = "base", **more: object) -> ChatRequest:
    return ChatRequest(address=vllm.address, model=model, messages=(HumanMessage(text),), **more)  # type: ignore[arg-type]


async def until_idle(vllm: FakeVllm) -> None:
    await until(lambda: vllm.running == 0)


async def test_an_answer_comes_in_pieces_and_says_how_it_ended(vllm: FakeVllm) -> None:
    stream = stream_answer(ask(vllm, "Hello there"))
    assert [piece async for piece in stream] == ["base", " heard:", " Hello", " there"]
    assert stream.finish_reason == "stop"


async def test_the_headers_of_an_address_go_with_every_question(vllm: FakeVllm) -> None:
    address = replace(vllm.address, headers={"X-Way-In": "through the proxy"})
    await answer(replace(ask(vllm), address=address))
    assert vllm.headers["x-way-in"] == "through the proxy"
    assert vllm.headers["authorization"] == f"Bearer {vllm.api_key}"


async def test_an_answer_that_max_tokens_ends_says_length(vllm: FakeVllm) -> None:
    stream = stream_answer(ask(vllm, "Hello", sampling={"max_tokens": 2}))
    assert [piece async for piece in stream] == ["base", " heard:"]
    assert stream.finish_reason == "length"


@pytest.mark.parametrize(("most", "seen"), [(1, "好"), (512, "好\ufffd")])
async def test_a_character_torn_by_max_tokens_is_not_shown(vllm: FakeVllm, most: int, seen: str) -> None:
    vllm.answer = lambda *_: "好\ufffd" if most > 1 else "好\ufffd 吗"
    pieces = [piece async for piece in stream_answer(ask(vllm, sampling={"max_tokens": most}))]
    assert "".join(pieces) == seen


async def test_sampling_and_messages_reach_the_server_as_they_are(vllm: FakeVllm) -> None:
    sampling = {"temperature": 0.3, "top_p": 0.9, "top_k": 7, "repetition_penalty": 1.1, "seed": 2**60 + 1}
    await answer(ask(vllm, "Hello", sampling=sampling))
    body = vllm.requests[0]
    assert {name: body[name] for name in sampling} == sampling
    assert body["messages"] == [{"role": "user", "content": "Hello"}]


async def test_closing_the_stream_makes_the_server_stop(vllm: FakeVllm) -> None:
    vllm.between_tokens_s = 900
    async with aclosing(stream_answer(ask(vllm))) as stream:
        assert await anext(stream) == "base"
        assert vllm.running == 1
    await until_idle(vllm)


async def test_cancelling_while_the_first_token_is_awaited_makes_the_server_stop(vllm: FakeVllm) -> None:
    vllm.first_token_s = 900
    task = asyncio.create_task(answer(ask(vllm)))
    await until(lambda: vllm.running > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_idle(vllm)


async def test_the_client_library_has_no_patience_of_its_own(vllm: FakeVllm, monkeypatch: pytest.MonkeyPatch) -> None:
    """By ``asyncio.wait_for``, which in Python 3.11 swallows a cancel that comes together with a chunk."""
    monkeypatch.setenv("LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S", "0.1")
    vllm.first_token_s = 0.5
    assert await answer(ask(vllm)) == "base heard: Hello"


async def test_a_slow_first_token_is_given_up_and_the_server_stops(vllm: FakeVllm) -> None:
    vllm.first_token_s = 900
    with pytest.raises(ServerUnavailable) as caught:
        await answer(ask(vllm, timeouts=Timeouts(first_token_s=0.2)))
    assert (caught.value.code, caught.value.params) == ("serving.slow", {"seconds": 0.2})
    await until_idle(vllm)


async def test_silence_in_the_middle_is_given_up(vllm: FakeVllm) -> None:
    vllm.between_tokens_s = 900
    stream = stream_answer(ask(vllm, timeouts=Timeouts(between_tokens_s=0.2)))
    assert await anext(stream) == "base"
    with pytest.raises(ServerUnavailable):
        await anext(stream)


async def test_an_unknown_model_is_missing(vllm: FakeVllm) -> None:
    with pytest.raises(AdapterMissing) as caught:
        await answer(ask(vllm, model="m1"))
    assert caught.value.params == {"model": "m1"}


async def test_a_question_beyond_the_context_is_too_long_in_numbers(vllm: FakeVllm) -> None:
    with pytest.raises(ChatTooLong) as caught:
        await answer(ask(vllm, "word " * 3000))
    assert caught.value.params == {"tokens": 3001, "limit": 2048}


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as nobody:
        # Taken, so that no other process gets it, and not listened at.
        nobody.bind(("127.0.0.1", 0))
        address = Address(base_url=f"http://127.0.0.1:{nobody.getsockname()[1]}", api_key="none")
        with pytest.raises(ServerUnavailable):
            await answer(ChatRequest(address=address, model="base", messages=(HumanMessage("Hello"),)))


async def test_another_key_is_unavailable(vllm: FakeVllm) -> None:
    address = Address(base_url=vllm.address.base_url, api_key="other")
    with pytest.raises(ServerUnavailable):
        await answer(ChatRequest(address=address, model="base", messages=(HumanMessage("Hello"),)))


async def test_an_engine_that_died_is_unavailable(vllm: FakeVllm) -> None:
    vllm.sick = True
    with pytest.raises(ServerUnavailable):
        await answer(ask(vllm))


async def test_a_connection_that_breaks_in_the_middle_is_unavailable_and_what_came_is_kept(vllm: FakeVllm) -> None:
    vllm.breaks_after = 2
    stream = stream_answer(ask(vllm))
    assert [await anext(stream), await anext(stream)] == ["base", " heard:"]
    with pytest.raises(ServerUnavailable):
        await anext(stream)


async def test_whether_an_answer_ends_is_told_from_one_that_was_cut(vllm: FakeVllm) -> None:
    assert await ends_by_itself(ask(vllm))
    assert not await ends_by_itself(ask(vllm, sampling={"max_tokens": 2}))


async def test_other_refusals_carry_the_servers_words(vllm: FakeVllm) -> None:
    vllm.refuses_chat = "temperature must be non-negative, got -1.0."
    with pytest.raises(ChatRefused) as caught:
        await answer(ask(vllm))
    assert caught.value.params == {"detail": "temperature must be non-negative, got -1.0."}


async def test_a_key_is_never_shown() -> None:
    address = Address(base_url="http://127.0.0.1:1", api_key="very-secret")
    assert "very-secret" not in repr(ChatRequest(address=address, model="m", messages=()))


def test_an_idle_server_has_not_imported_the_client() -> None:
    code = "import serving.chat, sys; print('openai' in sys.modules, 'langchain_openai' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300)
    assert said.stdout.split() == ["False", "False"]


async def test_what_we_add_before_the_first_token_is_small(vllm: FakeVllm) -> None:
    await answer(ask(vllm))
    waits_s = []
    for _ in range(10):
        started = time.perf_counter()
        async with aclosing(stream_answer(ask(vllm))) as stream:
            await anext(stream)
        waits_s.append(time.perf_counter() - started)
    assert min(waits_s) < 0.5, "the others may have waited for the machine"
