"""The main job through the assistant: two machines of a real cluster train one model."""

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.manifests import is_complete
from storage.models import Model
from storage.runs import points_of
from storage.states import RunState
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import NAMESPACE
from tests.cluster.house import PLAN, cards, data, house_with, is_over, wait_for
from tests.cluster.stage import DEADLINE_S, ClusterStage, in_bucket, make_owned, place_for
from tests.contracts.run_backend import Seen, has_ended
from tests.living import until
from tests.recording import words
from tests.s3_server import s3_server
from training.kubernetes import KubernetesRuns
from training.local import LocalRuns
from training.manifest import job_name
from training.places import Cards, ClusterPlace
from training.runs import Attempt, AttemptId
from training.trainer import request


@pytest.fixture
def place(account: Path, volume: Path, request: pytest.FixtureRequest) -> ClusterPlace:
    instance = f"m{abs(hash(request.node.nodeid)) % 10**10}"
    make_owned(volume / instance)
    return place_for(account, NAMESPACE, instance, cards=Cards(per_node=0))


def local_losses(folder: Path, artifacts: Path, attempt: Attempt) -> list[float]:
    """What two ranks of this machine lose with the same plan."""
    spec = attempt.spec.model_copy(update={"nodes": 1, "gpus_per_node": 2})
    (folder / "datasets").mkdir(parents=True)
    (folder / attempt.dataset).symlink_to(artifacts / attempt.dataset)
    base = request.base_model_folder(artifacts, attempt)
    local = Attempt(
        **{**attempt.__dict__, "id": AttemptId("local", 1), "spec": spec, "base_model": str(base), "model": "models/l"}
    )
    backend = LocalRuns(folder, Path(sys.executable), threads=1)
    backend.submit(local)
    deadline = time.monotonic() + DEADLINE_S
    while not (status := backend.observe()[local.id]).state.is_final:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert status.state is RunState.SUCCEEDED, list(backend.logs(local.id, last_lines=50))
    return [point.training_loss or 0 for point in status.progress.points]


@dataclass(frozen=True, kw_only=True)
class Store:
    """Where the artifacts are: for us, and as files to look at."""

    root: str
    files: Path
    place: ClusterPlace


@pytest.fixture(params=["volume", "bucket"])
def store(
    place: ClusterPlace,
    volume: Path,
    cluster: Cluster,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Store]:
    """A shared volume, and a real S3 server."""
    if request.param == "volume":
        files = volume / place.claim_path
        yield Store(root=str(files), files=files, place=place)
        return
    with s3_server(tmp_path / "s3", host=cluster.plan.host) as server:
        bucket = server.new_bucket()
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        place = in_bucket(cluster, place, server)
        yield Store(root=f"s3://{bucket}/tunes", files=server.data / bucket / "tunes", place=place)


async def test_two_machines_train_one_model(cluster: Cluster, store: Store, tiny_model: Path, tmp_path: Path) -> None:
    runs = KubernetesRuns(store.place, store.root)
    async with house_with(tmp_path / "home", runs, store.place, tiny_model, store.root) as house:
        await house.say(f"/finetune base_model=tiny preset=custom nodes=2 {PLAN} start", files=[data(tmp_path, "pair")])
        run = await wait_for(house, lambda run: run.state is not RunState.QUEUED)
        listed = cluster.kubectl("get", "job", "-n", NAMESPACE, "-l", f"tunesmith/run={run.id}", "-o", "json")
        assert f'"tunesmith/task": "{run.name}"' in listed
        run = await wait_for(house, is_over)
        log = list(runs.logs(AttemptId(run.id, 1), last_lines=50))
        assert run.state is RunState.SUCCEEDED, "\n".join([str(run.reason), str(run.detail), *log])
        async with house.application.world.store.reading() as session:
            losses = [point.training_loss or 0 for point in await points_of(session, run.id)]
            model = await session.get_one(Model, run.id)
        assert is_complete(store.files / model.source.removeprefix("artifact:"))
        assert not list((store.files / "runs" / run.id).glob("checkpoints/*/*"))
        await until(lambda: cards(house, run.name)[-1].tone == "good")
        shown = cards(house, run.name)
        assert any("machines are up" in card.status or "load the model" in card.status for card in shown)
        assert any(card.curves for card in shown)
        asked = request.from_json((store.files / "runs" / run.id / "attempt-1" / "request.json").read_bytes())
        await house.say(f"/undeploy {run.name}")
        await house.say(f"/delete {run.name} yes")
        await until(lambda: any("with all that it left" in words(each) for each in house.face.visible("thread-1")))
        owned = cluster.kubectl("get", "jobs,services", "-n", NAMESPACE, "-l", f"tunesmith/run={run.id}", "-o", "name")
        assert "job" not in owned
        assert not [file for file in store.files.rglob("*") if file.is_file() and run.id in str(file)]
    runs.close()
    alone = await asyncio.to_thread(local_losses, tmp_path / "local", store.files, asked)
    assert losses == pytest.approx(alone, rel=1e-4)


async def test_a_run_in_a_bucket_goes_on_from_the_checkpoint_there(
    cluster: Cluster,
    place: ClusterPlace,
    volume: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with s3_server(tmp_path / "s3", host=cluster.plan.host) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        stage = ClusterStage(in_bucket(cluster, place, server), volume, tiny_model, f"s3://{server.new_bucket()}")
        # Long enough for what comes late: the mirror sends its steps every five seconds, and kubectl has to start.
        attempt = stage.make("kept", epochs=150, save_steps=1000)
        stage.backend.submit(attempt)
        stage.wait(attempt.id, Seen(5))
        cluster.kubectl("delete", "pods", "-n", NAMESPACE, "-l", f"job-name={job_name(attempt.id)}", "--wait=false")
        status = stage.wait(attempt.id, has_ended)
        assert (status.state, status.has_model) == (RunState.SUCCEEDED, True), stage.log(attempt.id)
        log = "\n".join(stage.backend.logs(attempt.id, last_lines=10_000))
        assert "interrupted at step" in log
        assert "goes on from checkpoint-" in log
        assert [point.step for point in status.progress.points] == list(range(1, status.progress.steps + 1))
        stage.backend.delete(attempt.id)
        assert not [file for file in server.data.rglob("*") if file.is_file() and "runs/" in str(file)]
        stage.close()
