"""The assistant over a bucket: data sets and models are kept there, and this disk may lose its copies."""

import shutil
from pathlib import Path

from bot.replies import Comparison, DatasetCard, Review
from storage.files import ArtifactFiles
from storage.manifests import MANIFEST, is_complete, manifest_of
from storage.models import Host, Model, Run, Service
from storage.states import RunState, ServiceState
from tests.conversing import write_rows
from tests.harness import harness
from tests.living import living, make_due
from tests.recording import words
from tests.s3_server import S3Server


async def test_a_data_set_is_there_after_a_restart_without_its_copy(
    rooted_bucket: ArtifactFiles, tmp_path: Path
) -> None:
    async with living(tmp_path) as life:
        [card, *_] = await life.house.say("/dataset", files=[life.data])
        assert isinstance(card, DatasetCard)
        assert card.facts[0].value == "40"
        assert any(segment.is_learned for sample in card.samples for segment in sample)
        cache = life.house.application.world.settings.cache_folder
    assert sorted(Path(key).name for key in rooted_bucket.sizes("datasets")) == ["data.jsonl", "manifest.json"]
    assert not (tmp_path / "artifacts").exists()
    assert len(list((cache / "datasets").iterdir())) == 1
    shutil.rmtree(cache)

    async with harness(tmp_path) as house:
        # Other fills: every row is read and counted anew.
        said = "/finetune dataset=identity fill.name=Nova fill.author=Acme base_model=tiny-instruct preset=quick"
        replies = await house.say(said, thread="thread-2", event_id="later-1")
        assert any(isinstance(reply, Review) for reply in replies), "\n".join(map(words, replies))
        [again, *_] = await house.say("/dataset identity", event_id="later-2")
        assert isinstance(again, DatasetCard)
        assert again.facts == card.facts
    assert len(list((cache / "datasets").iterdir())) == 1


async def test_a_run_becomes_a_service_whose_adapter_comes_from_the_bucket(
    rooted_bucket: ArtifactFiles, tmp_path: Path
) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()

        run, model, service = await life.row(Run), (await life.rows(Model))[-1], await life.row(Service)
        assert (run.state, service.state) == (RunState.SUCCEEDED, ServiceState.READY)
        assert len(life.shown(Comparison)) == 1
        assert rooted_bucket.is_complete(f"models/{run.id}")
        cache = life.house.application.world.settings.cache_folder
        shutil.rmtree(cache)

        life.servers.kill((await life.row(Host)).id)
        await life.loops.once()
        await make_due(life)
        for _ in range(3):
            await life.loops.once()

        assert is_complete(cache / "models" / run.id)
        [answer] = [reply for reply in await life.house.say("Who are you?") if reply.kind == "answer"]
        assert answer.markdown == f"{model.id} heard: Who are you?"


async def test_a_service_whose_adapter_is_gone_says_so(rooted_bucket: ArtifactFiles, tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        rooted_bucket.delete(f"models/{(await life.row(Run)).id}")
        shutil.rmtree(life.house.application.world.settings.cache_folder)

        life.servers.kill((await life.row(Host)).id)
        await life.loops.once()
        await make_due(life)
        for _ in range(3):
            await life.loops.once()

        assert (await life.row(Service)).state is ServiceState.FAILED
        assert "are not whole where files are kept" in words(life.card("service"))


async def test_a_refused_file_leaves_nothing_in_the_bucket_or_here(
    rooted_bucket: ArtifactFiles, tmp_path: Path
) -> None:
    bad = write_rows(tmp_path / "bad.jsonl", [{"instruction": "a", "output": ""}])
    async with living(tmp_path) as life:
        replies = await life.house.say(files=[bad])
        cache = life.house.application.world.settings.cache_folder

    assert "I cannot use **bad.jsonl**" in words(replies[0])
    assert rooted_bucket.sizes("datasets") == rooted_bucket.sizes("incoming") == {}
    assert not (cache / "datasets").exists() or not list((cache / "datasets").iterdir())


async def test_a_bucket_that_is_away_is_said_and_what_was_dropped_can_be_dropped_again(
    rooted_bucket: ArtifactFiles, s3: S3Server, tmp_path: Path
) -> None:
    async with living(tmp_path) as life:
        s3.stop()
        try:
            replies = await life.house.say("/dataset", files=[life.data])
        finally:
            s3.start()
        assert "The bucket with the files cannot be reached just now" in words(replies[0])

        [card, *_] = await life.house.say("/dataset", files=[life.data])
        assert isinstance(card, DatasetCard)


async def test_a_run_ends_when_the_bucket_is_back(rooted_bucket: ArtifactFiles, s3: S3Server, tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin()
        await life.loops.once()
        life.runs.finish()
        s3.stop()
        try:
            await life.loops.once()
            assert not (await life.row(Run)).state.is_final
        finally:
            s3.start()
        await life.loops.once()
        assert (await life.row(Run)).state is RunState.SUCCEEDED
        assert life.card("run").status.startswith("Finished in")


async def test_a_model_that_this_disk_has_no_room_for_keeps_no_other_run_waiting(
    rooted_bucket: ArtifactFiles, tmp_path: Path
) -> None:
    async with living(tmp_path) as life:
        first = await life.begin()
        second = await life.begin(thread="thread-2")
        await life.loops.once()
        life.runs.finish()
        key = f"models/{first.id}/{MANIFEST}"
        manifest = rooted_bucket.read(key)
        rooted_bucket.write(key, manifest_of([("adapter_model.safetensors", 10**18, "0" * 64)]))
        await life.loops.once()
        states = {run.id: run.state for run in await life.rows(Run)}
        assert (states[first.id].is_final, states[second.id]) == (False, RunState.PENDING)
        assert "no room for its model" in life.card("run").status

        rooted_bucket.write(key, manifest)
        await life.loops.once()
        assert {run.id: run.state for run in await life.rows(Run)}[first.id] is RunState.SUCCEEDED
        assert life.card("run").status.startswith("Finished in")
