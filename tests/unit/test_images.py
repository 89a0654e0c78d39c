"""What the images of `deploy/images` are made of; no image is built here."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.places import PROJECT

IMAGES = PROJECT / "deploy" / "images"
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))
TRAINING_PACKAGES = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "gguf", "safetensors"}
SERVER_PACKAGES = {"sqlalchemy", "chainlit", "slack-bolt", "fastapi", "kubernetes", "langchain-core"}


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def steps(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    path: Path = request.param
    return read_dockerfile(path)


def test_base_images_are_pinned_and_of_no_particular_registry(steps: list[tuple[str, str]]) -> None:
    stages = {words.split(" AS ")[1] for step, words in steps if step == "FROM" and " AS " in words}
    bases = {words.split()[0] for step, words in steps if step == "FROM"} - stages
    assert bases
    for base in bases:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+-[a-z-]+", base)


def test_the_image_runs_as_a_user_with_a_number(steps: list[tuple[str, str]]) -> None:
    last_stage = steps[max(index for index, (step, _) in enumerate(steps) if step == "FROM") :]
    assert [words for step, words in last_stage if step == "USER"] == ["1000:1000"]


def test_packages_are_installed_from_a_locked_list_with_hashes(steps: list[tuple[str, str]]) -> None:
    installs = [words for step, words in steps if step == "RUN" and " install " in words]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert re.search(r"--requirement requirements/(server|trainer)\.txt", installs[0])
    assert not [words for _, words in steps if re.search(r"https?://|index-url|apt-get|curl|wget", words)]


def test_what_is_copied_is_there_and_let_through(steps: list[tuple[str, str]]) -> None:
    copied = [words.split()[:-1] for step, words in steps if step == "COPY" and not words.startswith("--from")]
    sources = [source for sources in copied for source in sources]
    assert sources
    for source in sources:
        assert (PROJECT / source).exists()
        assert is_let_through(source)


def test_nothing_else_is_let_through() -> None:
    for name in (".env", ".git", ".venv", "tests", "docs", "requirements/dev.txt", "bot/__pycache__/cli.pyc"):
        assert not is_let_through(name)


def test_the_server_holds_what_the_project_needs_and_no_training() -> None:
    server, main = locked("server"), locked("main")
    assert server.items() <= main.items()
    assert names(project()["dependencies"]) <= server.keys()
    assert not TRAINING_PACKAGES & server.keys()


def test_the_trainer_holds_the_training_packages_and_no_server() -> None:
    trainer, main = locked("trainer"), locked("main")
    assert trainer.items() <= main.items()
    assert names(project()["optional-dependencies"]["training"]) <= trainer.keys()
    assert not SERVER_PACKAGES & trainer.keys()


def test_packages_made_from_their_source_are_named() -> None:
    (install,) = (words for step, words in read_dockerfile(IMAGES / "server.Dockerfile") if "--no-binary" in words)
    found = re.search(r"--no-binary (\S+)", install)
    assert found is not None
    assert set(found[1].split(",")) <= locked("server").keys()


def read_dockerfile(path: Path) -> list[tuple[str, str]]:
    """Its instructions: name, and the rest on one line."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(step, words) for step, _, words in (line.partition(" ") for line in text.splitlines() if line)]


def is_let_through(name: str) -> bool:
    """Whether .dockerignore gives a file to the build; of its rules, the last that matches holds."""
    answer = True
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        rule = line.removeprefix("!")
        matches = fnmatch(name, rule) or name.startswith(f"{rule}/") or fnmatch(f"/{name}/", f"*/{rule[3:]}/*")
        if line and not line.startswith("#") and matches:
            answer = line.startswith("!")
    return answer


def locked(name: str) -> dict[str, str]:
    """A locked list: package -> version and marker."""
    text = (PROJECT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[\S+\])?==(\S+)", text, re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    """The packages that requirements ask for."""
    return {re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in requirements}


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return found
