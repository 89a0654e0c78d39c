"""An attempt that its backend has forgotten: a Job that is gone from the cluster. Its own files have the last word."""

from storage.files import ArtifactFiles
from training import verdicts
from training.cluster import Json
from training.reading import ProgressReader, read_outcome, read_request
from training.runs import AttemptId, AttemptStatus

_NO_JOB: Json = {"metadata": {}}


def find_left(files: ArtifactFiles, attempt: AttemptId) -> AttemptStatus | None:
    """How an attempt ended, as its machines said it; None where none of them said anything. Raises ArtifactError."""
    asked = read_request(files, attempt)
    if asked is None:
        return None
    outcomes = [read_outcome(files, attempt, node) for node in range(asked.spec.nodes)]
    if not any(outcomes):
        return None
    progress = ProgressReader(files)
    progress.read([attempt])
    verdict = verdicts.ended(_NO_JOB, [], outcomes)
    return AttemptStatus(
        state=verdict.state,
        progress=progress.joined(attempt),
        reason=verdict.reason,
        detail=verdict.detail,
        has_model=files.is_complete(asked.model),
    )
