"""A run is deleted: what it left is gone, everywhere, whatever fails on the way; all else stays."""

import shutil
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from bot.replies import Question, Text
from storage.files import ArtifactFiles
from storage.models import Attempt, Base, Experiment, Host, Model, Progress, Run, Service, Thread
from storage.states import ServiceState
from tests.living import Living, left_of, living
from tests.recording import words
from tests.s3_server import S3Server

KEPT = ("datasets", "dataset_versions", "users", "threads")


async def two_runs(life: Living) -> tuple[Run, Run]:
    """Two runs that succeeded, each with a model, in threads of their own; the first was served and is not any more."""
    await life.begin("deploy")
    await life.finish()
    await life.begin("deploy", thread="thread-2")
    await life.finish()
    first, second = await life.rows(Run)
    files = ArtifactFiles(life.house.application.world.settings.artifacts_root)
    for run in (first, second):
        files.write(f"runs/{run.id}/attempt-1/log.txt", b"training")
        files.write(f"runs/{run.id}/checkpoints/checkpoint-1/weights", b"w" * 5000)
    await life.house.say(f"/undeploy {first.name}")
    await life.loops.once()
    return first, second


async def counts(life: Living) -> dict[str, int]:
    """How many rows each table has."""
    async with life.house.application.world.store.reading() as session:
        return {
            name: await session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }


async def assert_only_first_is_gone(life: Living, first: Run, second: Run, home: Path) -> None:
    assert left_of(first, home) == []
    assert [run.id for run in await life.rows(Run)] == [second.id]
    assert [model.id for model in await life.rows(Model)][1:] == [second.id]
    assert [service.name for service in await life.rows(Service)] == [second.name]
    assert [row.run_id for row in await life.rows(Attempt)] == [second.id]
    assert [row.id for row in await life.rows(Experiment)] == [second.experiment_id]
    assert {id_.run_id for id_ in life.runs.attempts} == {second.id}
    files = ArtifactFiles(life.house.application.world.settings.artifacts_root)
    assert files.is_complete(f"models/{second.id}")
    assert files.exists(f"runs/{second.id}/checkpoints/checkpoint-1/weights")
    async with life.house.application.world.store.reading() as session:
        points = (await session.scalars(select(Progress.run_id).distinct())).all()
    assert points == [second.id]


async def test_all_that_a_run_left_goes_and_others_stay(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first, second = await two_runs(life)
        before = await counts(life)
        [asked] = [reply for reply in await life.house.say(f"/delete {first.name}") if isinstance(reply, Question)]
        assert f"- the model **{first.name}** that it made\n- the ended service **{first.name}**" in asked.markdown
        assert "KB of disk" in asked.markdown
        assert {**await counts(life), "messages": 0, "seen_events": 0} == {**before, "messages": 0, "seen_events": 0}

        await life.house.say(asked.choices[0].say, about=asked.id)
        assert [run.name for run in await life.rows(Run) if run.deletion_wanted_at] == [first.name]
        assert await life.is_busy()
        assert first.name not in "".join(map(words, await life.house.say("/runs", thread="thread-3")))
        listed = "".join(map(words, await life.house.say("/models", thread="thread-3")))
        assert first.name not in listed.replace(second.name, "")
        card = life.card("run")
        assert (card.status, card.choices, card.is_live) == ("Deleted", (), False)

        await life.loops.once()
        await assert_only_first_is_gone(life, first, second, tmp_path)
        after = await counts(life)
        assert {name: after[name] - before[name] for name in KEPT} == {**dict.fromkeys(KEPT, 0), "threads": 1}
        assert (life.card("service").status, life.card("service").choices) == ("Deleted", ())
        assert "is deleted, with all that it left. The data set **identity** stays." in words(life.shown(Text)[-1])
        assert not await life.is_busy()
        assert (await life.row(Service)).state is ServiceState.READY
        [answer] = [
            reply for reply in await life.house.say("Who are you?", thread="thread-2") if reply.kind == "answer"
        ]
        assert answer.markdown == f"{second.id} heard: Who are you?"


async def test_old_buttons_say_that_it_is_gone(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first, second = await two_runs(life)
        await life.house.say(f"/delete {first.name} yes")
        buttons = (f"/stop {first.name}", f"/logs {first.name}", f"/retry {first.name}", f"/deploy {first.name}")
        for say in (*buttons, f"/status {first.name}", f"/delete {first.name} yes"):
            assert f"{first.name} was deleted." in words((await life.house.say(say))[-1]), say
        await life.loops.once()
        for say in buttons:
            assert f"called “{first.name}”" in words((await life.house.say(say))[-1]), say
        assert len(await life.rows(Run)) == len(await life.rows(Service)) == 1
        assert second.name in words((await life.house.say("/runs"))[-1])


async def test_a_deletion_waits_until_the_model_server_has_let_go(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        run = await life.row(Run)
        await life.house.say(f"/undeploy {run.name}")
        await life.house.say(f"/delete {run.name} yes")
        await life.loops._deletion.once()
        assert len(await life.rows(Run)) == 1  # the service has not ended yet
        await life.loops.once()
        assert await life.rows(Run) == []
        assert await life.rows(Service) == []
        assert [host.base_model_id for host in await life.rows(Host)] == [(await life.row(Model)).id]


async def test_a_retried_run_keeps_the_experiment_and_begins_anew(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin()
        await life.loops.once()
        life.runs.advance(3)
        await life.loops.once()
        await life.house.say("/stop")
        await life.loops.once()
        life.runs.advance()
        await life.loops.once()
        run = await life.row(Run)
        await life.house.say(f"/retry {run.name}")
        again = await life.row(Run)
        refused = (await life.house.say(f"/delete {run.name} yes"))[-1]
        assert f"**{again.name}**" in words(refused)
        assert [choice.say for choice in refused.choices] == [f"/stop {again.name}"]  # type: ignore[union-attr]
        await life.house.say(f"/stop {again.name}")
        await life.loops.once()
        await life.house.say(f"/delete {run.name} yes")
        await life.loops.once()
        assert [(row.name, row.resumes_from) for row in await life.rows(Run)] == [(again.name, None)]
        assert len(await life.rows(Experiment)) == 1
        await life.house.say(f"/delete {again.name} yes")
        await life.loops.once()
        assert not [*await life.rows(Run), *await life.rows(Experiment)]


async def test_a_cluster_that_is_away_is_asked_again_and_said_once(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first, second = await two_runs(life)
        await life.house.say(f"/delete {first.name} yes")
        life.runs.is_available = False
        await life.loops.once()
        assert "is being deleted" in words(life.shown(Text)[-1])
        async with life.house.application.world.store.transaction() as session:
            run = await session.get_one(Run, first.id)
            run.deletion_wanted_at = run.deletion_wanted_at and run.deletion_wanted_at - timedelta(minutes=2)
        for _ in range(3):
            await life.loops.once()
        shown = [reply for _, _, reply in life.house.face.showings if "does not answer" in words(reply)]
        assert len(shown) == 1
        life.runs.is_available = True
        await life.loops.once()
        await assert_only_first_is_gone(life, first, second, tmp_path)
        assert "is deleted, with all" in words(life.shown(Text)[-1])


async def test_a_form_to_deploy_it_is_closed_with_it(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first, _ = await two_runs(life)
        await life.house.say(f"/deploy {first.name} form", thread="thread-3")
        await life.house.say(f"/delete {first.name} yes")
        async with life.house.application.world.store.reading() as session:
            asked = (await session.scalars(select(Thread.deployment))).all()
        assert not any(asked)
        [said, *_] = await life.house.say("yes", thread="thread-3")
        assert "I turn a data set" in words(said)


async def test_of_a_bucket_too_and_its_copies_here(rooted_bucket: ArtifactFiles, s3: S3Server, tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first, second = await two_runs(life)
        assert left_of(first, tmp_path)  # the copy that was loaded
        [asked] = [reply for reply in await life.house.say(f"/delete {first.name}") if isinstance(reply, Question)]
        assert "KB of disk" in asked.markdown
        await life.house.say("yes")
        s3.stop()
        try:
            await life.loops.once()
            assert len(await life.rows(Run)) == 2
        finally:
            s3.start()
        await life.loops.once()
        await assert_only_first_is_gone(life, first, second, tmp_path)
        assert [key for key in (*rooted_bucket.sizes("runs"), *rooted_bucket.sizes("models")) if first.id in key] == []


async def test_files_that_are_gone_already_are_no_error(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first, second = await two_runs(life)
        for folder in ("runs", "models"):
            shutil.rmtree(tmp_path / "artifacts" / folder / first.id)
        await life.house.say(f"/delete {first.name} yes")
        await life.loops.once()
        await assert_only_first_is_gone(life, first, second, tmp_path)
