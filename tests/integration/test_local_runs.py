"""Real launchers, torchrun and TRL on a tiny model."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from storage.manifests import is_complete
from storage.states import RunState
from tests.contracts.run_backend import OneAtATimeContract, RunBackendContract, Seen, has_ended
from tests.server_process import processes, wait_until
from tests.tiny_model import make_tiny_model, write_rows
from training.layout import attempt_folder, run_folder
from training.local import LocalRuns, find_launcher
from training.runs import Attempt, AttemptId, AttemptStatus, NoCapacity, Reason
from training.spec import TrainingSpec
from training.trainer import request
from training.trainer.exits import Exit
from training.trainer.outcomes import read_ranks

DEADLINE_S = 400
ROWS = [(f"What is number {number}?", f"Number {number} is {number}, says Nova.") for number in range(24)]


class LocalStage:
    """LocalRuns on a folder of its own, with the tiny model and a data set."""

    def __init__(self, root: Path, base_model: Path) -> None:
        self.root = root
        self.backend = LocalRuns(root, Path(sys.executable), threads=1)
        self._base_model = base_model
        write_rows(root / "datasets" / "numbers" / "numbers.jsonl", ROWS)

    def attempt(self, run_id: str, number: int = 1, *, is_long: bool = False, is_bad: bool = False) -> Attempt:
        # Answers lie behind the first 16 tokens of a row: all are cut away.
        return self.make(run_id, number, epochs=1000 if is_long else 2, cutoff_length=16 if is_bad else 128)

    def make(self, run_id: str, number: int = 1, *, resumes_from: str | None = None, **values: Any) -> Attempt:
        short: dict[str, Any] = {"gpus_per_node": 0, "batch_size": 4, "gradient_accumulation": 1, "logging_steps": 1}
        spec = TrainingSpec(**{**short, "learning_rate": 5e-3, "save_steps": 10, "cutoff_length": 128, **values})
        return Attempt(
            id=AttemptId(run_id, number),
            spec=spec,
            base_model=str(self._base_model),
            dataset="datasets/numbers",
            columns={},
            fills={},
            model=f"models/{run_id}",
            resumes_from=resumes_from,
        )

    def look(self) -> Mapping[AttemptId, AttemptStatus]:
        return self.backend.observe()

    def wait(self, attempt: AttemptId, condition: Callable[[AttemptStatus], bool]) -> AttemptStatus:
        deadline = time.monotonic() + DEADLINE_S
        while not condition(status := self.backend.observe()[attempt]):
            assert time.monotonic() < deadline, f"still {status} after:\n{self.log(attempt)}"
            time.sleep(0.05)
        return status

    def log(self, attempt: AttemptId) -> str:
        return "\n".join(self.backend.logs(attempt, last_lines=40))

    def launcher(self, attempt: AttemptId) -> psutil.Process:
        found = find_launcher(attempt_folder(self.root, attempt), attempt)
        assert found is not None
        return found

    def close(self) -> None:
        for attempt in self.backend.observe():
            self.backend.delete(attempt)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [text for row in ROWS for text in row]
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", texts=texts)


@pytest.fixture
def stage(tmp_path: Path, tiny_model: Path) -> Iterator[LocalStage]:
    stage = LocalStage(tmp_path, tiny_model)
    yield stage
    stage.close()


class TestLocalRuns(RunBackendContract, OneAtATimeContract):
    pass


def test_a_killed_launcher_is_seen_and_the_next_attempt_goes_on_exactly(stage: LocalStage) -> None:
    plan: dict[str, Any] = {"epochs": 20, "save_steps": 5, "validation_ratio": 0.1}
    first = stage.make("killed", **plan)
    stage.backend.submit(first)
    stage.wait(first.id, Seen(12))
    launcher = stage.launcher(first.id)
    family = launcher.children(recursive=True)
    launcher.kill()

    status = stage.wait(first.id, has_ended)
    assert (status.state, status.reason, status.has_model) == (RunState.FAILED, Reason.KILLED, False)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == [], "no rank trains on, unseen"

    # Killed while it saved: a newer checkpoint without its last file.
    checkpoints = run_folder(stage.root, "killed").checkpoints
    (checkpoints / "checkpoint-9999").mkdir()
    # Another server process, with no memory of anything.
    stage.backend = LocalRuns(stage.root, Path(sys.executable), threads=1)
    assert stage.backend.observe()[first.id].reason is Reason.KILLED
    second = stage.make("killed", 2, **plan)
    stage.backend.submit(second)
    resumed = stage.wait(second.id, has_ended)
    assert resumed.state is RunState.SUCCEEDED, stage.log(second.id)
    assert any("goes on from checkpoint-" in line for line in stage.backend.logs(second.id, last_lines=10**6))
    wait_until(lambda: not checkpoints.exists())  # the last that its launcher does

    reference = stage.make("reference", **plan)
    stage.backend.submit(reference)
    uninterrupted = stage.wait(reference.id, has_ended)
    assert [(point.step, point.training_loss) for point in resumed.progress.points] == [
        (point.step, point.training_loss) for point in uninterrupted.progress.points
    ]
    assert [point.validation_loss for point in resumed.progress.points if point.validation_loss] == [
        point.validation_loss for point in uninterrupted.progress.points if point.validation_loss
    ]
    losses = [point.training_loss or 0 for point in uninterrupted.progress.points]
    assert losses[-1] < losses[0]


def test_what_dies_between_the_model_and_its_word_goes_on_from_the_last_checkpoint(stage: LocalStage) -> None:
    first = stage.make("finished", epochs=4, save_steps=5)
    stage.backend.submit(first)
    # Stopped, the launcher writes no end; what it started goes on.
    launcher = stage.launcher(first.id)
    wait_until(lambda: read_ranks(attempt_folder(stage.root, first.id)), seconds=DEADLINE_S)
    launcher.suspend()
    wait_until(lambda: has_saved(stage.root, first), seconds=DEADLINE_S)
    launcher.kill()
    assert stage.wait(first.id, has_ended).reason is Reason.KILLED

    second = stage.make("finished", 2, epochs=4, save_steps=5)
    stage.backend.submit(second)
    status = stage.wait(second.id, has_ended)
    assert (status.state, status.has_model) == (RunState.SUCCEEDED, True), stage.log(second.id)
    assert f"goes on from checkpoint-{status.progress.steps}" in stage.log(second.id)
    assert [point.step for point in status.progress.points] == list(range(1, status.progress.steps + 1))


def has_saved(root: Path, attempt: Attempt) -> bool:
    """Whether the only rank has said that it has succeeded."""
    return [rank.exit for rank in read_ranks(attempt_folder(root, attempt.id))] == [Exit.SUCCEEDED]


def test_an_attempt_that_was_given_up_saves_nothing_beside_the_next(stage: LocalStage) -> None:
    lost = stage.make("lost", epochs=1000, save_steps=200)
    stage.backend.submit(lost)
    stage.wait(lost.id, Seen(2))
    # As on a cluster whose node has fallen silent: nobody there can be told.
    following = attempt_folder(stage.root, AttemptId("lost", 2))
    following.path.mkdir()
    following.request.write_bytes(request.to_json(stage.make("lost", 2)))
    status = stage.wait(lost.id, has_ended)
    assert (status.state, status.reason, status.has_model) == (RunState.FAILED, Reason.LOST_PEER, False)
    assert status.detail == "the next attempt of this run has begun"
    assert not list(run_folder(stage.root, "lost").checkpoints.glob("checkpoint-*"))


def test_a_killed_rank_ends_the_gang_and_another_run_resumes(stage: LocalStage) -> None:
    gang = stage.make("gang", gpus_per_node=2, epochs=1000, save_steps=5, batch_size=2)
    stage.backend.submit(gang)
    stage.wait(gang.id, Seen(6))
    pids = {rank.rank: rank.pid for rank in read_ranks(attempt_folder(stage.root, gang.id))}
    assert set(pids) == {0, 1}
    os.kill(pids[1], signal.SIGKILL)
    status = stage.wait(gang.id, has_ended)
    assert (status.state, status.reason) == (RunState.FAILED, Reason.LOST_PEER)
    assert status.detail == "process 1 ended without a word"

    changed = stage.make("changed", resumes_from="gang", gpus_per_node=2, epochs=1000, batch_size=4)
    stage.backend.submit(changed)
    refused = stage.wait(changed.id, has_ended)
    assert refused.reason is Reason.BAD_CONFIGURATION
    assert "batch_size 2 -> 4" in (refused.detail or "")


def test_sigterm_to_the_launcher_saves_the_model(stage: LocalStage) -> None:
    attempt = stage.make("terminated", epochs=1000, method="full", compute_type="fp32")
    stage.backend.submit(attempt)
    stage.wait(attempt.id, Seen(3))
    stage.launcher(attempt.id).send_signal(signal.SIGTERM)
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.reason, status.has_model) == (RunState.CANCELLED, Reason.STOPPED, True)
    model = stage.root / attempt.model
    assert is_complete(model)
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= {
        path.name for path in model.iterdir()
    }
    assert not (attempt_folder(stage.root, attempt.id).path / "cache").exists()


def test_submissions_that_race_launch_once(stage: LocalStage) -> None:
    attempts = [stage.attempt(f"race-{number % 2}", is_long=True) for number in range(6)]

    def submit(attempt: Attempt) -> bool:
        try:
            LocalRuns(stage.root, Path(sys.executable), threads=1).submit(attempt)
        except NoCapacity:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(submit, attempts))
    assert len({attempt.id for attempt, was_taken in zip(attempts, taken, strict=True) if was_taken}) == 1
    # For a moment, a process that a launcher starts still has its command line.
    wait_until(lambda: len(processes("training.trainer.launch", str(stage.root))) == 1)


def test_a_loss_that_is_no_number_ends_the_run(stage: LocalStage) -> None:
    attempt = poisoned(stage, stage.make("diverges", epochs=300))
    stage.backend.submit(attempt)
    status = stage.wait(attempt.id, has_ended)
    assert (status.state, status.reason, status.has_model) == (RunState.FAILED, Reason.DIVERGED, False)
    assert status.progress.points == ()


def poisoned(stage: LocalStage, attempt: Attempt) -> Attempt:
    """The attempt on a base model with a weight that is no number, as a broken download would leave."""
    copy = stage.root / "poisoned"
    shutil.copytree(attempt.base_model, copy)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4:] = b"\x00\x00\xc0\x7f"
    weights.write_bytes(bytes(data))
    return replace(attempt, base_model=str(copy))


@pytest.mark.parametrize(
    "values",
    [
        {"method": "full", "optimizer": "adafactor", "scheduler": "cosine_with_restarts", "validation_ratio": 0.2},
        {"method": "freeze", "optimizer": "rmsprop", "scheduler": "polynomial"},
        {"lora_lr_ratio": 16.0, "neftune_alpha": 5.0, "rope_scaling": "yarn", "cutoff_length": 1024},
    ],
    ids=["full", "freeze", "lora-plus"],
)
def test_other_methods_learn_too(stage: LocalStage, values: dict[str, Any]) -> None:
    attempt = stage.make("other", epochs=2, **values)
    stage.backend.submit(attempt)
    status = stage.wait(attempt.id, has_ended)
    assert status.state is RunState.SUCCEEDED, stage.log(attempt.id)
    losses = [point.training_loss for point in status.progress.points if point.training_loss is not None]
    assert losses[-1] < losses[0]
    assert is_complete(stage.root / attempt.model)
    assert (stage.root / attempt.model / "adapter_config.json").exists() == ("method" not in values)


def test_a_run_that_never_began_is_begun_and_not_taken_for_killed(stage: LocalStage) -> None:
    attempt = stage.attempt("unborn", is_long=True)
    folder = attempt_folder(stage.root, attempt.id)
    folder.path.mkdir(parents=True)
    folder.request.write_bytes(request.to_json(attempt))
    os.utime(folder.request, (time.time() - 3600, time.time() - 3600))
    assert stage.look()[attempt.id].reason is Reason.KILLED
    stage.backend.submit(attempt)
    begun = stage.launcher(attempt.id)
    stage.backend.submit(attempt)
    assert stage.launcher(attempt.id) == begun
    assert stage.look()[attempt.id].state is RunState.PENDING
