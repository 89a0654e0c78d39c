"""vLLM processes: the contract with a quick stand-in and with the real vLLM, and what only processes can go through."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from serving.parity import check_parity, prompts, unpacked
from serving.processes import marked_processes
from serving.services import HostSpec, NotProven, ServerUnavailable
from serving.vllm_command import HOST_MARK, Build
from serving.vllm_local import LocalVllm, Patience
from storage.states import HostState
from tests.adapter_files import make_base_files
from tests.contracts.model_servers import Case, ModelServerContract
from tests.places import serving_python
from tests.tiny_model import CHAT_TEMPLATE, make_tiny_model
from tests.vllm_stand_in import stand_in_python
from training.conversation import ChatMessage, Conversation
from training.tokens import ChatTokenizer

TALKS = (
    Conversation(
        messages=(
            ChatMessage(role="user", content="Who are you?"),
            ChatMessage(role="assistant", content="I am Nova."),
        ),
        row=1,
    ),
    Conversation(
        messages=(
            ChatMessage(role="system", content="You are Nova, made by Acme."),
            ChatMessage(role="user", content="你是谁？"),
            ChatMessage(role="assistant", content="我是 Nova。"),
            ChatMessage(role="user", content="  \n And who made you? <|im_end|> 😀"),
            ChatMessage(role="assistant", content="Acme."),
        ),
        row=2,
    ),
)


def host_processes(hosts: Path, host: str = "h1") -> tuple[int, ...]:
    """A renamed process hides its environment, but not the session that it shares with its parent."""
    return marked_processes(HOST_MARK, str(hosts / host))


def first_process(hosts: Path, host: str = "h1") -> int:
    return int(json.loads((hosts / host / "process.json").read_text())["mark"]["pid"])


def wait_for(hosts: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(host_processes(hosts)) != count:
        assert time.monotonic() < deadline, host_processes(hosts)
        time.sleep(0.05)


def make_case(folder: Path, python: Path, base: Path, start_s: float, build: Build) -> Case:
    hosts = folder / "hosts"
    return Case(
        server=LocalVllm(hosts, python, threads=1),
        spec=HostSpec(id="h1", base_model=str(base), base_name="tiny", context_tokens=512),
        kill=lambda: kill_first_process(hosts),
        processes=lambda: len(host_processes(hosts)),
        again=lambda: LocalVllm(hosts, python, threads=1),
        folder=folder,
        start_s=start_s,
        build=build,
    )


def kill_first_process(hosts: Path) -> None:
    pid = first_process(hosts)
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


class TestStandIn(ModelServerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
        folder: Path = tmp_path_factory.mktemp("stand-in")
        # So slow that an answer is still under way when somebody looks.
        python = stand_in_python(folder / "bin", between_tokens_s=0.1)
        case = make_case(folder, python, make_base_files(folder / "base"), start_s=120, build=Build.CUDA)
        yield case
        case.server.stop("h1")


class TestRealVllm(ModelServerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
        python = serving_python()
        folder: Path = tmp_path_factory.mktemp("vllm")
        # 128 wide in 4 heads: on a CPU vLLM computes with heads of 32 and more.
        case = make_case(folder, python, make_tiny_model(folder / "base", hidden=128), start_s=300, build=Build.CPU)
        yield case
        case.server.stop("h1")

    async def test_it_reads_in_the_tokens_of_the_training(self, case: Case) -> None:
        address, tokenizer = case.ready(), ChatTokenizer.from_checkpoint(Path(case.spec.base_model))
        case.server.load(case.spec.id, case.adapter("good"))
        asked = [prompt for one in TALKS for prompt in prompts(one, tokenizer)]
        for model in (case.spec.base_name, "good"):
            await check_parity(address, model, asked, tokenizer)
        case.server.unload(case.spec.id, "good")

    async def test_a_training_with_another_template_is_told_apart(self, case: Case) -> None:
        address, base = case.ready(), Path(case.spec.base_model)
        other = case.folder / "other"
        shutil.copytree(base, other, ignore=shutil.ignore_patterns("*.safetensors"))
        (other / "chat_template.jinja").write_text(CHAT_TEMPLATE.replace("assistant\n", "assistant: "))
        tokenizer = ChatTokenizer.from_checkpoint(other)
        with pytest.raises(NotProven) as caught:
            await check_parity(address, case.spec.base_name, prompts(TALKS[0], tokenizer), tokenizer)
        place = int(caught.value.params["place"])
        pair = next(pair for pair in unpacked(str(caught.value.params["table"])) if pair.place == place)
        assert (pair.trained_text, pair.served_text) == (":", "\n")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "hosts"
    yield folder
    LocalVllm(folder, tmp_path).stop("h1")


@pytest.fixture
def server(hosts: Path, tmp_path: Path) -> LocalVllm:
    return LocalVllm(hosts, stand_in_python(tmp_path / "bin"), threads=1)


@pytest.fixture
def spec(tmp_path: Path) -> HostSpec:
    base = make_base_files(tmp_path / "base")
    return HostSpec(id="h1", base_model=str(base), base_name="tiny", context_tokens=512)


def until(server: LocalVllm, state: HostState) -> str | None:
    deadline = time.monotonic() + 120
    while (status := server.observe()["h1"]).state is not state:
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status.reason


def test_a_host_that_cannot_start_says_why(server: LocalVllm, spec: HostSpec) -> None:
    server.start(replace(spec, base_model="/nowhere"))
    assert until(server, HostState.FAILED) == "no config.json in /nowhere"
    server.start(spec)
    until(server, HostState.READY)


def test_where_vllm_is_not_installed_it_is_said(spec: HostSpec, hosts: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable) as caught:
        LocalVllm(hosts, tmp_path / "nowhere" / "python").start(spec)
    assert caught.value.code == "serving.not_started"
    assert "nowhere" in str(caught.value.params["detail"])


def test_an_engine_whose_server_was_killed_is_cleared_away(server: LocalVllm, spec: HostSpec, hosts: Path) -> None:
    server.start(spec)
    until(server, HostState.READY)
    wait_for(hosts, 2)
    kill_first_process(hosts)
    assert len(host_processes(hosts)) == 1
    server.start(spec)
    until(server, HostState.READY)
    wait_for(hosts, 2)
    kill_first_process(hosts)
    server.stop("h1")
    assert host_processes(hosts) == ()


def test_a_process_that_no_record_knows_is_replaced(server: LocalVllm, spec: HostSpec, hosts: Path) -> None:
    server.start(spec)
    until(server, HostState.READY)
    unknown = first_process(hosts)
    (hosts / "h1" / "process.json").unlink()
    assert server.observe() == {}
    server.start(spec)
    until(server, HostState.READY)
    assert first_process(hosts) != unknown
    wait_for(hosts, 2)


def test_many_who_start_a_host_at_once_start_one(spec: HostSpec, hosts: Path, tmp_path: Path) -> None:
    servers = [LocalVllm(hosts, stand_in_python(tmp_path / "bin"), threads=1) for _ in range(6)]
    threads = [threading.Thread(target=server.start, args=(spec,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(servers[0], HostState.READY)
    wait_for(hosts, 2)


def test_a_number_that_another_process_was_given_is_not_our_host(
    server: LocalVllm, spec: HostSpec, hosts: Path
) -> None:
    server.start(spec)
    until(server, HostState.READY)
    record = json.loads((hosts / "h1" / "process.json").read_text())
    record["mark"]["started_ticks"] -= 1
    (hosts / "h1" / "process.json").write_text(json.dumps(record))
    assert server.observe()["h1"].state is HostState.FAILED


def test_a_host_that_hangs_is_ready_for_a_while_then_failed(
    server: LocalVllm, spec: HostSpec, hosts: Path, tmp_path: Path
) -> None:
    patience = Patience(silent_s=0, stop_s=0.5)
    hasty = LocalVllm(hosts, stand_in_python(tmp_path / "bin"), threads=1, patience=patience)
    server.start(spec)
    until(server, HostState.READY)
    until(hasty, HostState.READY)
    os.kill(first_process(hosts), signal.SIGSTOP)
    assert server.observe()["h1"].state is HostState.READY
    assert until(hasty, HostState.FAILED) == "silent"
    hasty.start(spec)
    until(hasty, HostState.READY)


def test_a_host_that_never_comes_up_has_failed(spec: HostSpec, hosts: Path, tmp_path: Path) -> None:
    server = LocalVllm(hosts, stand_in_python(tmp_path / "bin"), threads=1, patience=Patience(start_s=0))
    server.start(spec)
    assert server.observe()["h1"].reason == "slow_start"


def test_the_key_is_for_our_eyes_only(server: LocalVllm, spec: HostSpec, hosts: Path) -> None:
    server.start(spec)
    record = hosts / "h1" / "process.json"
    key = json.loads(record.read_text())["api_key"]
    assert record.stat().st_mode & 0o777 == 0o600
    assert key.encode() not in Path(f"/proc/{first_process(hosts)}/cmdline").read_bytes()
    until(server, HostState.READY)
    assert key not in (hosts / "h1" / "log.txt").read_text()


def test_a_broken_record_is_started_over(server: LocalVllm, spec: HostSpec, hosts: Path) -> None:
    server.start(spec)
    (hosts / "h1" / "process.json").write_text("{")
    assert server.observe() == {}
    server.start(spec)
    until(server, HostState.READY)
    wait_for(hosts, 2)
