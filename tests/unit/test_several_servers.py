"""Several places behind one port: the suite of every model server, and which place a host belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.texts import LANGUAGES, texts
from serving.services import AdapterRef, HostSpec, HostStatus, ModelServer, ServerUnavailable
from serving.several import SeveralServers
from storage.states import HostState
from tests.adapter_files import make_base_files
from tests.contracts.model_servers import Case, ModelServerContract
from tests.fake_vllm import FakeModelServer


class TestSeveralServers(ModelServerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
        folder: Path = tmp_path_factory.mktemp("several")
        base = make_base_files(folder / "base")
        here, there = FakeModelServer(), FakeModelServer(checks_adapters=True, between_tokens_s=0.01)

        def join() -> ModelServer:
            return SeveralServers({"here": here, "there": there})

        yield Case(
            server=join(),
            spec=HostSpec(id="h1", base_model=str(base), base_name="tiny", context_tokens=512, place="there"),
            kill=lambda: there.kill("h1"),
            processes=lambda: len(here.hosts) + len(there.hosts),
            again=join,
            folder=folder,
            start_s=60,
        )
        here.close()
        there.close()


class StubbornServer(FakeModelServer):
    """Lets nothing be stopped while it ``refuses``."""

    refuses = False

    def stop(self, host: str) -> None:
        if self.refuses:
            raise ServerUnavailable("serving.not_stopped", detail="no")
        super().stop(host)


@dataclass(kw_only=True)
class Places:
    """Two places, and the port over them."""

    beijing: StubbornServer
    shanghai: StubbornServer

    def join(self) -> SeveralServers:
        """As a program makes it that knows nothing yet."""
        return SeveralServers({"beijing": self.beijing, "shanghai": self.shanghai})


@pytest.fixture
def places() -> Iterator[Places]:
    made = Places(beijing=StubbornServer(), shanghai=StubbornServer())
    yield made
    made.beijing.close()
    made.shanghai.close()


def host(id_: str, place: str) -> HostSpec:
    return HostSpec(id=id_, base_model="/models/tiny", base_name="tiny", context_tokens=512, place=place)


@pytest.fixture
def adapter(tmp_path: Path) -> AdapterRef:
    (tmp_path / "adapter_config.json").write_text("{}")
    return AdapterRef(model_id="m", folder=str(tmp_path))


def states(found: ModelServer) -> dict[str, HostState]:
    return {name: status.state for name, status in found.observe().items()}


def test_a_host_goes_to_its_own_place_and_one_look_sees_all(places: Places) -> None:
    several = places.join()
    several.start(host("a", "beijing"))
    several.start(host("b", "shanghai"))
    assert (set(places.beijing.hosts), set(places.shanghai.hosts)) == ({"a"}, {"b"})
    assert states(several) == {"a": HostState.READY, "b": HostState.READY}


def test_adapters_go_where_the_host_is(places: Places, adapter: AdapterRef) -> None:
    several = places.join()
    several.start(host("a", "beijing"))
    several.start(host("b", "shanghai"))
    several.load("b", adapter)

    def loaded() -> dict[str, frozenset[str]]:
        found: dict[str, HostStatus] = dict(several.observe())
        return {name: status.adapters for name, status in found.items()}

    assert loaded() == {"a": frozenset(), "b": frozenset({"m"})}
    several.unload("b", "m")
    assert loaded() == {"a": frozenset(), "b": frozenset()}


def test_a_place_that_is_not_there_any_more_is_said(places: Places) -> None:
    with pytest.raises(ServerUnavailable) as caught:
        places.join().start(host("a", "nanjing"))
    assert (caught.value.code, dict(caught.value.params)) == ("serving.no_place", {"place": "nanjing"})
    assert not places.beijing.hosts
    assert not places.shanghai.hosts
    assert all("nanjing" in texts(language)(caught.value.code, **caught.value.params) for language in LANGUAGES)


def test_a_host_that_moves_is_stopped_where_it_was(places: Places, adapter: AdapterRef) -> None:
    several = places.join()
    several.start(host("a", "beijing"))
    several.start(host("a", "shanghai"))
    assert (set(places.beijing.hosts), set(places.shanghai.hosts)) == (set(), {"a"})
    several.load("a", adapter)
    assert several.observe()["a"].adapters == {"m"}


def test_a_host_that_cannot_be_stopped_where_it_was_does_not_move(places: Places) -> None:
    several = places.join()
    several.start(host("a", "beijing"))
    places.beijing.refuses = True
    for _ in range(2):
        with pytest.raises(ServerUnavailable, match="not_stopped"):
            several.start(host("a", "shanghai"))
    assert not places.shanghai.hosts
    assert states(several) == {"a": HostState.READY}
    places.beijing.refuses = False
    several.start(host("a", "shanghai"))
    assert (set(places.beijing.hosts), set(places.shanghai.hosts)) == (set(), {"a"})


def test_a_new_program_finds_hosts_by_looking(places: Places, adapter: AdapterRef) -> None:
    places.join().start(host("a", "shanghai"))
    several = places.join()
    with pytest.raises(ServerUnavailable):
        several.load("a", adapter)
    assert states(several) == {"a": HostState.READY}
    several.load("a", adapter)
    assert several.observe()["a"].adapters == {"m"}
    several.start(host("a", "beijing"))
    assert (set(places.beijing.hosts), set(places.shanghai.hosts)) == ({"a"}, set())


def test_what_ends_is_ended_at_its_own_place_and_nowhere_else(places: Places) -> None:
    several = places.join()
    for id_, place in (("a", "beijing"), ("b", "shanghai"), ("c", "shanghai")):
        several.start(host(id_, place))
    several.rest("b")
    several.stop("c")
    assert (set(places.beijing.hosts), set(places.shanghai.hosts)) == ({"a"}, set())
    for end in (several.rest, several.stop):
        end("c")
        end("nobody")
    several.start(host("b", "shanghai"))
    assert states(several) == {"a": HostState.READY, "b": HostState.READY}


def test_what_could_not_be_stopped_is_stopped_the_next_time(places: Places) -> None:
    several = places.join()
    several.start(host("a", "shanghai"))
    places.shanghai.refuses = True
    with pytest.raises(ServerUnavailable):
        several.stop("a")
    places.shanghai.refuses = False
    several.stop("a")
    assert not places.shanghai.hosts


def test_what_a_new_program_has_not_seen_yet_is_stopped_wherever_it_may_be(places: Places) -> None:
    places.join().start(host("a", "shanghai"))
    places.shanghai.refuses = True
    with pytest.raises(ServerUnavailable):
        places.join().stop("a")
    places.shanghai.refuses = False
    places.join().stop("a")
    assert not places.shanghai.hosts
