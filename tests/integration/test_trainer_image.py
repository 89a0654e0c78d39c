"""The files that the trainer's image copies are enough to train, with the packages that it installs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import orjson

from tests.places import PROJECT
from tests.unit.test_images import IMAGES, locked, read_dockerfile

MODULES = (
    "serving.puller",
    "training.trainer.share",
    "training.trainer.main",
    "training.trainer.sft",
    "training.trainer.bundled",
)

IMPORT = """
import importlib, json, re, sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions

packages, modules = (set(argument.split()) for argument in sys.argv[1:])
normal = lambda name: re.sub("[-_.]+", "-", name).lower()
owners = {top: set(map(normal, names)) for top, names in packages_distributions().items()}


class OfTheImage(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        owned_by = owners.get(name.partition(".")[0], packages)
        return super().find_spec(name, path, target) if owned_by & packages else None


sys.meta_path[:] = [OfTheImage if finder is PathFinder else finder for finder in sys.meta_path]
for name in sorted(modules):
    importlib.import_module(name)
ours = ("bot", "chainlit_app", "serving", "storage", "training")
files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] in ours]
json.dump({"files": files, "has_sqlalchemy": "sqlalchemy" in sys.modules}, sys.stdout)
"""
"""Imports modules where no package is found but those of the image: others are as if they were not installed."""


def test_the_trainers_image_holds_all_that_a_pod_imports(tmp_path: Path) -> None:
    for step, words in read_dockerfile(IMAGES / "trainer.Dockerfile"):
        if step == "COPY" and not words.startswith(("--from", "requirements")):
            *sources, target = words.split()
            for source in sources:
                copy(PROJECT / source, tmp_path / target)
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT, " ".join(locked("trainer")), " ".join(MODULES)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    imported = orjson.loads(done.stdout)
    assert not imported["has_sqlalchemy"]
    assert len(imported["files"]) > 40
    assert not [file for file in imported["files"] if not Path(file).is_relative_to(tmp_path)]


def copy(source: Path, target: Path) -> None:
    """As COPY does: a folder's content, or a file into a folder."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
