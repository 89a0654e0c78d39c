"""What every ModelServer does, real or fake. A test makes a host ready if the one before has not left it so."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from langchain_core.messages import HumanMessage

from serving.chat import ChatRequest, answer, stream_answer, warm_up
from serving.services import (
    AdapterMissing,
    AdapterRef,
    AdapterRefused,
    Address,
    ChatTooLong,
    HostSpec,
    HostStatus,
    ModelServer,
    ServerUnavailable,
)
from storage.states import HostState
from tests.adapter_files import adapter_shapes, make_adapter


@dataclass(kw_only=True)
class Case:
    """A server under test, with one host's spec whose base model has its files on the disk."""

    server: ModelServer
    spec: HostSpec
    kill: Callable[[], None]
    """Kill -9 the host's first process."""
    processes: Callable[[], int]
    """How many processes of the host there are."""
    again: Callable[[], ModelServer]
    """The same server, as our program makes it after it was started again."""
    folder: Path
    start_s: float

    def status(self) -> HostStatus | None:
        return self.server.observe().get(self.spec.id)

    def ready(self) -> Address:
        self.server.start(self.spec)
        return self.wait_until_ready()

    def wait_until_ready(self) -> Address:
        deadline = time.monotonic() + self.start_s
        while (status := self.status()) is None or status.state is not HostState.READY:
            assert status is not None, "a host that was started is observed"
            assert status.state is HostState.STARTING, status
            assert time.monotonic() < deadline, "it takes too long to start"
            time.sleep(0.1)
        assert status.address is not None
        return status.address

    def adapter(self, name: str, *, rank: int = 4) -> AdapterRef:
        folder = self.folder / name
        if not folder.exists():
            make_adapter(folder, Path(self.spec.base_model), rank=rank, scale=0.3)
        return AdapterRef(model_id=name, folder=str(folder))

    def loaded(self) -> frozenset[str]:
        status = self.status()
        assert status is not None
        return status.adapters

    def ask(self, model: str, text: str = "Who are you?", **sampling: float) -> ChatRequest:
        return ChatRequest(
            address=self.ready(),
            model=model,
            messages=(HumanMessage(text),),
            sampling={"temperature": 0, "max_tokens": 24} | sampling,
        )


def running_requests(address: Address) -> float:
    metrics = httpx.get(f"{address.base_url}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.split()[-1]) for line in metrics if line.startswith("vllm:num_requests_running"))


class ModelServerContract:
    """A server's own test class inherits these and gives the fixture ``case``, one for the class."""

    def test_an_unknown_host_is_no_host_and_stopping_it_is_nothing(self, case: Case) -> None:
        assert "nobody" not in case.server.observe()
        case.server.stop("nobody")
        with pytest.raises(ServerUnavailable):
            case.server.load("nobody", case.adapter("good"))
        with pytest.raises(ServerUnavailable):
            case.server.unload("nobody", "good")

    def test_starting_again_leaves_a_running_host(self, case: Case) -> None:
        address = case.ready()
        case.server.start(case.spec)
        assert case.status() == HostStatus(state=HostState.READY, address=address)

    def test_adapters_are_loaded_and_unloaded_as_often_as_one_likes(self, case: Case) -> None:
        case.ready()
        for _ in range(2):
            case.server.load(case.spec.id, case.adapter("good"))
            assert case.loaded() == {"good"}
        for _ in range(2):
            case.server.unload(case.spec.id, "good")
            assert case.loaded() == frozenset()

    def test_more_adapters_load_than_compute_at_once(self, case: Case) -> None:
        case.ready()
        names = {f"many-{number}" for number in range(case.spec.max_loras + 2)}
        for name in names:
            case.server.load(case.spec.id, case.adapter(name))
        assert case.loaded() == names
        for name in names:
            case.server.unload(case.spec.id, name)

    def test_an_adapter_that_cannot_be_served_is_refused_and_the_host_lives(self, case: Case) -> None:
        case.ready()
        base = Path(case.spec.base_model)
        strange = {name.replace("layers.0", "layers.77"): shape for name, shape in adapter_shapes(base).items()}
        make_adapter(case.folder / "strange", base, shapes=strange)
        for adapter, code in (
            (case.adapter("large", rank=17), "adapter.rank_too_high"),
            (AdapterRef(model_id="strange", folder=str(case.folder / "strange")), "adapter.unknown_module"),
            (AdapterRef(model_id="gone", folder=str(case.folder / "gone")), "adapter.no_folder"),
            (AdapterRef(model_id="whole", folder=str(base)), "adapter.full_checkpoint"),
        ):
            with pytest.raises(AdapterRefused) as caught:
                case.server.load(case.spec.id, adapter)
            assert caught.value.code == code
        assert case.loaded() == frozenset()
        case.ready()

    async def test_base_and_adapter_answer_each_in_its_own_way(self, case: Case) -> None:
        address = case.ready()
        case.server.load(case.spec.id, case.adapter("good"))
        await warm_up(address, "good")
        base, tuned = await answer(case.ask(case.spec.base_name)), await answer(case.ask("good"))
        assert base
        assert tuned
        assert base != tuned
        assert await answer(case.ask("good")) == tuned
        case.server.unload(case.spec.id, "good")

    async def test_what_cannot_be_answered_is_said(self, case: Case) -> None:
        case.ready()
        with pytest.raises(AdapterMissing):
            await answer(case.ask("never-loaded"))
        with pytest.raises(ChatTooLong) as caught:
            await answer(case.ask(case.spec.base_name, "word " * 3 * case.spec.context_tokens))
        assert caught.value.params["limit"] == case.spec.context_tokens

    async def test_closing_an_answer_makes_the_host_stop_it(self, case: Case) -> None:
        address = case.ready()
        request = case.ask(case.spec.base_name, "word " * 40, max_tokens=400)
        async with aclosing(stream_answer(request)) as stream:
            await anext(stream)
            assert running_requests(address) == 1
        async with asyncio.timeout(2):
            while running_requests(address):  # noqa: ASYNC110  vLLM tells it by polling only
                await asyncio.sleep(0.05)

    def test_a_program_that_was_started_again_finds_its_hosts(self, case: Case) -> None:
        address = case.ready()
        case.server.load(case.spec.id, case.adapter("good"))
        case.server = case.again()
        assert case.status() == HostStatus(state=HostState.READY, address=address, adapters=frozenset({"good"}))
        case.server.start(case.spec)
        assert case.status() == HostStatus(state=HostState.READY, address=address, adapters=frozenset({"good"}))
        case.server.unload(case.spec.id, "good")

    def test_a_killed_host_has_failed_and_is_started_anew(self, case: Case) -> None:
        case.ready()
        case.server.load(case.spec.id, case.adapter("good"))
        case.kill()
        status = case.status()
        assert status is not None
        assert (status.state, status.reason, status.address) == (HostState.FAILED, "killed", None)
        with pytest.raises(ServerUnavailable):
            case.server.load(case.spec.id, case.adapter("good"))
        case.ready()
        assert case.loaded() == frozenset()

    def test_another_spec_is_another_process(self, case: Case) -> None:
        before = case.ready()
        case.server.start(replace(case.spec, max_lora_rank=2 * case.spec.max_lora_rank))
        status = case.status()
        assert status is not None
        assert status.state in (HostState.STARTING, HostState.READY)
        assert status.address != before
        case.server.stop(case.spec.id)

    def test_stopping_leaves_nothing(self, case: Case) -> None:
        case.server.start(case.spec)
        for _ in range(2):
            case.server.stop(case.spec.id)
            assert case.status() is None
            assert case.processes() == 0
