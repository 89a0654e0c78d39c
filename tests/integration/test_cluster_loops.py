"""What the loops make of a backend that has a cluster behind it: it waits, loses, refuses and is away."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.cards import reason_text
from bot.replies import Log
from bot.texts import texts
from storage.models import Attempt, Model, Run
from storage.states import RunState
from tests.living import Living, living
from training.layout import AttemptFolder, run_folder
from training.runs import AttemptId, Reason, Waiting
from training.trainer import request
from training.trainer.exits import Exit
from training.trainer.outcomes import Outcome, write_exit


def held(life: Living, run: Run, state: RunState, waiting: Waiting) -> None:
    known = life.runs.attempts[AttemptId(run.id, 1)]
    known.status = replace(known.status, state=state, waiting=waiting)


@pytest.mark.parametrize("reason", [Reason.LOST_PEER, Reason.NODE_LOST, Reason.INTERRUPTED])
async def test_what_the_cluster_lost_is_submitted_again_and_the_lost_one_is_given_back(
    tmp_path: Path, reason: Reason
) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        await life.loops.once()
        life.runs.advance()
        life.runs.advance(4)
        await life.loops.once()
        life.runs.fail(AttemptId(run.id, 1), reason)
        await life.loops.once()
        assert life.runs.calls["release"] == 1
        await life.loops.once()
        assert [(row.number, row.state) for row in await life.rows(Attempt)] == [
            (1, RunState.FAILED),
            (2, RunState.PENDING),
        ]
        await life.finish()
        assert (await life.row(Run)).state is RunState.SUCCEEDED
        assert any("2" in fact and "ttempt" in fact for fact in life.card("run").facts)


@pytest.mark.parametrize(
    ("state", "waiting", "status"),
    [
        (
            RunState.SUSPENDED,
            Waiting(code="queue", params={"queue": "research"}, words="1 more cpu needed"),
            "research",
        ),
        (
            RunState.PENDING,
            Waiting(code="place_gpu", params={"free": 0, "nodes": 2}, words="0/2 nodes"),
            "0 of 2 nodes",
        ),
        (RunState.PENDING, Waiting(code="pods", params={"running": 1, "wanted": 2}), "1 of 2 machines"),
    ],
)
async def test_the_card_says_what_a_run_waits_for(
    tmp_path: Path, state: RunState, waiting: Waiting, status: str
) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        await life.loops.once()
        held(life, run, state, waiting)
        await life.loops.once()
        card = life.card("run")
        assert status in card.status
        assert card.note == waiting.words
        assert (card.is_live, card.choices[0].say) == (True, f"/stop {run.name}")
        assert (await life.row(Run)).state is state


async def test_what_a_killed_process_did_not_give_back_the_next_one_does(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        await life.loops.once()
        life.runs.fail(AttemptId(run.id, 1), Reason.UNSCHEDULABLE, "0/2 nodes are available")
        release = life.runs.release
        life.runs.release = lambda attempt: None  # type: ignore[method-assign]
        await life.loops.once()
        assert (await life.row(Run)).state is RunState.FAILED
        # Killed before it was given back; and meanwhile the cluster has found a place.
        life.runs.release = release  # type: ignore[method-assign]
        known = life.runs.attempts[AttemptId(run.id, 1)]
        known.status = replace(known.status, state=RunState.RUNNING, reason=None)
        life.restart()
        await life.loops.once()
        await life.loops.once()
        assert life.runs.calls["release"] == 1
        assert ((await life.row(Run)).state, (await life.row(Run)).reason) == (RunState.FAILED, Reason.UNSCHEDULABLE)


async def begun(life: Living) -> tuple[Run, AttemptFolder]:
    """A run whose first attempt trains, and where the attempt's machine leaves its words."""
    run = await life.begin()
    await life.loops.once()
    life.runs.advance()
    life.runs.advance(4)
    await life.loops.once()
    known = life.runs.attempts[AttemptId(run.id, 1)]
    root = Path(life.house.application.world.settings.artifacts_root)
    folder = run_folder(root, run.id).attempt(1)
    folder.path.mkdir(parents=True)
    folder.request.write_bytes(request.to_json(known.attempt))
    return run, folder


async def test_a_job_that_is_gone_has_ended_as_its_machine_said(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run, folder = await begun(life)
        life.runs.finish()
        write_exit(folder, Outcome(exit=Exit.SUCCEEDED))
        del life.runs.attempts[AttemptId(run.id, 1)]
        await life.loops.once()
        assert ((await life.row(Run)).state, (await life.row(Run)).reason) == (RunState.SUCCEEDED, None)
        assert (await life.row(Model)).run_id == run.id


async def test_a_stopped_job_that_is_gone_keeps_what_was_learned(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run, folder = await begun(life)
        await life.house.say(f"/stop {run.name}")
        life.runs.cancel(AttemptId(run.id, 1))
        life.runs.finish()
        write_exit(folder, Outcome(exit=Exit.STOPPED))
        del life.runs.attempts[AttemptId(run.id, 1)]
        await life.loops.once()
        assert (await life.row(Run)).state is RunState.CANCELLED
        assert life.card("run").choices[0].say == f"/deploy {run.name}"


async def test_a_job_that_is_gone_without_a_word_was_killed(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run, _ = await begun(life)
        del life.runs.attempts[AttemptId(run.id, 1)]
        await life.loops.once()
        assert ((await life.row(Run)).state, (await life.row(Run)).reason) == (RunState.FAILED, Reason.KILLED)


async def test_what_could_not_be_given_back_is_given_back_later_though_no_run_is_under_way(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        await life.loops.once()
        life.runs.fail(AttemptId(run.id, 1), Reason.UNSCHEDULABLE, "0/2 nodes are available")
        life.runs.takes_releases = False
        await life.loops.once()
        assert (await life.row(Run)).state is RunState.FAILED
        await life.loops.once()
        life.runs.takes_releases = True
        asked = life.runs.calls["release"]
        for _ in range(3):
            await life.loops.once()
        assert life.runs.calls["release"] == asked + 1
        looks = life.runs.calls["observe"]
        await life.loops.once()
        assert life.runs.calls["observe"] == looks, "nothing is left to look at"


async def test_a_submission_that_turns_up_after_its_run_was_stopped_is_given_back(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        life.runs.loses_answers = True
        await life.loops.once()
        late = life.runs.attempts.pop(AttemptId(run.id, 1))
        await life.house.say(f"/stop {run.name}")
        for _ in range(2):
            await life.loops.once()
        assert (await life.row(Run)).state is RunState.CANCELLED
        assert "release" not in life.runs.calls
        life.runs.attempts[AttemptId(run.id, 1)] = late
        await life.loops.once()
        assert life.runs.calls["release"] == 1


async def test_a_refused_run_fails_with_the_words_of_the_cluster(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin()
        life.runs.refuses = 'admission webhook "policy" denied the request'
        await life.loops.once()
        run = await life.row(Run)
        assert (run.state, run.reason) == (RunState.FAILED, Reason.REFUSED)
        card = life.card("run")
        assert card.note.startswith("The cluster refused it")
        assert 'webhook "policy" denied' in card.note
        await life.loops.once()
        assert len(await life.rows(Attempt)) == 1


async def test_a_base_model_on_its_way_holds_back_nobody_else(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first = await life.begin()
        second = await life.begin(thread="thread-2")
        life.runs.preparing = {first.id}
        await life.loops.once()
        states = {row.id: row.state for row in await life.rows(Run)}
        assert states == {first.id: RunState.QUEUED, second.id: RunState.PENDING}
        assert "copied to the cluster" in life.card("run").status


async def test_while_the_backend_is_away_nothing_is_lost_and_nothing_changes(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        await life.loops.once()
        life.runs.advance()
        await life.loops.once()
        life.runs.is_available = False
        await life.house.say("/stop")
        for _ in range(3):
            await life.loops.once()
        assert (await life.row(Run)).state is RunState.RUNNING
        await life.house.say(f"/logs {run.name}")
        assert "Try again in a minute" in life.shown(Log)[-1].text
        life.runs.is_available = True
        await life.loops.once()
        life.runs.advance()
        await life.loops.once()
        assert (await life.row(Run)).state is RunState.CANCELLED


async def test_after_a_loss_the_log_of_the_lost_attempt_stands_until_the_next_has_one(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        await life.loops.once()
        life.runs.advance()
        life.runs.advance(2)
        life.runs.fail(AttemptId(run.id, 1), Reason.LOST_PEER, "process 1 ended without a word")
        for _ in range(2):
            await life.loops.once()
        assert (await life.row(Attempt)).number == 2
        await life.house.say(f"/logs {run.name}")
        head, reason, printed = life.shown(Log)[-1].text.split("\n\n")
        assert head.startswith("— attempt 1;")
        assert reason == reason_text(texts("en"), Reason.LOST_PEER, None)
        assert printed.endswith("process 1 ended without a word")

        life.runs.advance()
        await life.house.say(f"/logs {run.name}")
        assert life.shown(Log)[-1].text.startswith("training: from step 2")


async def test_the_log_gives_the_reason_first_and_every_machine_on_request(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        await life.loops.once()
        life.runs.advance()
        life.runs.advance(2)
        life.runs.fail(AttemptId(run.id, 1), Reason.OUT_OF_MEMORY, "node 2 used more than 16 GiB")
        await life.loops.once()
        await life.house.say(f"/logs {run.name} 2")
        lines = life.shown(Log)[-1].text.splitlines()
        assert lines[0].startswith("The memory was not enough")
        assert lines[1] == "node 2 used more than 16 GiB"
        assert len(lines) == 5
        async with life.house.application.world.store.transaction() as session:
            row = await session.get_one(Run, run.id)
            row.spec = {**row.spec, "nodes": 2}
        await life.house.say(f"/logs {run.name} 2 all", language="en")
        parts = life.shown(Log)[-1].text.split("\n\n")
        assert (parts[1], parts[3]) == ("— machine 1 of 2 —", "— machine 2 of 2 —")
        assert len(parts) == 5
