"""`tunesmith manifest` prints exactly what would be sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bot.checks import check_task
from bot.manifests import UID, attempt_of, print_manifest
from bot.places import read_places
from bot.plans import read_plan
from bot.settings import Settings, read_settings
from bot.stopping import CannotGoOnError
from bot.texts import texts
from storage.files import ArtifactFiles
from tests.tiny_model import make_tiny_model
from training import manifest
from training.base_copies import BaseCopies
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
