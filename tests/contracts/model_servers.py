"""What every ModelServer does, real or fake. A test makes a host ready if the one before has not left it so."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from langchain_core.messages import HumanMessage

from serving.chat import ChatRequest, answer, stream_answer
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
from serving.vllm_command import Build
from storage.states import HostState
from tests.adapter_files import adapter_shapes, make_adapter
from tests.fake_vllm import AT_LENGTH


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
    """Where adapters are made."""
    start_s: float
    build: Build = Build.CUDA
    """Which vLLM it is, or stands for."""
    mends_itself: bool = False
    """Whether a killed host comes back without being asked to."""

    def status(self) -> HostStatus | None:
        return self.server.observe().get(self.spec.id)

    def ready(self) -> Address:
        self.server.start(self.spec)
        return self.wait_until_ready()

    def until(self, holds: Callable[[HostStatus], bool]) -> HostStatus:
        deadline = time.monotonic() + self.start_s
        while (status := self.status()) is None or not holds(status):
            assert time.monotonic() < deadline, status
            time.sleep(0.05)
        return status

    def until_gone(self) -> None:
        deadline = time.monotonic() + self.start_s
        while self.status() is not None:
            assert time.monotonic() < deadline, self.status()
            time.sleep(0.05)

    def wait_for_processes(self, count: int) -> None:
        deadline = time.monotonic() + self.start_s
        while self.processes() != count:
            assert time.monotonic() < deadline, self.processes()
            time.sleep(0.05)

    def wait_until_ready(self) -> Address:
        deadline = time.monotonic() + self.start_s
        while (status := self.status()) is None or status.state is not HostState.READY:
            assert status is not None, "a host that was started is observed"
            is_coming = status.state is HostState.STARTING or self.mends_itself
            assert is_coming, status
            assert time.monotonic() < deadline, status
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
    return measured(address, "vllm:num_requests_running")


def measured(address: Address, name: str, label: str = "") -> float:
    """The sum of a host's own metric, of the lines with that label."""
    url, verify = f"{address.base_url}/metrics", address.tls or False
    credentials = {"Authorization": f"Bearer {address.api_key}", **address.headers}
    metrics = httpx.get(url, headers=credentials, verify=verify, trust_env=False, timeout=60).text.splitlines()
    return sum(float(line.split()[-1]) for line in metrics if line.startswith(name) and label in line)


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
        status = case.status()
        assert status is not None
        assert (status.state, status.address, status.adapters) == (HostState.READY, address, frozenset())

    def test_adapters_are_loaded_and_unloaded_as_often_as_one_likes(self, case: Case) -> None:
        case.ready()
        for _ in range(2):
            case.server.load(case.spec.id, case.adapter("good"))
            assert case.loaded() == {"good"}
        for _ in range(2):
            case.server.unload(case.spec.id, "good")
            assert case.loaded() == frozenset()

    def test_adapters_may_be_loaded_and_unloaded_by_several_threads_at_once(self, case: Case) -> None:
        case.ready()
        adapters = [case.adapter(name) for name in ("good", "better")]
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda adapter: case.server.load(case.spec.id, adapter), adapters))
            assert case.loaded() == {"good", "better"}
            list(threads.map(lambda adapter: case.server.unload(case.spec.id, adapter.model_id), adapters))
        assert case.loaded() == frozenset()

    def test_a_host_holds_what_it_is_started_for_and_on_a_gpu_more(self, case: Case) -> None:
        case.ready()
        names = {f"many-{number}" for number in range(case.spec.max_loras)}
        for name in names:
            case.server.load(case.spec.id, case.adapter(name))
        if case.build is Build.CPU:
            with pytest.raises(AdapterRefused) as caught:
                case.server.load(case.spec.id, case.adapter("more"))
            assert (caught.value.code, caught.value.params) == ("serving.full", {"count": case.spec.max_loras})
            case.server.load(case.spec.id, case.adapter("many-0"))
        else:
            names.add("more")
            case.server.load(case.spec.id, case.adapter("more"))
        assert case.loaded() == names
        for name in names:
            case.server.unload(case.spec.id, name)

    async def test_the_base_model_stays_itself_beside_many_adapters(self, case: Case) -> None:
        # A new process: what was unloaded keeps its slot in vLLM until that is needed, and so no slot may be empty.
        case.server.stop(case.spec.id)
        case.until_gone()
        case.ready()
        more = 0 if case.build is Build.CPU else 1
        names = [f"many-{number}" for number in range(case.spec.max_loras + more)]
        alone = await answer(case.ask(case.spec.base_name))
        for name in names:
            case.server.load(case.spec.id, case.adapter(name))
            base, tuned = await asyncio.gather(answer(case.ask(case.spec.base_name)), answer(case.ask(name)))
            assert base == alone, name
            assert tuned != alone
        for name in names:
            case.server.unload(case.spec.id, name)

    def test_an_adapter_that_cannot_be_served_is_refused_and_the_host_lives(self, case: Case) -> None:
        case.ready()
        base = Path(case.spec.base_model)
        strange = {name.replace("layers.0", "layers.77"): shape for name, shape in adapter_shapes(base).items()}
        flat = {name: (*shape[:-1], shape[-1] + 1) for name, shape in adapter_shapes(base).items()}
        make_adapter(case.folder / "strange", base, shapes=strange)
        make_adapter(case.folder / "flat", base, shapes=flat)
        make_adapter(case.folder / "dora", base, use_dora=True)
        make_adapter(case.folder / "layers", base, modules_to_save=["lm_head"])
        (case.folder / "empty").mkdir()
        for name, folder, code in (
            ("large", Path(case.adapter("large", rank=17).folder), "adapter.rank_too_high"),
            ("strange", case.folder / "strange", "adapter.unknown_module"),
            ("flat", case.folder / "flat", "adapter.wrong_shape"),
            ("dora", case.folder / "dora", "adapter.unsupported"),
            ("layers", case.folder / "layers", "adapter.modules_to_save"),
            ("empty", case.folder / "empty", "adapter.missing_file"),
            ("gone", case.folder / "gone", "adapter.no_folder"),
            ("whole", base, "adapter.full_checkpoint"),
        ):
            with pytest.raises(AdapterRefused) as caught:
                case.server.load(case.spec.id, AdapterRef(model_id=name, folder=str(folder)))
            assert caught.value.code == code
        assert case.loaded() == frozenset()
        case.ready()

    async def test_base_and_adapter_answer_each_in_its_own_way(self, case: Case) -> None:
        case.ready()
        case.server.load(case.spec.id, case.adapter("good"))
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
        request = case.ask(case.spec.base_name, AT_LENGTH, max_tokens=400)
        async with aclosing(stream_answer(request)) as stream:
            await anext(stream)
            assert running_requests(address) == 1
        async with asyncio.timeout(60):
            while running_requests(address):  # noqa: ASYNC110  vLLM tells it by polling only
                await asyncio.sleep(0.05)

    def test_a_program_that_was_started_again_finds_its_hosts(self, case: Case) -> None:
        address = case.ready()
        case.server.load(case.spec.id, case.adapter("good"))
        case.server = case.again()
        assert (case.ready(), case.loaded()) == (address, frozenset({"good"}))
        case.server.start(case.spec)
        assert (case.ready(), case.loaded()) == (address, frozenset({"good"}))
        case.server.unload(case.spec.id, "good")

    def test_a_killed_host_is_started_anew_with_nothing_loaded(self, case: Case) -> None:
        case.ready()
        case.server.load(case.spec.id, case.adapter("good"))
        case.kill()
        status = case.until(lambda status: status.address is None)
        if case.mends_itself:
            assert status.state in (HostState.FAILED, HostState.STARTING)
        else:
            assert (status.state, status.reason) == (HostState.FAILED, "killed")
        with pytest.raises(ServerUnavailable):
            case.server.load(case.spec.id, case.adapter("good"))
        case.ready()
        assert case.loaded() == frozenset()

    def test_a_host_that_rests_computes_nothing_until_it_is_started(self, case: Case) -> None:
        case.ready()
        for _ in range(2):
            case.server.rest(case.spec.id)
            status = case.status()
            assert status is None or status.state is HostState.STOPPED
        case.wait_for_processes(0)
        with pytest.raises(ServerUnavailable):
            case.server.load(case.spec.id, case.adapter("good"))
        case.ready()
        case.server.rest("nobody")

    def test_another_spec_is_another_process(self, case: Case) -> None:
        before = case.ready()
        case.server.start(replace(case.spec, max_lora_rank=2 * case.spec.max_lora_rank))
        status = case.until(lambda status: status.address != before)
        assert status.state in (HostState.STARTING, HostState.READY)
        case.server.stop(case.spec.id)

    def test_stopping_leaves_nothing(self, case: Case) -> None:
        case.server.start(case.spec)
        for _ in range(2):
            case.server.stop(case.spec.id)
            case.until_gone()
            case.wait_for_processes(0)
