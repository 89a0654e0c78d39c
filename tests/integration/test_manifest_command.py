"""`tunesmith manifest` prints exactly what would be sent."""

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from bot.checks import check_task
from bot.cli import app
from bot.hosting import host_spec
from bot.manifests import (
    HOST,
    KEY,
    OWNER_UID,
    UID,
    attempt_of,
    example_host,
    print_manifest,
    print_serving_manifest,
)
from bot.places import read_places
from bot.plans import read_plan
from bot.reconcile.models import add_base
from bot.secret import read_secret
from bot.settings import Settings, read_settings
from bot.stopping import CannotGoOnError
from bot.texts import texts
from serving.manifest import Sources, deployment, fitting_size, owned
from storage.files import ArtifactFiles
from storage.services import want_host
from tests.conversing import bench
from tests.tiny_model import make_tiny_model
from training import manifest
from training.base_copies import BaseCopies, copy_key
from training.checkpoints import inspect_checkpoint
from training.runs import Preparing
from training.spec import TrainingSpec

EN, ZH = texts("en"), texts("zh-CN")
PLACES = """
- name: north
  namespace: team
  cards: {per_node: 4, products: [H100]}
  node_cpu: 32
  pod_overlay: {spec: {nodeSelector: {pool: gpu}}}
- name: south
  image: trainer:south
  cards: {per_node: 0}
  queue: research
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    make_tiny_model(home / "models" / "tiny")
    rows = [{"instruction": f"What is {n} and one?", "input": "", "output": f"{n + 1}."} for n in range(30)]
    (home / "sums.json").write_text(json.dumps(rows))
    (home / "places.yaml").write_text(PLACES)
    return home


@pytest.fixture
def settings(home: Path) -> Settings:
    return cluster_settings(home)


def cluster_settings(home: Path, **more: Any) -> Settings:
    given = {"runs": "kubernetes", "image": "trainer:1", "artifacts_claim": "files", "places": home / "places.yaml"}
    return read_settings(home=home, **{**given, **more})


def write(home: Path, more: str = "") -> Path:
    path = home / "plan.yaml"
    path.write_text(f"base_model: tiny\ndataset: sums.json\npreset: quick\nexperiment: sums\n{more}")
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    said = capsys.readouterr()
    assert said.err == ""
    return list(YAML(typ="safe").load_all(said.out))


def test_what_is_printed_is_what_would_be_sent(
    home: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(home, "nodes: 2\ngpus_per_node: 2\nlora_rank: 4\n")
    assert print_manifest(path, place=None, settings=settings, text=EN) == 0
    job, service = printed(capsys)

    (task,) = read_plan(path)
    plan, *_ = check_task(task, settings)
    attempt = attempt_of(task, plan.spec, settings)
    north = read_places(settings)[0]
    assert job == manifest.job(attempt, north, bucket=None)
    owner = {"metadata": {"name": "tunesmith-example-1", "uid": UID}}
    assert service == manifest.service(attempt, north, owner=owner)
    assert job["metadata"]["labels"]["tunesmith/experiment"] == "sums"
    assert job["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "gpu"}


def test_the_base_model_is_named_as_its_copy_will_be(home: Path, settings: Settings, tmp_path: Path) -> None:
    (task,) = read_plan(write(home))
    copies = BaseCopies(ArtifactFiles(tmp_path), user_id=1000)
    with pytest.raises(Preparing):
        copies.artifact(str(home / "models" / "tiny"))
    copies.close()
    copied = BaseCopies(ArtifactFiles(tmp_path), user_id=1000).artifact(str(home / "models" / "tiny"))
    assert attempt_of(task, TrainingSpec(), settings).base_model == copied


def test_every_task_has_its_objects_and_each_its_own_names(
    home: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(home, "tasks:\n  - lora_rank: 4\n  - {lora_rank: 8, place: south}\n")
    assert print_manifest(path, place=None, settings=settings, text=ZH) == 0
    objects = printed(capsys)
    assert [(each["kind"], each["metadata"]["name"]) for each in objects] == [
        ("Job", "tunesmith-example-1-1"),
        ("Service", "tunesmith-example-1-1"),
        ("Job", "tunesmith-example-2-1"),
        ("Service", "tunesmith-example-2-1"),
    ]
    assert [each["metadata"]["labels"]["tunesmith/task"] for each in objects[::2]] == ["sums-1", "sums-2"]
    images = [each["spec"]["template"]["spec"]["containers"][0]["image"] for each in objects[::2]]
    assert images == ["trainer:1", "trainer:south"]
    assert "suspend" not in objects[0]["spec"]
    assert objects[2]["spec"]["suspend"] is True


def test_another_place_and_a_bucket(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = cluster_settings(home, artifacts_root="s3://models/tunesmith", artifacts_secret="keys")
    assert print_manifest(write(home), place="south", settings=settings, text=EN) == 0
    job, _ = printed(capsys)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "trainer:south"
    assert "--bucket=s3://models/tunesmith" in container["command"]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]


@pytest.mark.parametrize(
    ("more", "place", "said"),
    [
        ("lerning_rate: 1\n", None, "Did you mean “learning_rate”"),
        ("stage: dpo\n", None, "!"),
        ("", "west", "There is no place “west”: the places are north, south"),
        ("place: east\n", None, "There is no place “east”"),
    ],
)
def test_what_the_check_refuses_is_refused(
    home: Path, settings: Settings, capsys: pytest.CaptureFixture[str], more: str, place: str | None, said: str
) -> None:
    assert print_manifest(write(home, more), place=place, settings=settings, text=EN) == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert said in out.err


def test_trainings_on_this_machine_have_no_manifest(home: Path) -> None:
    with pytest.raises(CannotGoOnError) as caught:
        print_manifest(write(home), place=None, settings=read_settings(home=home), text=EN)
    assert caught.value.code == "print_manifest"
    assert "TUNESMITH_RUNS=kubernetes" in EN("cannot.print_manifest")


SERVED = {"serving": "kubernetes", "serving_image": "vllm:1", "serving_build": "cpu"}
SERVING_PLACES = """
- name: north
  cards: {per_node: 4}
  serving: {gpus: 3, build: cuda, queue: answers, pod_overlay: {spec: {nodeSelector: {pool: gpu}}}}
- name: south
  namespace: team
"""


@pytest.mark.parametrize("more", [{}, {"artifacts_root": "s3://models/tunesmith", "artifacts_secret": "keys"}])
def test_a_model_server_is_printed_as_it_would_be_sent(
    home: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any]
) -> None:
    settings = cluster_settings(home, places=None, **SERVED, **more)
    assert print_serving_manifest("tiny", place=None, settings=settings, text=EN) == 0
    body, *others = printed(capsys)

    (place,) = read_places(settings)
    host = example_host(home / "models" / "tiny", place)
    sources = Sources(artifact=copy_key(home / "models" / "tiny"), bucket=more.get("artifacts_root"))
    assert body == deployment(host, place, sources, size=fitting_size(host, place), key=KEY)
    owner = {"metadata": {"name": "tunesmith-host-example", "uid": OWNER_UID}}
    assert others == list(owned(host, place, sources, owner=owner, key=KEY).values())
    assert [each["kind"] for each in others] == ["Secret", "ConfigMap", "Service", "NetworkPolicy"]
    (vllm,) = body["spec"]["template"]["spec"]["containers"]
    (reference,) = [one["valueFrom"]["secretKeyRef"] for one in vllm["env"] if "valueFrom" in one]
    assert reference["name"] == others[0]["metadata"]["name"]


def test_no_secret_is_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = cluster_settings(home, places=None, **SERVED)
    secret = read_secret(settings.secret_path)
    assert print_serving_manifest("tiny", place=None, settings=settings, text=EN) == 0
    out = capsys.readouterr().out
    _, made, *_ = YAML(typ="safe").load_all(out)
    assert made["stringData"] == {"key": KEY}
    assert secret not in out
    assert hmac.digest(secret.encode(), f"host:{HOST}".encode(), hashlib.sha256).hex() not in out


async def test_the_printed_server_is_the_one_that_a_deployment_would_have(home: Path, tmp_path: Path) -> None:
    (tmp_path / "places.yaml").write_text(SERVING_PLACES)
    settings = cluster_settings(home, places=tmp_path / "places.yaml", **SERVED)
    folder = home / "models" / "tiny"
    places = read_places(settings)
    async with (
        bench(tmp_path / "home", base_models=(), places=places) as desk,
        desk.world.store.transaction() as session,
    ):
        base = await add_base(session, folder, inspect_checkpoint(folder))
        for place in places:
            row = await want_host(session, base.id, place=place.name)
            wished = await host_spec(desk.world, row, base)
            assert replace(wished, id=HOST, artifact=copy_key(folder)) == example_host(folder, place)


def test_a_place_is_chosen_and_its_own_fields_count(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "places.yaml").write_text(SERVING_PLACES)
    settings = cluster_settings(home, places=tmp_path / "places.yaml", **SERVED)
    north, south = read_places(settings)
    model = str(home / "models" / "tiny")
    for name, place in ((None, north), ("north", north), ("south", south)):
        assert print_serving_manifest(model, place=name, settings=settings, text=ZH) == 0
        body, *_ = printed(capsys)
        pod = body["spec"]["template"]
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        has_cards = place is north
        assert limits.get("nvidia.com/gpu") == ("2" if has_cards else None), "three cards do not divide its four heads"
        assert pod["spec"].get("nodeSelector") == ({"pool": "gpu"} if has_cards else None)
        assert pod["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") == ("answers" if has_cards else None)


@pytest.mark.parametrize(
    ("model", "place", "said"),
    [
        ("tinny", None, "There is no base model “tinny”"),
        ("tiny", "west", "There is no place “west”: the places are cluster"),
    ],
)
def test_a_model_or_a_place_that_is_not_there_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], model: str, place: str | None, said: str
) -> None:
    settings = cluster_settings(home, places=None, **SERVED)
    assert print_serving_manifest(model, place=place, settings=settings, text=EN) == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert said in out.err


def test_models_that_are_served_on_this_machine_have_no_manifest(home: Path, settings: Settings) -> None:
    with pytest.raises(CannotGoOnError) as caught:
        print_serving_manifest("tiny", place=None, settings=settings, text=EN)
    assert caught.value.code == "print_serving_manifest"
    assert "TUNESMITH_SERVING=kubernetes" in EN("cannot.print_serving_manifest")


def test_the_command_takes_a_plan_or_a_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"RUNS": "kubernetes", "IMAGE": "trainer:1", "ARTIFACTS_CLAIM": "files", "HOME": str(home)}
    for name, value in given.items() | {(name.upper(), value) for name, value in SERVED.items()}:
        monkeypatch.setenv(f"TUNESMITH_{name}", value)
    run = CliRunner().invoke
    served = run(app, ["manifest", "--serve", "tiny"])
    assert (served.exit_code, "kind: Deployment" in served.output) == (0, True)
    for wrong in ([], [str(write(home)), "--serve", "tiny"]):
        refused = run(app, ["manifest", *wrong])
        assert refused.exit_code == 2
        assert "give a plan, or a model with --serve" in refused.output
