"""``/deploy``: the form, one line of it, and what is said when it cannot be."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.hosting import host_spec
from bot.landing import serving_places
from bot.replies import Form, FormField, Listing, Notice, Question, Reply, RunCard, Text
from bot.turns import Rights
from storage.models import Host, Model, Service, Thread
from storage.services import all_services
from storage.states import ServiceState, Wish
from storage.threads import messages_of
from tests.conversing import BEIJING, SHANGHAI, Bench, bench
from tests.recording import words
from tests.tuned import add_tuned_model, make_cpu_environment
from training.places import ServingPlace

GPUS = BEIJING.model_copy(update={"serving": ServingPlace(image="vllm:1", queue="team-a")})
CPUS = SHANGHAI.model_copy(update={"serving": ServingPlace(image="vllm:1", build="cpu")})


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home") as made:
        await add_tuned_model(made.world.store, "nova-1")
        yield made


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home", places=(GPUS, CPUS)) as made:
        await add_tuned_model(made.world.store, "nova-1")
        yield made


async def services(desk: Bench) -> Sequence[Service]:
    async with desk.world.store.reading() as session:
        return await all_services(session)


async def host(desk: Bench) -> Host:
    async with desk.world.store.reading() as session:
        return (await session.scalars(select(Host))).one()


async def thread(desk: Bench, key: str = "thread") -> Thread:
    async with desk.world.store.reading() as session:
        return (await session.scalars(select(Thread).where(Thread.face_key == key))).one()


def the_form(replies: Sequence[Reply]) -> Form:
    (form,) = [reply for reply in replies if isinstance(reply, Form) and not reply.is_submitted]
    return form


def fields(form: Form) -> dict[str, FormField]:
    return {field.name: field for section in form.sections for field in section.fields}


def filled(form: Form, **changes: str) -> dict[str, str]:
    return {name: field.value for name, field in fields(form).items()} | changes


def said(replies: Sequence[Reply]) -> str:
    return "\n".join(words(reply) for reply in replies)


async def test_a_name_alone_asks_nothing(desk: Bench) -> None:
    (card,) = await desk.say("/deploy nova-1", user="ann")
    assert isinstance(card, RunCard)
    (service,) = await services(desk)
    assert (service.name, service.wanted, service.state) == ("nova-1", Wish.UP, ServiceState.WAITING)
    assert await desk.user_name(service.user_id or "") == "ann"
    assert (await host(desk)).settings == {}
    assert (await thread(desk)).deployment is None


async def test_the_form_asks_the_customers_fields_in_a_cluster(cluster: Bench) -> None:
    form = the_form(await cluster.say("/deploy"))
    here = fields(form)
    assert {name: field.value for name, field in here.items()} == {
        "service": "nova-1",
        "place": "beijing",
        "quota": "team-a",
        "instances": "1",
        "pinned": "no",
        "gpus": "1",
        "gpu_product": "",
        "cpu": "6",
        "memory_gib": "16",
        "max_loras": "4",
        "max_lora_rank": "16",
        "arguments": "",
    }
    assert [option.label for option in here["gpu_product"].options] == ["any", "H100"]


async def test_on_one_machine_only_what_means_something_is_asked(desk: Bench) -> None:
    assert set(fields(the_form(await desk.say("/deploy")))) == {
        "service",
        "pinned",
        "max_loras",
        "max_lora_rank",
        "arguments",
    }


async def test_a_cpu_build_is_not_asked_for_gpus_and_holds_more_adapters(cluster: Bench) -> None:
    await cluster.say("/deploy")
    form = the_form(await cluster.say("place shanghai-2"))
    assert fields(form)["place"].value == "shanghai-2"
    assert not {"gpus", "gpu_product"} & set(fields(form))
    assert fields(form)["max_loras"].value == "16"
    assert "on a CPU more than these cannot be loaded" in fields(form)["max_loras"].help


async def test_one_line_sets_everything(cluster: Bench) -> None:
    line = (
        "/deploy nova-1 service=support place=beijing quota=fast instances=2 gpus=3 gpu_product=h100 cpu=8 "
        'memory_gib=24 max_loras=8 max_lora_rank=32 arguments="--max-num-seqs 64" pinned=yes'
    )
    (card,) = await cluster.say(line)
    assert isinstance(card, RunCard)
    assert "0 of 2 instances ready" in card.facts
    assert "stays up" in card.facts
    (service,) = await services(cluster)
    found = await host(cluster)
    assert (service.name, found.place, found.is_pinned) == ("support", "beijing", True)
    assert found.settings == {
        "queue": "fast",
        "instances": 2,
        "gpus": 3,
        "gpu_product": "H100",
        "cpu": 8,
        "memory_gib": 24,
        "max_loras": 8,
        "max_lora_rank": 32,
        "arguments": ["--max-num-seqs", "64"],
    }


async def test_one_line_in_chinese(cluster: Bench) -> None:
    line = "/deploy nova-1 服务名称=support，部署位置=shanghai-2 实例数=2 CPU核数=4 内存=16Gi 常驻=是"
    (card,) = await cluster.say(line, language="zh-CN")
    assert isinstance(card, RunCard)
    assert card.facts == ("2 个实例中 0 个就绪", "常驻")
    found = await host(cluster)
    assert (found.place, found.is_pinned) == ("shanghai-2", True)
    assert found.settings == {"instances": 2, "cpu": 4, "memory_gib": 16}


async def test_what_is_the_default_is_not_kept_as_a_wish(cluster: Bench) -> None:
    await cluster.say("/deploy nova-1 gpus=1 instances=1 max_loras=4 pinned=no quota=team-a")
    found = await host(cluster)
    assert found.settings == {}
    async with cluster.world.store.reading() as session:
        base = await session.get_one(Model, found.base_model_id)
    assert (await host_spec(cluster.world, found, base)).queue == "team-a", "the place's own, which the form showed"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("instances=two", "Instances takes a whole number from 1 to 100, and “two” is none"),
        ("instances=0", "Instances can be from 1 to 100 here, and not 0"),
        ("gpus=5", "GPUs can be from 1 to 4 here, and not 5. Say `gpus=4`"),
        ("gpu_product=A100", "no GPU of type “A100”. It has: H100"),
        ("cpu=64", "CPU cores can be from 1 to 32 here"),
        ("memory_gib=4096", "Memory (GiB) can be from 1 to 64 here"),
        ("max_lora_rank=4", "Highest LoRA rank can be from 8 to 512 here"),
        ("max_loras=1000", "Adapters at once can be from 1 to 64 here"),
        ("place=tianjin", "No model is served in “tianjin”. There is: beijing, shanghai-2"),
        ("quota=Team_A", "Quota cannot be “Team_A”"),
        ("pinned=perhaps", "“perhaps” is neither yes nor no"),
        ("service=My_Service", "`my-service` would do"),
        ("service=客服", "“客服” cannot be a service's name"),
        ("arguments=--api-key=x", "--api-key"),
        ("instnces=2", "Did you mean `instances`?"),
        ("place=shanghai-2 gpus=1", "GPUs means nothing where this model is served; leave `gpus` out"),
    ],
)
async def test_a_wrong_value_is_told_and_asked_again_with_nothing_lost(cluster: Bench, words: str, told: str) -> None:
    replies = await cluster.say(
        f"/deploy nova-1 max_lora_rank=32 {words}" if "rank" not in words else f"/deploy nova-1 {words}"
    )
    assert told in said(replies)
    assert not cluster.went_well
    assert await services(cluster) == []
    form = the_form(replies)
    if "rank" not in words:
        assert fields(form)["max_lora_rank"].value == "32"


async def test_errors_stand_at_their_fields_and_what_was_typed_stays(cluster: Bench) -> None:
    form = the_form(await cluster.say("/deploy"))
    typed = filled(form, service="Bad Name", instances="3", gpus="9")
    (again,) = await cluster.say(about=form.id, answers=typed)
    assert isinstance(again, Form)
    assert again.key == form.key
    here = fields(again)
    assert "2 fields" in again.intro
    assert here["service"].error
    assert here["gpus"].error
    assert not here["instances"].error
    assert (here["service"].value, here["gpus"].value, here["instances"].value) == ("Bad Name", "9", "3")
    await cluster.say(about=again.id, answers=filled(again, service="good-name", gpus="3"))
    (service,) = await services(cluster)
    assert service.name == "good-name"
    assert (await host(cluster)).settings == {"gpus": 3, "instances": 3}


async def test_cards_that_do_not_divide_the_heads_are_refused_at_their_field(cluster: Bench) -> None:
    form = the_form(await cluster.say("/deploy"))
    (again,) = await cluster.say(about=form.id, answers=filled(form, gpus="4"))
    assert isinstance(again, Form)
    assert fields(again)["gpus"].error == (
        "4 GPUs do not divide the 9 attention heads of tiny-instruct: take 1 or 3. Say `gpus=3`, for example."
    )
    assert await services(cluster) == []


async def test_cards_that_do_not_divide_the_heads_are_refused_in_chinese(cluster: Bench) -> None:
    replies = await cluster.say("/deploy nova-1 物理卡数=2", language="zh-CN")
    assert "2 张卡不能整除 tiny-instruct 的 9 个注意力头，可以用 1或3 张。例如可以说 `gpus=3`。" in said(replies)
    assert await services(cluster) == []


async def test_a_places_cards_are_fewer_where_the_model_cannot_be_split_over_them(tmp_path: Path) -> None:
    four = BEIJING.model_copy(update={"serving": ServingPlace(image="vllm:1", gpus=4)})
    async with bench(tmp_path / "home", places=(four,)) as made:
        await add_tuned_model(made.world.store, "nova-1")
        here = fields(the_form(await made.say("/deploy")))
        assert (here["gpus"].value, here["cpu"].value) == ("3", "10")
        await made.say("/deploy nova-1 gpus=3")
        found = await host(made)
        assert found.settings == {}
        async with made.world.store.reading() as session:
            base = await session.get_one(Model, found.base_model_id)
        assert (await host_spec(made.world, found, base)).gpus == 3


async def test_fields_in_plain_words_and_a_restart_in_the_middle(desk: Bench) -> None:
    await desk.say("/deploy")
    replies = await desk.say("service=support, max lora rank 32")
    assert "Noted: Service name support, Highest LoRA rank 32" in said(replies)
    # The bench builds the assistant anew for every turn: what is open is in the row alone.
    assert (await thread(desk)).deployment is not None
    assert "cannot be a service's name" in said(await desk.say("service=-x-"))
    assert fields(the_form(desk.face.visible("thread")))["service"].value == "support"
    assert "By this name people and programs" in said(await desk.say("what is service name?"))
    assert "This is the first question" in said(await desk.say("back"))
    assert "did not understand" in said(await desk.say("hello there"))
    await desk.say("deploy")
    (service,) = await services(desk)
    assert (service.name, (await host(desk)).settings) == ("support", {"max_lora_rank": 32})


async def test_a_submission_of_an_older_form_changes_nothing(desk: Bench) -> None:
    first = the_form(await desk.say("/deploy"))
    second = the_form(await desk.say("/deploy"))
    (notice,) = await desk.say(about=first.id, answers=filled(first, service="old"))
    assert words(notice) == "That question is closed; nothing was changed."
    await desk.say(about=second.id, answers=filled(second, service="new"))
    (notice,) = await desk.say(about=second.id, answers=filled(second, service="twice"))
    assert isinstance(notice, Notice)
    assert [service.name for service in await services(desk)] == ["new"]


async def test_a_form_is_put_aside_by_cancel_a_plan_or_a_new_start(desk: Bench) -> None:
    for ending in ("cancel", "/finetune", "/new"):
        await desk.say("/deploy", thread=ending)
        await desk.say(ending, thread=ending)
        assert (await thread(desk, ending)).deployment is None
    assert await services(desk) == []


@pytest.mark.parametrize("line", ["/chat nova-1", "/base", "/tuned"])
async def test_who_chooses_whom_to_talk_to_is_asked_no_more(desk: Bench, line: str) -> None:
    await desk.say("/deploy nova-1")
    await desk.say("/deploy nova-1 form")
    await desk.say(line)
    assert (await thread(desk)).deployment is None


async def test_who_chooses_whom_to_talk_to_learns_that_a_plan_is_still_open(desk: Bench) -> None:
    await desk.say("/deploy nova-1")
    await desk.say("/finetune")
    assert "This plan is still open" in str(await desk.say("/chat nova-1"))
    assert await desk.draft() is not None


async def test_an_open_plan_waits_while_a_deployment_is_asked_about(desk: Bench) -> None:
    await desk.say("/finetune")
    await desk.say("/deploy")
    await desk.say("cancel")
    assert await desk.draft() is not None
    assert "tiny-instruct" in said(await desk.say("the example data"))


async def test_the_language_of_an_open_form_changes(desk: Bench) -> None:
    await desk.say("/deploy")
    form = the_form([reply for reply in await desk.say("/language zh") if isinstance(reply, Form)])
    assert (form.title, form.submit_label) == ("部署 nova-1", "部署")
    await desk.say("部署")
    assert len(await services(desk)) == 1


async def test_several_models_are_a_choice_first(desk: Bench) -> None:
    await add_tuned_model(desk.world.store, "nova-2")
    (listing,) = await desk.say("/deploy")
    assert isinstance(listing, Listing)
    assert [choice.say for choice in listing.items[0].choices] == ["/deploy nova-2", "/deploy nova-2 form"]
    assert fields(the_form(await desk.say("/deploy nova-2 form")))["service"].value == "nova-2"


async def test_the_names_of_others_are_refused_with_a_free_one(desk: Bench) -> None:
    await desk.say("/deploy nova-1 service=support", user="ann")
    await add_tuned_model(desk.world.store, "nova-2")
    replies = await desk.say("/deploy nova-2 service=support", user="bob", thread="bobs")
    assert "The service support is somebody else's. `support-2` is free." in said(replies)
    assert [service.name for service in await services(desk)] == ["support"]
    await desk.say("service=support-2", user="bob", thread="bobs")
    await desk.say("deploy", user="bob", thread="bobs")
    assert [service.name for service in await services(desk)] == ["support", "support-2"]


async def test_a_name_that_is_taken_is_suggested_with_a_number(desk: Bench) -> None:
    await add_tuned_model(desk.world.store, "nova-2")
    await desk.say("/deploy nova-1 service=nova-2")
    await desk.say("/deploy nova-2")
    assert [service.name for service in await services(desk)] == ["nova-2", "nova-2-2"]


async def test_a_service_of_ones_own_answers_with_a_new_model(desk: Bench) -> None:
    newer = await add_tuned_model(desk.world.store, "nova-2")
    await desk.say("/deploy nova-1 service=support")
    await desk.say("/chat support", thread="other", language="zh-CN")
    replies = await desk.say("/deploy nova-2 service=support")
    assert "**support** answers with nova-2 from now on, no longer with nova-1" in said(replies)
    (service,) = await services(desk)
    assert (service.model_id, service.state, service.compared) == (newer, ServiceState.WAITING, False)
    assert (await thread(desk, "other")).service_id == service.id
    async with desk.world.store.reading() as session:
        told = (await messages_of(session, (await thread(desk, "other")).id))[-1].body
    assert "support 从现在起用 nova-2 回答" in told["text"]
    (back,) = [choice for reply in replies if isinstance(reply, Text) for choice in reply.choices]
    assert "no longer with nova-2" in said(await desk.say(back.say))


async def test_a_new_model_of_another_base_takes_the_service_to_another_host(tmp_path: Path) -> None:
    async with bench(tmp_path / "home", base_models=("tiny-instruct", "other-instruct")) as desk:
        await add_tuned_model(desk.world.store, "nova-1")
        await add_tuned_model(desk.world.store, "nova-2", base="other-instruct")
        await desk.say("/deploy nova-1 service=support")
        (before,) = await services(desk)
        await desk.say("/deploy nova-2 service=support")
        (after,) = await services(desk)
    assert before.id == after.id
    assert before.host_id != after.host_id


async def test_pinning_a_service_restarts_nothing(desk: Bench) -> None:
    await add_tuned_model(desk.world.store, "nova-2")
    await desk.say("/deploy nova-1 service=support")
    await desk.say("/deploy nova-2")
    for name, wish, is_pinned in (("support", "yes", True), ("nova-1", "no", False)):
        card, _ = await desk.say(f"/deploy {name} pinned={wish}")
        assert isinstance(card, RunCard)
        assert card.title == "support"
        assert (await host(desk)).is_pinned is is_pinned
    assert len(await services(desk)) == 2


RANK = "tiny-instruct's model server takes adapters up to rank 16; this one has rank 64"


async def raise_rank(desk: Bench, said_: str) -> Sequence[Reply]:
    await add_tuned_model(desk.world.store, "wide-1", rank=64)
    await desk.say("/deploy nova-1", thread="other")
    return await desk.say(said_)


async def test_a_host_that_nobody_else_uses_is_raised_without_asking(desk: Bench) -> None:
    await add_tuned_model(desk.world.store, "wide-1", rank=40)
    await desk.say("/deploy wide-1")
    assert (await host(desk)).settings == {"max_lora_rank": 64}


async def test_others_are_disturbed_with_a_yes_alone(desk: Bench) -> None:
    (question,) = await raise_rank(desk, "/deploy wide-1")
    assert isinstance(question, Question)
    assert RANK in question.markdown
    assert "It serves others too: **nova-1**. They pause for about a minute" in question.markdown
    assert [choice.say for choice in question.choices] == ["yes", "no"]
    assert ((await host(desk)).settings, len(await services(desk))) == ({}, 1)
    await desk.say("yes")
    assert ((await host(desk)).settings, len(await services(desk))) == ({"max_lora_rank": 64}, 2)


async def test_a_no_changes_nothing(desk: Bench) -> None:
    await raise_rank(desk, "/deploy wide-1")
    assert "Nothing was changed" in said(await desk.say("2"))
    assert ((await host(desk)).settings, len(await services(desk))) == ({}, 1)
    assert (await thread(desk)).deployment is None


async def test_several_instances_keep_answering(cluster: Bench) -> None:
    await cluster.say("/deploy nova-1 instances=2", thread="other")
    await add_tuned_model(cluster.world.store, "wide-1", rank=64)
    replies = await cluster.say("/deploy wide-1")
    assert "They keep answering meanwhile" in said(replies)


async def test_back_from_the_question_is_the_form(desk: Bench) -> None:
    await raise_rank(desk, "/deploy wide-1")
    assert "no choice 7; there are 2" in said(await desk.say("7"))
    form = the_form(await desk.say("back"))
    question = await desk.say(about=form.id, answers=filled(form))
    assert RANK in said(question)
    await desk.say("cancel")
    assert (await thread(desk)).deployment is None


async def test_settings_that_need_a_restart_are_asked_about_and_may_be_left(desk: Bench) -> None:
    await desk.say("/deploy nova-1", thread="other")
    await add_tuned_model(desk.world.store, "nova-2")
    (question,) = await desk.say("/deploy nova-2 max_loras=8")
    assert isinstance(question, Question)
    assert [choice.say for choice in question.choices] == ["yes", "keep", "no"]
    await desk.say("2")
    assert ((await host(desk)).settings, len(await services(desk))) == ({}, 2)


async def test_more_instances_disturb_nobody(cluster: Bench) -> None:
    await cluster.say("/deploy nova-1", thread="other")
    await add_tuned_model(cluster.world.store, "nova-2")
    (card,) = await cluster.say("/deploy nova-2 instances=3")
    assert isinstance(card, RunCard)
    assert (await host(cluster)).settings == {"instances": 3}


@pytest.fixture
async def cpu(tmp_path: Path) -> AsyncIterator[Bench]:
    """A machine whose vLLM computes on a CPU."""
    async with bench(tmp_path / "home") as desk:
        python = make_cpu_environment(tmp_path / "serving")
        settings = desk.world.settings.model_copy(update={"serving_python": python})
        desk.world = replace(desk.world, settings=settings)
        yield desk


async def fill(desk: Bench, count: int, line: str = "") -> None:
    """Deploy so many models, nova-1 and on, and have one more."""
    async with desk.world.store.reading() as session:
        there = set((await session.scalars(select(Model.name))).all())
    for name in (f"nova-{number}" for number in range(1, count + 2)):
        if name not in there:
            await add_tuned_model(desk.world.store, name)
    for number in range(1, count + 1):
        assert isinstance((await desk.say(f"/deploy nova-{number} {line}", thread="other"))[0], RunCard)


async def test_the_seventeenth_adapter_on_a_cpu_needs_a_server_with_more_room(cpu: Bench) -> None:
    await fill(cpu, 16)
    (question,) = await cpu.say("/deploy nova-17")
    assert isinstance(question, Question)
    assert question.markdown.startswith(
        "tiny-instruct's model server is started for 16 tuned models, and this would be number 17. "
        "It would have to start anew with room for 32.\n\nIt serves others too: **nova-1**"
    )
    assert [choice.say for choice in question.choices] == ["yes", "no"]
    assert "did not understand" in said(await cpu.say("keep"))
    assert ((await host(cpu)).settings, len(await services(cpu))) == ({}, 16)
    await cpu.say("yes")
    assert ((await host(cpu)).settings, len(await services(cpu))) == ({"max_loras": 32}, 17)


async def test_it_is_asked_in_chinese(cpu: Bench) -> None:
    await fill(cpu, 16)
    (question,) = await cpu.say("/deploy nova-17", language="zh-CN")
    assert "tiny-instruct 的模型服务器启动时只为 16 个微调模型留了位置，而这是第 17 个" in words(question)
    assert "需要用 32 个位置重新启动" in words(question)


async def test_a_service_that_changes_its_model_gives_its_place_back(cpu: Bench) -> None:
    await fill(cpu, 16)
    assert "nova-17 from now on" in said(await cpu.say("/deploy nova-17 service=nova-3"))
    assert ((await host(cpu)).settings, len(await services(cpu))) == ({}, 16)


@pytest.mark.parametrize("line", ["/deploy nova-17 max_loras=16", "/deploy nova-17 max_loras=8"])
async def test_a_number_that_does_not_do_on_a_cpu_is_refused_at_its_field(cpu: Bench, line: str) -> None:
    await fill(cpu, 16)
    replies = await cpu.say(line)
    given = line.rpartition("=")[2]
    error = fields(the_form(replies))["max_loras"].error
    assert "has to hold 17 tuned models, this one among them" in error
    assert f"{given} is too few. Say `max_loras=32`" in error
    assert ((await host(cpu)).settings, len(await services(cpu))) == ({}, 16)


async def test_no_number_below_what_is_served_is_taken_on_a_cpu(cpu: Bench) -> None:
    await fill(cpu, 4)
    assert "has to hold 4 tuned models" in said(await cpu.say("/deploy nova-2 max_loras=3"))
    question = (await cpu.say("/deploy nova-2 max_loras=4"))[-1]
    assert isinstance(question, Question)
    assert [choice.say for choice in question.choices] == ["yes", "keep", "no"]
    await cpu.say("yes")
    assert (await host(cpu)).settings == {"max_loras": 4}


async def test_a_cpu_with_as_many_as_one_server_may_hold_is_full(cpu: Bench) -> None:
    await fill(cpu, 64, "max_loras=64 restart=yes")
    (refusal,) = await cpu.say("/deploy nova-65")
    assert isinstance(refusal, Text)
    assert not cpu.went_well
    assert "holds 64 tuned models already" in refusal.markdown
    assert "**nova-1**" in refusal.markdown
    assert refusal.choices[0].say == "/undeploy nova-1"


async def test_a_cpu_that_sleeps_gets_more_room_without_asking(cpu: Bench) -> None:
    await fill(cpu, 16)
    async with cpu.world.store.transaction() as session:
        (await session.get_one(Host, (await host(cpu)).id)).is_asleep = True
    (card,) = await cpu.say("/deploy nova-17")
    assert isinstance(card, RunCard)
    assert (await host(cpu)).settings == {"max_loras": 32}


async def test_the_fifth_adapter_on_a_gpu_may_be_deployed_without_more_room(desk: Bench) -> None:
    await fill(desk, 4)
    (question,) = await desk.say("/deploy nova-5")
    assert isinstance(question, Question)
    assert "is started for 4 tuned models, and this would be number 5. For room for 8" in question.markdown
    assert "take turns in the GPU's memory" in question.markdown
    assert [choice.say for choice in question.choices] == ["yes", "keep", "no"]
    await desk.say("keep")
    assert ((await host(desk)).settings, len(await services(desk))) == ({}, 5)
    # Who is there already is no occasion to ask again.
    assert isinstance((await desk.say("/deploy nova-5 pinned=yes"))[0], RunCard)
    assert (await thread(desk)).deployment is None


async def test_the_fifth_adapter_on_a_gpu_gets_room_with_a_yes(desk: Bench) -> None:
    await fill(desk, 4)
    await desk.say("/deploy nova-5")
    await desk.say("yes")
    assert ((await host(desk)).settings, len(await services(desk))) == ({"max_loras": 8}, 5)


async def test_a_number_that_is_given_on_a_gpu_is_not_raised(desk: Bench) -> None:
    await fill(desk, 4)
    assert isinstance((await desk.say("/deploy nova-5 max_loras=4"))[0], RunCard)
    assert ((await host(desk)).settings, len(await services(desk))) == ({}, 5)


async def test_other_settings_are_left_with_the_number_on_a_gpu(desk: Bench) -> None:
    await fill(desk, 4)
    (question,) = await desk.say("/deploy nova-5 max_loras=16 max_lora_rank=64")
    assert "With other settings" in words(question)
    await desk.say("keep")
    assert ((await host(desk)).settings, len(await services(desk))) == ({}, 5)


async def test_a_higher_rank_and_more_room_are_said_together(desk: Bench) -> None:
    await fill(desk, 4)
    await add_tuned_model(desk.world.store, "wide-1", rank=64)
    (question,) = await desk.say("/deploy wide-1")
    assert isinstance(question, Question)
    assert RANK in question.markdown
    assert "this would be number 5. For room for 8" in question.markdown
    assert [choice.say for choice in question.choices] == ["yes", "no"]
    await desk.say("yes")
    assert (await host(desk)).settings == {"max_lora_rank": 64, "max_loras": 8}


async def test_only_who_may_manage_deploys_and_submits(desk: Bench) -> None:
    nobody = Rights(may_manage=False, whom_to_ask=("Ann Lee",))
    assert "Ask Ann Lee" in said(await desk.say("/deploy nova-1", rights=nobody))
    form = the_form(await desk.say("/deploy"))
    assert "Ask Ann Lee" in said(await desk.say(about=form.id, answers=filled(form), rights=nobody))
    assert await services(desk) == []


async def test_services_are_listed_mine_first_with_their_address(cluster: Bench) -> None:
    (empty,) = await cluster.say("/services")
    assert "No service is running" in words(empty)
    await add_tuned_model(cluster.world.store, "nova-2")
    await cluster.say("/deploy nova-1 service=anns instances=2", user="ann", thread="anns")
    await cluster.say("/deploy nova-2 service=mine pinned=yes")
    mine, others, address = await cluster.say("/services", language="en")
    assert isinstance(mine, Listing)
    assert isinstance(others, Listing)
    assert [item.title for item in (*mine.items, *others.items)] == ["mine", "anns"]
    assert "nova-1 on tiny-instruct · in beijing · 0 of 2 instances ready · stays up" in others.items[0].detail
    assert "http://127.0.0.1:8000/v1" in words(address)
    settings = cluster.world.settings.model_copy(update={"public_url": "https://tune.example.org"})
    cluster.world = replace(cluster.world, settings=settings)
    assert "ask them at https://tune.example.org/v1 with" in words((await cluster.say("/services"))[-1])
    says = [choice.say for choice in mine.items[0].choices]
    assert says == ["/chat mine", "/deploy nova-2 service=mine pinned=no", "/undeploy mine"]
    await cluster.say("/undeploy mine")
    ended = (await cluster.say("/services"))[0]
    assert isinstance(ended, Listing)
    assert [choice.say for choice in ended.items[0].choices] == ["/deploy nova-2 service=mine"]


async def test_a_long_list_of_services_ends_in_words(desk: Bench) -> None:
    for number in range(45):
        await add_tuned_model(desk.world.store, f"many-{number}")
        await desk.say(f"/deploy many-{number} max_loras=4")
    (listing, _) = await desk.say("/services")
    assert isinstance(listing, Listing)
    assert len(listing.items) == 41
    assert listing.items[-1].title.startswith("5 more")


async def test_a_service_goes_where_it_is(cluster: Bench) -> None:
    await cluster.say("/deploy nova-1 place=shanghai-2")
    await cluster.say("/undeploy nova-1")
    await cluster.say("/deploy nova-1 place=shanghai-2")
    await cluster.say("/deploy nova-1 instances=2")
    found = await host(cluster)
    assert (found.place, found.settings) == ("shanghai-2", {"instances": 2})
    assert [place.name for place in serving_places(cluster.world)] == ["beijing", "shanghai-2"]
