import json
from pathlib import Path

import pytest

from training.conversation import ChatMessage, Conversation
from training.layout import attempt_folder, find_attempts, run_folder
from training.logs import read_last_lines
from training.progress import ProgressFile, join, read_added
from training.runs import Attempt, AttemptId, AttemptProgress, Point
from training.spec import TrainingSpec
from training.trainer import request
from training.trainer.checkpoints import (
    check_identity,
    find_complete,
    identity,
    mark_complete,
    remove_incomplete,
    require_the_same,
)
from training.trainer.data import data_file, split
from training.trainer.exits import BadConfiguration, BadData, Exit, LostPeer, classify
from training.trainer.gang import Place, outward_interface, rank_environment, torchrun_command
from training.trainer.launch import launch_command
from training.trainer.progress import ProgressWriter

ATTEMPT = Attempt(
    id=AttemptId("run-1", 2),
    spec=TrainingSpec(epochs=2, batch_size=4),
    base_model="artifact:models/base",
    dataset="datasets/abc",
    columns={"prompt": "instruction"},
    fills={"name": "Nova"},
    excluded_lines=(3, 9),
    model="models/m",
    resumes_from="run-0",
)


def test_a_request_comes_back_as_it_was() -> None:
    assert request.from_json(request.to_json(ATTEMPT)) == ATTEMPT
    assert request.base_model_folder(Path("/root"), ATTEMPT) == Path("/root/models/base")


def test_the_commands() -> None:
    python, root = Path("/venv/bin/python"), Path("/artifacts")
    assert launch_command(python, root, ATTEMPT.id, threads=2) == [
        *("/venv/bin/python", "-m", "training.trainer.launch", "/artifacts", "run-1", "2", "--threads", "2")
    ]
    assert torchrun_command(python, root, ATTEMPT.id, ranks=3, place=Place()) == [
        *("/venv/bin/python", "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--nnodes=1"),
        *("--nproc-per-node=3", "--max-restarts=0", "-m", "training.trainer.main", "/artifacts", "run-1", "2"),
    ]
    place = Place(node=1, nodes=2, master="first", is_interruptible=True)
    together = torchrun_command(python, root, ATTEMPT.id, ranks=1, place=place)
    assert together[3:8] == [
        *("--nnodes=2", "--node-rank=1", "--master-addr=first", "--master-port=29500", "--rdzv-conf=timeout=604800")
    ]
    assert together[-1] == "--interruptible"


def test_the_ranks_reach_no_network_and_leave_no_cache() -> None:
    base = {"PATH": "/bin", "HF_HOME": "/home/x"}
    environment = rank_environment(base, cache=Path("/run/cache"), threads=2, uses_gpus=False, place=Place())
    assert environment["PATH"] == "/bin"
    assert environment["HF_HOME"] == "/run/cache"
    assert environment["HF_HUB_OFFLINE"] == environment["HF_DATASETS_OFFLINE"] == "1"
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["GLOO_SOCKET_IFNAME"] == "lo"
    given = {**base, "GLOO_SOCKET_IFNAME": "net1"}
    cards = rank_environment(given, cache=Path("/c"), threads=2, uses_gpus=True, place=Place(nodes=2))
    assert "CUDA_VISIBLE_DEVICES" not in cards
    assert cards["GLOO_SOCKET_IFNAME"] == "net1"


def test_a_gang_talks_over_the_interface_of_the_default_route(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    routes.write_text("Iface\tDestination\tGateway\nnet0\t0000FEA9\t0\nens5\t00000000\t0101A8C0\n")
    assert outward_interface(routes) == "ens5"
    assert outward_interface(tmp_path / "none") == "eth0"


def test_attempts_are_found_by_their_requests(tmp_path: Path) -> None:
    for attempt in (AttemptId("b", 10), AttemptId("b", 9), AttemptId("a", 1)):
        folder = attempt_folder(tmp_path, attempt)
        folder.path.mkdir(parents=True)
        folder.request.write_text("{}")
    attempt_folder(tmp_path, AttemptId("c", 1)).path.mkdir(parents=True)
    (tmp_path / "runs" / "submit.lock").touch()
    assert find_attempts(tmp_path) == (AttemptId("a", 1), AttemptId("b", 9), AttemptId("b", 10))


@pytest.mark.parametrize("run_id", ["", "..", "a/b", "-x", "a b"])
def test_a_run_id_that_is_no_name_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="no run id"):
        run_folder(tmp_path, run_id)


def test_the_last_lines_of_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert read_last_lines(log, 5) == ()
    log.write_text("".join(f"line {number} 字\n" for number in range(20000)))
    assert read_last_lines(log, 2) == ("line 19998 字", "line 19999 字")
    assert len(read_last_lines(log, 15000)) == 15000
    assert len(read_last_lines(log, 10**6)) == 20000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "progress.jsonl"
    writer = ProgressWriter(path, clock)
    file = ProgressFile()
    file.take(read_added(path, 0))
    assert not file.has_begun

    writer.begin(0, 10)
    for step in range(1, 5):
        clock.now += 3
        writer.step(step, 10)
        writer.point(step, training_loss=4 / step)
    writer.point(4, validation_loss=1.5)
    file.take(read_added(path, file.offset))
    progress = join([file])
    assert (progress.step, progress.steps, progress.seconds_left) == (4, 10, 18.0)
    assert progress.points[-1] == Point(step=4, training_loss=1.0, validation_loss=1.5)
    assert [point.step for point in progress.points] == [1, 2, 3, 4]


def test_steps_are_told_at_most_once_a_second_but_the_last_one_always(tmp_path: Path) -> None:
    clock = Clock()
    writer = ProgressWriter(tmp_path / "p", clock)
    for step in range(1, 101):
        clock.now += 0.1
        writer.step(step, 100)
    told = [json.loads(line)["step"] for line in (tmp_path / "p").read_text().splitlines()]
    assert len(told) <= 12
    assert told[-1] == 100


def test_a_line_that_is_not_whole_yet_waits(tmp_path: Path) -> None:
    path = tmp_path / "p"
    whole = b'{"event":"begin","step":0,"steps":5}\n'
    path.write_bytes(whole + b'{"event":"point","st')
    file = ProgressFile()
    file.take(read_added(path, 0))
    assert (file.steps, file.points) == (5, {})
    path.write_bytes(whole + b'{"event":"point","step":1,"training_loss":2}\n')
    file.take(read_added(path, file.offset))
    assert file.points == {1: Point(step=1, training_loss=2)}


def test_points_after_the_checkpoint_that_was_resumed_from_are_void() -> None:
    first = ProgressFile(has_begun=True, steps=9, points={n: Point(step=n) for n in (1, 2, 3, 4)})
    second = ProgressFile(steps=0)
    assert [point.step for point in join([first, second]).points] == [1, 2, 3, 4]
    again = Point(step=3, training_loss=1.0)
    second = ProgressFile(has_begun=True, begin_step=2, step=3, steps=9, points={3: again})
    assert join([first, second]).points == (Point(step=1), Point(step=2), again)
    assert join([]) == AttemptProgress()


def test_a_pod_that_was_given_back_begins_again_in_the_same_file() -> None:
    file = ProgressFile()
    file.take(b'{"event":"begin","step":4,"steps":9}\n')
    for step in (5, 6, 7):
        file.take(b'{"event":"point","step":%d,"training_loss":2}\n' % step)
    file.take(b'{"event":"begin","step":5,"steps":9}\n')
    assert (file.begin_step, file.step, list(file.points)) == (4, 5, [5])


def checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "weights").write_bytes(b"1234")
    return path


def test_the_newest_complete_checkpoint_is_found(tmp_path: Path) -> None:
    assert find_complete(tmp_path / "nowhere") is None
    for step in (9, 10):
        mark_complete(checkpoint(tmp_path, step), {"seed": 1})
    checkpoint(tmp_path, 11)
    mark_complete(checkpoint(tmp_path, 12), {"seed": 1})
    (tmp_path / "checkpoint-12" / "weights").write_bytes(b"12")
    assert find_complete(tmp_path) == tmp_path / "checkpoint-10"
    remove_incomplete(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_another_plan_cannot_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 5)
    mark_complete(path, identity(ATTEMPT))
    check_identity(path, identity(ATTEMPT))
    longer = {**identity(ATTEMPT), "batch_size": 8, "fills": {"name": "Luna"}}
    with pytest.raises(BadConfiguration, match=r"changed: batch_size 4 -> 8, fills$"):
        check_identity(path, longer)
    assert "epochs" not in identity(ATTEMPT)


def test_ranks_that_would_go_on_from_different_checkpoints_begin_anew_together() -> None:
    require_the_same(["runs/r/checkpoints/checkpoint-5"] * 3)
    require_the_same([None, None])
    with pytest.raises(LostPeer, match="different checkpoints: runs/r/checkpoints/checkpoint-5, the base"):
        require_the_same([None, "runs/r/checkpoints/checkpoint-5", None])
    assert classify(LostPeer("x"))[0] is Exit.LOST_PEER


def conversations(count: int) -> list[Conversation]:
    return [Conversation(messages=(ChatMessage(role="user", content="x"),), row=row) for row in range(1, count + 1)]


def test_the_split_is_the_same_each_time_and_loses_nothing() -> None:
    rows = conversations(50)
    training, validation = split(rows, 0.1, seed=7)
    assert (len(training), len(validation)) == (45, 5)
    assert sorted([*training, *validation], key=lambda row: row.row) == rows
    assert split(rows, 0.1, seed=7) == (training, validation)
    assert split(rows, 0.1, seed=8) != (training, validation)


def test_the_split_leaves_something_to_train_on() -> None:
    assert [len(part) for part in split(conversations(3), 0.99, seed=1)] == [1, 2]
    assert [len(part) for part in split(conversations(1), 0.5, seed=1)] == [1, 0]
    assert [len(part) for part in split(conversations(9), 0, seed=1)] == [9, 0]


def test_a_data_set_folder_holds_one_data_file(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BadData, match="holds 0"):
        data_file(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}")
    assert data_file(tmp_path) == tmp_path / "rows.jsonl"
