"""The fake that other tests lean on keeps the contract of the real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.services import HostSpec
from serving.vllm_command import Build
from tests.adapter_files import make_base_files
from tests.contracts.model_servers import Case, ModelServerContract
from tests.fake_vllm import FakeModelServer


class TestFakeModelServer(ModelServerContract):
    @pytest.fixture(scope="class", params=Build)
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Case]:
        folder: Path = tmp_path_factory.mktemp("fake")
        base = make_base_files(folder / "base")
        server = FakeModelServer(checks_adapters=True, between_tokens_s=0.01, build=request.param)
        yield Case(
            server=server,
            spec=HostSpec(id="h1", base_model=str(base), base_name="tiny", context_tokens=512),
            kill=lambda: server.kill("h1"),
            processes=lambda: len(server.hosts),
            again=lambda: server,
            folder=folder,
            start_s=60,
            build=request.param,
        )
        server.close()
