"""What pods use of the artifact root: files without an event loop, and the mirror between a pod's disk and a bucket."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from storage.artifact_errors import Incomplete, StoreUnavailable
from storage.files import ArtifactFiles
from storage.manifests import MANIFEST, write_manifest
from tests.s3_server import S3Server
from tests.server_process import wait_until
from training.layout import run_folder, write_whole
from training.runs import Attempt, AttemptId
from training.spec import TrainingSpec
from training.trainer import request
from training.trainer.checkpoints import COMPLETE, find_complete, mark_complete
from training.trainer.exits import Exit
from training.trainer.mirror import Mirror
from training.trainer.outcomes import Outcome, parse_exit, read_exit, write_exit

ATTEMPT = Attempt(
    id=AttemptId("run", 1),
    spec=TrainingSpec(nodes=2),
    base_model="artifact:bases/tiny",
    dataset="datasets/abc",
    columns={},
    fills={},
    model="models/run",
)


@pytest.fixture
def bucket(bucket_url: str) -> ArtifactFiles:
    return ArtifactFiles(bucket_url)


@pytest.fixture(params=["folder", "bucket"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactFiles:
    if request.param == "folder":
        return ArtifactFiles(tmp_path / "root")
    bucket: ArtifactFiles = request.getfixturevalue("bucket")
    return bucket


def folder_with(path: Path, **contents: str) -> Path:
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path


def test_files_are_read_from_anywhere_in_them(files: ArtifactFiles) -> None:
    files.write("runs/r/log.txt", b"0123456789")
    assert files.read("runs/r/log.txt") == b"0123456789"
    assert files.read_from("runs/r/log.txt", 7) == b"789"
    assert files.read_from("runs/r/log.txt", 10) == files.read_from("runs/r/none", 0) == b""
    assert files.read_end("runs/r/log.txt", 4) == b"6789"
    assert files.read_end("runs/r/log.txt", 400) == b"0123456789"
    assert files.read_end("runs/r/none", 4) == b""
    assert (files.exists("runs/r/log.txt"), files.exists("runs/r")) == (True, False)
    with pytest.raises(FileNotFoundError):
        files.read("runs/r/none")
    assert files.sizes("runs") == {"runs/r/log.txt": 10}
    files.delete("runs/r")
    files.delete("runs/r")
    assert files.sizes("runs") == {}


def test_an_upload_that_breaks_off_is_never_taken_for_whole(files: ArtifactFiles, tmp_path: Path) -> None:
    model = folder_with(tmp_path / "model", a="one", b="two")
    write_manifest(model)
    files.put_file(model / "a", "models/m/a")
    assert not files.is_complete("models/m")
    with pytest.raises(Incomplete):
        files.download("models/m", tmp_path / "copy")
    files.write(f"models/m/{MANIFEST}", (model / MANIFEST).read_bytes())
    assert not files.is_complete("models/m"), "a manifest alone does not make it whole"

    files.upload(model, "models/m")
    assert files.is_complete("models/m")
    files.download("models/m", tmp_path / "copy")
    assert (tmp_path / "copy" / "b").read_text() == "two"
    files.download("models/m", tmp_path / "copy")

    files.write("models/m/b", b"TWO")
    with pytest.raises(Incomplete, match="models/m/b"):
        files.download("models/m", tmp_path / "other")
    assert not (tmp_path / "other" / MANIFEST).exists()


def test_nothing_of_an_upload_that_broke_off_is_taken_for_another_ones(files: ArtifactFiles, tmp_path: Path) -> None:
    first, second = folder_with(tmp_path / "1", a="one", b="two"), folder_with(tmp_path / "2", a="ONE", b="TWO")
    write_manifest(second)
    files.put_file(first / "a", "models/m/a")
    files.upload(second, "models/m")
    files.download("models/m", tmp_path / "copy")
    assert (tmp_path / "copy" / "a").read_text() == "ONE"

    # A checkpoint names sizes alone: what stands in a whole one's place is not whole before all of it has come.
    for folder in (first, second):
        mark_complete(folder, {})
    files.upload(first, "checkpoint", last=COMPLETE)
    with pytest.raises(StoreUnavailable):
        BreaksOff(files.root).upload(second, "checkpoint", last=COMPLETE)
    assert not files.exists(f"checkpoint/{COMPLETE}")


class BreaksOff(ArtifactFiles):
    """The way to it breaks off before the file ``b``."""

    def put_file(self, path: Path, key: str) -> None:
        if path.name == "b":
            raise StoreUnavailable("the way is broken")
        super().put_file(path, key)


def test_a_folder_is_kept_with_a_manifest_of_its_own(files: ArtifactFiles, tmp_path: Path) -> None:
    base = folder_with(tmp_path / "base", **{"config.json": "{}", "sub/weights": "1234"})
    files.put_file(base / "config.json", "bases/tiny/config.json")
    files.keep_folder(base, "bases/tiny")
    files.keep_folder(base, "bases/tiny")
    assert files.is_complete("bases/tiny")
    files.download("bases/tiny", tmp_path / "copy")
    assert (tmp_path / "copy" / "sub" / "weights").read_text() == "1234"
    assert not (base / MANIFEST).exists()


@pytest.fixture
def submitted(bucket: ArtifactFiles, tmp_path: Path) -> ArtifactFiles:
    """A bucket with what a run begins with."""
    bucket.keep_folder(folder_with(tmp_path / "data", **{"rows.jsonl": "{}"}), ATTEMPT.dataset)
    bucket.keep_folder(folder_with(tmp_path / "base", **{"config.json": "{}"}), "bases/tiny")
    bucket.write("runs/run/attempt-1/request.json", request.to_json(ATTEMPT))
    return bucket


def mirror_at(files: ArtifactFiles, root: Path, *, node: int = 0, number: int = 1) -> Mirror:
    return Mirror(files, root, AttemptId("run", number), node=node, period_s=0.05)


def save_checkpoint(root: Path, step: int, *, is_whole: bool = True) -> Path:
    folder = folder_with(run_folder(root, "run").checkpoints / f"checkpoint-{step}", weights=str(step))
    if is_whole:
        mark_complete(folder, {})
    return folder


def test_what_a_pod_needs_is_fetched(submitted: ArtifactFiles, tmp_path: Path) -> None:
    root = tmp_path / "pod"
    mirror_at(submitted, root).fetch()
    attempt = request.from_json((root / "runs/run/attempt-1/request.json").read_bytes())
    assert attempt == ATTEMPT
    assert (root / "datasets/abc/rows.jsonl").read_text() == "{}"
    assert (request.base_model_folder(root, attempt) / "config.json").read_text() == "{}"
    submitted.delete("datasets/abc/" + MANIFEST)
    with pytest.raises(Incomplete):
        mirror_at(submitted, tmp_path / "other").fetch()


def test_a_new_pod_goes_on_from_the_newest_whole_checkpoint(submitted: ArtifactFiles, tmp_path: Path) -> None:
    first = tmp_path / "first"
    mirror = mirror_at(submitted, first)
    mirror.fetch()
    mirror.begin()
    folder = run_folder(first, "run").attempt(1)
    folder.progress.write_bytes(b'{"event":"begin","step":0,"steps":9}\n')
    folder.log.write_text("line\n")
    for step in (2, 4, 6):
        save_checkpoint(first, step)
        wait_for(submitted, f"runs/run/checkpoints/checkpoint-{step}/complete.json")
    save_checkpoint(first, 8, is_whole=False)
    # The machine is gone here: nobody finishes. Half of a checkpoint may be in the bucket.
    submitted.write("runs/run/checkpoints/checkpoint-8/weights", b"8")
    second = mirror_at(submitted, tmp_path / "second", node=1)
    other = run_folder(tmp_path / "second", "run")
    (other.checkpoints / "checkpoint-6").mkdir(parents=True)
    (other.checkpoints / "checkpoint-6" / "rng_state_1.pth").write_text("dice")
    second.begin()
    wait_for(submitted, "runs/run/checkpoints/checkpoint-6/rng_state_1.pth")

    # What is older goes a moment after the newest has come.
    wait_until(lambda: checkpoints_in(submitted) == {"checkpoint-4", "checkpoint-6", "checkpoint-8"})
    anew = tmp_path / "anew"
    mirror_at(submitted, anew).fetch()
    newest = find_complete(run_folder(anew, "run").checkpoints)
    assert newest is not None
    assert (newest.name, (newest / "weights").read_text()) == ("checkpoint-6", "6")
    assert (newest / "rng_state_1.pth").read_text() == "dice"
    assert run_folder(anew, "run").attempt(1).progress.read_bytes().startswith(b'{"event":"begin"')


def test_another_run_goes_on_from_the_checkpoint_it_names(submitted: ArtifactFiles, tmp_path: Path) -> None:
    submitted.upload(save_checkpoint(tmp_path, 3), "runs/run/checkpoints/checkpoint-3", last="complete.json")
    retry = replace(ATTEMPT, id=AttemptId("again", 1), resumes_from="run")
    submitted.write("runs/again/attempt-1/request.json", request.to_json(retry))
    Mirror(submitted, tmp_path / "pod", retry.id, node=0).fetch()
    newest = find_complete(run_folder(tmp_path / "pod", "run").checkpoints)
    assert newest is not None
    assert newest.name == "checkpoint-3"


def test_the_end_goes_out_last_and_takes_the_checkpoints_along(submitted: ArtifactFiles, tmp_path: Path) -> None:
    root = tmp_path / "pod"
    mirror, other = mirror_at(submitted, root), mirror_at(submitted, tmp_path / "other", node=1)
    mirror.fetch()
    other.fetch()
    mirror.begin()
    save_checkpoint(root, 2)
    wait_for(submitted, "runs/run/checkpoints/checkpoint-2/complete.json")
    folder = run_folder(root, "run")
    write_manifest(folder_with(root / ATTEMPT.model, adapter="weights"))
    for path in sorted(folder.checkpoints.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.checkpoints.rmdir()
    folder.attempt(1).log.write_text("the end\n")
    write_exit(folder.attempt(1), Outcome(exit=Exit.SUCCEEDED))
    # The other machine is a little behind: what it still sends of the checkpoint goes too.
    finishing = threading.Thread(target=mirror.finish)
    finishing.start()
    wait_for(submitted, "runs/run/attempt-1/exit.json")
    others = run_folder(tmp_path / "other", "run")
    folder_with(others.checkpoints / "checkpoint-2", **{"rng_state_1.pth": "state"})
    write_exit(others.attempt(1), Outcome(exit=Exit.SUCCEEDED), node=1)
    other.begin()
    other.finish()
    finishing.join(timeout=60)
    assert not finishing.is_alive()
    assert submitted.is_complete(ATTEMPT.model)
    assert submitted.read("runs/run/attempt-1/log.txt") == b"the end\n"
    assert parse_exit(submitted.read("runs/run/attempt-1/exit.json")).exit is Exit.SUCCEEDED
    assert submitted.sizes("runs/run/checkpoints") == {}


def test_a_stop_is_seen_and_an_end_is_found_again(submitted: ArtifactFiles, tmp_path: Path) -> None:
    mirror = mirror_at(submitted, tmp_path / "pod", node=1)
    mirror.fetch()
    assert not mirror.is_stop_wanted()
    submitted.write("runs/run/attempt-1/stop", b"")
    assert mirror.is_stop_wanted()
    submitted.write("runs/run/attempt-1/exit-1.json", orjson.dumps({"exit": 15, "detail": None}))
    submitted.write("runs/run/attempt-1/exit.json", orjson.dumps({"exit": 0, "detail": None}))
    mirror_at(submitted, tmp_path / "anew", node=1).fetch()
    anew = run_folder(tmp_path / "anew", "run").attempt(1)
    assert read_exit(anew, node=1) == Outcome(exit=Exit.STOPPED)
    assert read_exit(anew) == Outcome(exit=Exit.SUCCEEDED), "what the first machine said is known to the others"


def test_a_bucket_that_is_away_for_a_while_loses_nothing(
    submitted: ArtifactFiles, s3: S3Server, tmp_path: Path
) -> None:
    root = tmp_path / "pod"
    mirror = mirror_at(submitted, root)
    mirror.fetch()
    s3.stop()
    try:
        with pytest.raises(StoreUnavailable):
            ArtifactFiles(submitted.root, patience=timedelta(seconds=0.5)).exists("anything")
        mirror.begin()
        folder = run_folder(root, "run").attempt(1)
        write_whole(folder.progress, b'{"event":"begin","step":0,"steps":9}\n')
    finally:
        s3.start()
    write_exit(folder, Outcome(exit=Exit.STOPPED))
    submitted.write("runs/run/attempt-1/exit-1.json", orjson.dumps({"exit": 15, "detail": None}))
    mirror.finish()
    assert submitted.read("runs/run/attempt-1/progress.jsonl").endswith(b'"steps":9}\n')
    assert submitted.exists("runs/run/attempt-1/exit.json")


def wait_for(files: ArtifactFiles, key: str) -> None:
    wait_until(lambda: files.exists(key))


def checkpoints_in(files: ArtifactFiles) -> set[str]:
    return {key.split("/")[3] for key in files.sizes("runs/run/checkpoints")}
