"""The life of a run, from one line to a service that answers."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.reconcile.announcing import announce
from bot.replies import Comparison
from storage.models import Attempt, Host, Message, Model, Run, Service, Thread
from storage.states import HostState, ModelKind, RunState, ServiceState, Wish
from tests.conversing import MACHINE
from tests.living import BEGIN, Living, living, make_due
from training.machine import Gpu
from training.runs import AttemptId, Reason


async def test_a_run_becomes_a_service_that_the_thread_talks_to(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin("deploy")
        assert run.state is RunState.QUEUED
        assert await life.is_busy()
        await life.loops.once()
        life.runs.advance()
        await life.loops.once()
        life.runs.advance(4)
        await life.loops.once()
        card = life.card("run")
        assert card.status == "Training"
        assert [say.say for say in card.choices] == [f"/stop {run.name}", f"/logs {run.name}"]

        await life.finish()

        run, service, model = await life.row(Run), await life.row(Service), (await life.rows(Model))[-1]
        assert run.state is RunState.SUCCEEDED
        assert (model.kind, model.run_id, model.base_model_id) == (ModelKind.TUNED, run.id, run.base_model_id)
        assert (service.state, service.compared, service.name) == (ServiceState.READY, True, run.name)
        assert life.card("run").status.startswith("Finished in")
        assert life.card("run").curves[0].points[-1][0] == 10
        assert life.card("service").status == "Ready"
        assert life.notices()[-1] == f"You are talking to {run.name}"
        comparison = life.shown(Comparison)[-1]
        assert len(comparison.rows) == len(run.questions) == 3
        assert all(row.base.startswith("tiny-instruct heard") for row in comparison.rows)
        assert all(row.tuned.startswith(f"{model.id} heard") for row in comparison.rows)
        assert not await life.is_busy()

        [answer] = [reply for reply in await life.house.say("Who are you?") if reply.kind == "answer"]
        assert (answer.author, answer.state) == (run.name, "complete")
        assert answer.markdown == f"{model.id} heard: Who are you?"


async def test_every_pass_may_be_a_new_process(tmp_path: Path) -> None:
    """Killed after every pass, the loops come to the same end, and nothing is there twice."""
    async with living(tmp_path) as life:
        await life.begin("deploy")
        for _ in range(20):
            life.restart()
            await life.loops.once()
            life.runs.advance(3)
        assert not await life.is_busy()
        assert life.runs.calls["submit"] >= 1
        assert len(await life.rows(Attempt)) == 1
        assert [model.kind for model in await life.rows(Model)] == [ModelKind.BASE, ModelKind.TUNED]
        assert len(await life.rows(Service)) == len(life.shown(Comparison)) == 1
        assert len([text for text in life.notices() if text.startswith("You are talking to")]) == 1


async def test_killed_between_submission_and_its_note_the_same_attempt_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()

        async def die(*_: object) -> None:
            raise RuntimeError("killed here")

        with monkeypatch.context() as patched:
            patched.setattr("bot.reconcile.runs.RunsLoop._note_submitted", die)
            with pytest.raises(RuntimeError, match="killed here"):
                await life.loops.once()
        assert (await life.row(Run)).state is RunState.QUEUED
        life.restart()
        await life.loops.once()
        assert (await life.row(Run)).state is RunState.PENDING
        assert list(life.runs.attempts) == [AttemptId(run.id, 1)]


async def test_runs_queue_one_at_a_time_and_say_who_goes_first(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        first = await life.begin(thread="thread-1")
        second = await life.begin(thread="thread-2")
        await life.loops.once()
        assert life.card("run", "thread-1").status == "Starting"
        assert life.card("run", "thread-2").status == f"Waiting: {first.name} runs first"
        life.runs.finish()
        await life.loops.once()
        await life.loops.once()
        states = {run.name: run.state for run in await life.rows(Run)}
        assert states == {first.name: RunState.SUCCEEDED, second.name: RunState.PENDING}


async def test_a_run_that_has_not_begun_is_stopped_at_once(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin(thread="thread-1")
        await life.loops.once()
        second = await life.begin(thread="thread-2")
        await life.loops.once()
        await life.house.say("/stop", thread="thread-2")
        await life.loops.once()
        run = await life.row(Run)
        assert (run.id, run.state, run.reason) == (second.id, RunState.CANCELLED, Reason.STOPPED)
        assert len(life.runs.attempts) == 1
        assert not life.card("run", "thread-2").is_live


async def stopped_after(life: Living, steps: int) -> Run:
    """A run that was stopped when it had made so many steps."""
    await life.begin("deploy")
    await life.loops.once()
    life.runs.advance()
    if steps:
        life.runs.advance(steps)
    await life.loops.once()
    await life.house.say("/stop")
    await life.loops.once()
    assert life.card("run").status == "Stopping: what was learned is saved first"
    life.runs.advance()
    await life.loops.once()
    return await life.row(Run)


async def test_what_a_stopped_run_learned_can_be_kept(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await stopped_after(life, 4)
        assert run.state is RunState.CANCELLED
        assert await life.rows(Service) == []
        offered = [choice.say for choice in life.card("run").choices]
        assert offered == [f"/deploy {run.name}", f"/retry {run.name}", f"/logs {run.name}"]
        await life.house.say(f"/deploy {run.name}")
        await life.house.say(f"/deploy {run.name}")
        for _ in range(3):
            await life.loops.once()
        service, model = await life.row(Service), (await life.rows(Model))[-1]
        assert (service.state, model.run_id) == (ServiceState.READY, run.id)
        assert len(await life.rows(Model)) == 2


async def test_a_run_stopped_before_its_first_step_keeps_nothing(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await stopped_after(life, 0)
        assert [choice.say for choice in life.card("run").choices] == [f"/retry {run.name}", f"/logs {run.name}"]
        replies = await life.house.say(f"/deploy {run.name}")
        assert "no tuned model called" in replies[-1].markdown  # type: ignore[union-attr]


@pytest.mark.parametrize(("language", "words"), [("en", "its model is not there"), ("zh-CN", "它的模型不存在")])
async def test_a_run_that_ends_without_its_model_says_so_in_one_language(
    tmp_path: Path, language: str, words: str
) -> None:
    async with living(tmp_path) as life:
        await life.house.say(BEGIN, files=[life.data], language=language)
        run = await life.row(Run)
        await life.loops.once()
        attempt = life.runs.attempts[AttemptId(run.id, 1)]
        attempt.status = replace(attempt.status, state=RunState.SUCCEEDED, has_model=False)
        await life.loops.once()
        assert (await life.row(Run)).reason == Reason.NO_MODEL
        note = life.card("run").note
        assert words in note
        assert "\n" not in note


async def test_a_killed_trainer_fails_with_its_log_and_a_retry_resumes(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin("deploy")
        await life.loops.once()
        life.runs.advance()
        life.runs.advance(4)
        await life.loops.once()
        life.runs.fail(AttemptId(run.id, 1), Reason.KILLED)
        await life.loops.once()
        card = life.card("run")
        assert (card.tone, card.is_live) == ("bad", False)
        assert card.note.startswith("The training process vanished")
        assert len(card.log_lines) == 5
        assert card.choices[0].say == f"/retry {run.name}"
        assert len(life.runs.attempts) == 1

        await life.house.say(card.choices[0].say)
        await life.house.say(card.choices[0].say)
        await life.loops.once()
        again = await life.row(Run)
        assert (again.resumes_from, again.state) == (run.id, RunState.PENDING)
        assert len(await life.rows(Run)) == 2
        assert life.runs.attempts[AttemptId(again.id, 1)].attempt.resumes_from == run.id
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.READY


async def test_a_lost_gang_is_submitted_again_three_times_at_most(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin()
        for number in (1, 2, 3):
            await life.loops.once()
            assert (await life.row(Run)).state is RunState.PENDING
            life.runs.fail(AttemptId(run.id, number), Reason.LOST_PEER)
            await life.loops.once()
        assert (await life.row(Run)).state is RunState.FAILED
        assert len(await life.rows(Attempt)) == 3
        assert life.card("run").note.startswith("A process of the training was lost")


async def test_an_ended_state_never_changes(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await stopped_after(life, 4)
        life.runs.attempts[AttemptId(run.id, 1)].status = life.runs.attempts[AttemptId(run.id, 1)].status
        for _ in range(3):
            life.restart()
            await life.loops.once()
        assert (await life.row(Run)).state is RunState.CANCELLED


async def test_an_undeployed_service_gives_its_host_back(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        assert len(life.servers.hosts) == 1
        await life.house.say("/undeploy")
        await life.loops.once()
        await life.loops.once()
        assert ((await life.row(Service)).state, (await life.row(Host)).wanted) == (ServiceState.STOPPED, Wish.DOWN)
        assert life.servers.hosts == {}
        assert life.card("service").status == "Ended"
        await life.house.say("/deploy")
        await life.house.say("deploy")
        for _ in range(3):
            await life.loops.once()
        assert (await life.row(Service)).state is ServiceState.READY
        assert len(life.shown(Comparison)) == 1


async def test_a_killed_vllm_comes_back_with_its_adapters(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        host = await life.row(Host)
        life.servers.kill(host.id)
        await life.loops.once()
        assert (await life.row(Host)).state is HostState.STARTING
        assert life.card("service").is_live
        assert "killed" in life.card("service").note
        assert await life.is_busy()
        await make_due(life)
        for _ in range(3):
            await life.loops.once()
        model = (await life.rows(Model))[-1]
        assert (await life.row(Service)).state is ServiceState.READY
        assert model.id in life.servers.hosts[host.id].loaded
        assert len([text for text in life.notices() if text.startswith("You are talking to")]) == 1


async def test_a_host_that_fails_three_times_in_a_row_is_given_up(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        host_id = (await life.row(Host)).id
        life.servers.start_s = 3600  # it never comes up again
        for _ in range(3):
            life.servers.kill(host_id)
            await life.loops.once()
            if (await life.row(Host)).state is not HostState.FAILED:
                await make_due(life)
                await life.loops.once()
        await life.loops.once()
        assert (await life.row(Host)).state is HostState.FAILED
        assert (await life.row(Service)).state is ServiceState.FAILED
        card = life.card("service")
        assert "three times in a row" in card.note
        life.servers.start_s = 0
        await life.house.say(card.choices[0].say)
        for _ in range(4):
            await life.loops.once()
        assert (await life.row(Service)).state is ServiceState.READY


async def test_a_host_that_comes_up_and_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        host_id = (await life.row(Host)).id
        for _ in range(3):
            assert (await life.row(Host)).state is HostState.READY
            life.servers.kill(host_id)
            await life.loops.once()
            if (await life.row(Host)).state is not HostState.FAILED:
                await make_due(life)
                for _ in range(3):
                    await life.loops.once()
        assert (await life.row(Host)).state is HostState.FAILED


async def test_a_whole_model_is_announced_without_a_comparison(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        model, base = (await life.rows(Model))[-1], (await life.rows(Model))[0]
        async with life.house.application.world.store.transaction() as session:
            service = await session.get_one(Service, (await life.row(Service)).id)
            thread = Thread(face="test", face_key="another", user_id=(await life.row(Run)).user_id)
            session.add(thread)
            await session.flush()
            service.compared = False
            whole = await session.get_one(Model, model.id)
            whole.facts = base.facts
            said = await announce(session, thread, service, whole)
            assert thread.service_id == service.id
            assert [(await session.get_one(Message, message_id)).body["kind"] for message_id in said] == ["notice"]


async def test_a_refused_adapter_fails_with_its_reason(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        run = await life.begin("deploy")
        life.servers.refused[run.id] = "LoRA rank 8 is greater than max_lora_rank 4."
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.FAILED
        assert "LoRA rank 8 is greater" in life.card("service").note
        assert not await life.is_busy()


async def test_a_larger_rank_restarts_the_host(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        async with life.house.application.world.store.transaction() as session:
            run = await session.get_one(Run, (await life.row(Run)).id)
            run.spec = {**run.spec, "lora_rank": 64}
        await life.finish()
        host = await life.row(Host)
        assert life.servers.specs[host.id].max_lora_rank == 64
        assert (await life.row(Service)).state is ServiceState.READY
        assert life.servers.starts <= 2


async def test_a_deleted_thread_loses_its_card_and_nothing_else(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.loops.once()
        async with life.house.application.world.store.transaction() as session:
            await session.delete(await session.get_one(Thread, (await life.row(Run)).thread_id))
        await life.finish()
        assert (await life.row(Service)).state is ServiceState.READY
        assert (await life.row(Run)).thread_id is None


async def test_a_clean_end_stops_the_hosts_and_the_next_start_brings_them_back(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.begin("deploy")
        await life.finish()
        await life.loops.shut_down()
        assert life.servers.hosts == {}
        life.restart()
        for _ in range(3):
            await life.loops.once()
        assert (await life.row(Service)).state is ServiceState.READY
        assert life.servers.starts == 2


async def test_the_only_card_goes_from_training_to_serving_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model server beside a training on the one card; a second run makes the first one's service wait."""
    card = Gpu(name="L4", memory_bytes=24 << 30, free_memory_bytes=24 << 30, supports_bf16=True)
    for module in ("bot.wiring", "bot.reconcile.wishes"):
        monkeypatch.setattr(f"{module}.find_machine", lambda: replace(MACHINE, gpus=(card,)))
    async with living(tmp_path) as life:
        first = await life.begin("gpus_per_node=1 deploy", thread="thread-1")
        assert first.spec["gpus_per_node"] == 1
        await life.loops.once()
        await life.loops.once()
        assert life.servers.hosts == {}
        await life.finish()
        assert [service.state for service in await life.rows(Service)] == [ServiceState.READY]

        await life.begin("gpus_per_node=1 deploy", thread="thread-2")
        await life.loops.once()
        assert len(life.runs.attempts) == 1, "the card is not free yet"
        await life.loops.once()
        assert (len(life.runs.attempts), life.servers.hosts) == (2, {})
        assert life.card("service", "thread-1").is_live
        await life.finish()
        assert [service.state for service in await life.rows(Service)] == [ServiceState.READY] * 2
