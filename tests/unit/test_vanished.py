"""An attempt whose Job is gone from the cluster ends as its machines said."""

from dataclasses import replace
from pathlib import Path

import pytest

from storage.files import ArtifactFiles
from storage.states import RunState
from training.layout import run_folder
from training.manifest import example_attempt
from training.runs import AttemptStatus, Reason
from training.spec import TrainingSpec
from training.trainer import request
from training.trainer.exits import Exit
from training.trainer.outcomes import Outcome, write_exit
from training.vanished import find_left

ATTEMPT = replace(example_attempt(TrainingSpec(nodes=2), name="one"))


def find(root: Path, *exits: Exit | None) -> AttemptStatus | None:
    """What is found where each machine ended so."""
    folder = run_folder(root, ATTEMPT.id.run_id).attempt(ATTEMPT.id.number)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.request.write_bytes(request.to_json(ATTEMPT))
    for node, exit_ in enumerate(exits):
        if exit_ is not None:
            write_exit(folder, Outcome(exit=exit_, detail="why"), node=node)
    return find_left(ArtifactFiles(root), ATTEMPT.id)


def test_nothing_is_found_of_one_that_said_nothing(tmp_path: Path) -> None:
    assert find_left(ArtifactFiles(tmp_path), ATTEMPT.id) is None
    assert find(tmp_path, None, None) is None


@pytest.mark.parametrize(
    ("exits", "state", "reason"),
    [
        ((Exit.SUCCEEDED, Exit.SUCCEEDED), RunState.SUCCEEDED, None),
        ((Exit.SUCCEEDED, None), RunState.SUCCEEDED, None),
        ((Exit.LOST_PEER, Exit.OUT_OF_MEMORY), RunState.FAILED, Reason.OUT_OF_MEMORY),
        ((Exit.STOPPED, Exit.STOPPED), RunState.CANCELLED, Reason.STOPPED),
        ((Exit.INTERRUPTED, Exit.INTERRUPTED), RunState.FAILED, Reason.INTERRUPTED),
    ],
)
def test_what_its_machines_said_is_how_it_ended(
    tmp_path: Path, exits: tuple[Exit | None, Exit | None], state: RunState, reason: Reason | None
) -> None:
    found = find(tmp_path, *exits)
    assert found is not None
    assert (found.state, found.reason, found.has_model) == (state, reason, False)


def test_its_model_and_its_progress_are_found(tmp_path: Path) -> None:
    files = ArtifactFiles(tmp_path)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "adapter.bin").write_bytes(b"weights")
    files.keep_folder(tmp_path / "made", ATTEMPT.model)
    progress = run_folder(tmp_path, ATTEMPT.id.run_id).attempt(ATTEMPT.id.number).progress
    progress.parent.mkdir(parents=True)
    progress.write_text('{"event": "begin", "step": 0, "steps": 2}\n{"event": "step", "step": 1, "seconds_left": 1}\n')
    found = find(tmp_path, Exit.SUCCEEDED, Exit.SUCCEEDED)
    assert found is not None
    assert found.has_model
    assert (found.progress.step, found.progress.steps) == (1, 2)
