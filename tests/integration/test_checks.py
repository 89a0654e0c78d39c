import json
from pathlib import Path

import pytest

from bot.checks import check_dataset, check_experiment, list_parameters
from bot.settings import Settings, read_settings
from bot.texts import texts
from tests.tiny_model import make_tiny_model
from training.spec import PARAMETERS

EN, ZH = texts("en"), texts("zh-CN")
ROWS = [
    {"instruction": f"What is {n} and one?", "input": "", "output": f"{n + 1}, says {{{{name}}}}."} for n in range(30)
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    make_tiny_model(home / "models" / "tiny")
    (home / "sums.json").write_text(json.dumps(ROWS), encoding="utf-8")
    return home


@pytest.fixture
def settings(home: Path) -> Settings:
    return read_settings(home=home)


def plan(home: Path, text: str) -> Path:
    path = home / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_data_set_is_described(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_dataset(home / "sums.json", as_json=False, text=EN) == 0

    said = capsys.readouterr().out
    assert "rows: 30" in said
    assert "{{name}}" in said


def test_a_bad_row_is_named_by_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"instruction": "a", "output": "b"}\n{"instruction": "a", "output": 3}\n', encoding="utf-8")

    assert check_dataset(file, as_json=False, text=ZH) == 1
    assert "第 2 行" in capsys.readouterr().out

    assert check_dataset(file, as_json=True, text=ZH) == 1
    assert json.loads(capsys.readouterr().out)["bad_rows"] == 1


def test_a_file_that_is_no_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_bytes(b"%PDF-1.7")

    assert check_dataset(tmp_path / "a.json", as_json=True, text=EN) == 1
    assert set(json.loads(capsys.readouterr().out)) == {"error", "message"}


def test_a_plan_is_shown_whole_for_every_task(
    home: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plan(
        home,
        "base_model: tiny\ndataset: sums.json\npreset: quick\nfill.name: Nova\nlearning_rate: 1e-4\n"
        "tasks:\n  - lora_rank: 4\n  - {lora_rank: 8, learning_rate: 2e-4}\n",
    )

    assert check_experiment(path, settings=settings, as_json=True, text=EN) == 0

    first, second = json.loads(capsys.readouterr().out)
    assert (first["spec"]["lora_rank"], first["spec"]["learning_rate"]) == (4, 1e-4)
    assert (second["spec"]["lora_rank"], second["spec"]["learning_rate"]) == (8, 2e-4)
    assert first["origins"]["learning_rate"] == "you"
    assert first["estimate"]["steps"] > 0

    assert check_experiment(path, settings=settings, as_json=False, text=ZH) == 0
    assert "步数" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base_model: tiny\ndataset: sums.json\n", "without a value: name"),
        ("base_model: none\ndataset: sums.json\n", "no base model “none”"),
        ("base_model: tiny\n", "lacks “dataset”"),
        ("base_model: tiny\ndataset: none.json\n", "no data set file"),
        ("base_model: tiny\ndataset: sums.json\nlerning_rate: 1\n", "Did you mean “learning_rate”"),
        ("base_model: tiny\ndataset: sums.json\npreset: slow\n", "quick, balanced, best, custom"),
        ("base_model: tiny\ndataset: sums.json\nfill.name: N\nepochs: many\n", "many"),
        ("base_model: tiny\ndataset: sums.json\nfill.name: N\nstage: dpo\n", "!"),
        ("a: [1\n", "Line 2"),
        ("- a\n", "A plan is a list of names"),
        ("base_model: tiny\ndataset: sums.json\ntasks: 3\n", "one entry a task"),
    ],
)
def test_a_plan_that_cannot_be_started_says_why(
    home: Path, settings: Settings, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert check_experiment(plan(home, text), settings=settings, as_json=False, text=EN) == 1
    assert said in capsys.readouterr().out


def test_every_parameter_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    list_parameters(as_json=False, text=EN)
    assert "learning_rate: Learning rate (" in capsys.readouterr().out

    list_parameters(as_json=True, text=ZH)
    listed = json.loads(capsys.readouterr().out)
    assert [parameter["name"] for parameter in listed] == list(PARAMETERS)
    assert all(parameter["label"] and parameter["why"] for parameter in listed)


def test_a_plan_is_checked_against_its_place(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "places.yaml"
    file.write_text(
        "- {name: beijing, namespace: a, cards: {per_node: 4}}\n"
        "- {name: shanghai, namespace: b, cards: {per_node: 0}}\n"
    )
    settings = Settings(
        home=home,
        runs="kubernetes",
        image="trainer:1",
        artifacts_root=tmp_path / "artifacts",
        artifacts_claim="files",
        places=file,
    )

    def check(place: str, given: Settings = settings) -> tuple[int, str]:
        text = f"base_model: tiny\ndataset: sums.json\npreset: quick\nfill.name: Nova\n{place}"
        code = check_experiment(plan(home, text), settings=given, as_json=False, text=EN)
        return code, capsys.readouterr().out

    assert "GPUs a machine: 1" in check("")[1]
    assert "GPUs a machine: 0" in check("place: shanghai\n")[1]
    assert check("place: tianjin\n") == (1, "! There is no place “tianjin”: the places are beijing, shanghai.\n")
    code, said = check("place: beijing\n", read_settings(home=home))
    assert code == 1
    assert "trainings run on this machine" in said
