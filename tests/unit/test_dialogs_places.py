"""Where a training runs is asked where there are several places, and only there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.replies import Form, Question, Review
from tests.conversing import BEIJING, PLACES, Bench, bench, has_started, support
from tests.recording import words

BEGIN = "/finetune base_model=tiny-instruct"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home", places=PLACES) as made:
        yield made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return support(tmp_path / "support.jsonl", bad=0)


async def test_a_dialog_in_english(desk: Bench, data: Path) -> None:
    await desk.say(files=[data])
    await desk.converse([
        ("tiny-instruct", "Where should it train?|**beijing**: it is the first|recommended"
         "|namespace team-a, 4 × H100 a node, 32 cores|namespace team-b, no GPU, 16 cores"),
        ("what is this?", "The place is the cluster and namespace|Where should it train?"),
        ("tianjin", "no place “tianjin”. The places are: beijing, shanghai-2|Where should it train?"),
        ("7", "no choice 7; there are 2"),
        ("lr 1e-4", "Noted: Learning rate 1e-4|Where should it train?"),
        ("the one in beijing", "How thorough?"),
        ("back", "Where should it train?"),
        ("2", "How thorough?"),
        ("quick", "The plan: support-1|Place\nshanghai-2"),
        ("place beijing", "Noted: Place beijing|Place\nbeijing"),
        ("place=nowhere", "no place “nowhere”"),
        ("namespace=team-b", "Noted: Place shanghai-2"),
        ("start", "support-1|Place shanghai-2"),
    ])  # fmt: skip
    (run,) = await desk.runs()
    assert run.place == "shanghai-2"


async def test_a_dialog_in_chinese(desk: Bench, data: Path) -> None:
    await desk.say(files=[data], language="zh-CN")
    await desk.converse(
        [
            ("tiny-instruct", "在哪里训练？|推荐 **beijing**|命名空间 team-a|每台 4 × H100|无 GPU|每台 16 核"),
            ("这是什么", "部署位置是训练所在的集群和命名空间|在哪里训练"),
            ("天津", "没有“天津”这个部署位置"),
            ("放在 shanghai-2 吧", "训练到什么程度"),
            ("快速", "计划：support-1|部署位置\nshanghai-2"),
            ("部署位置 beijing", "已记下：部署位置 beijing"),
            ("部署位置改成 shanghai-2", "已记下：部署位置 shanghai-2"),
            ("集群=beijing", "已记下：部署位置 beijing"),
            ("开始", "support-1|部署位置 beijing"),
        ],
        language="zh-CN",
    )
    (run,) = await desk.runs()
    assert run.place == "beijing"


async def test_the_last_used_place_is_recommended(desk: Bench, data: Path) -> None:
    replies = await desk.say(f"{BEGIN} place=shanghai-2 preset=quick start", files=[data])
    assert has_started(replies), [words(reply) for reply in replies]
    await desk.say(f"{BEGIN} dataset=support", thread="second")
    question = desk.open_question("second")
    assert isinstance(question, Question)
    assert [choice.say for choice in question.choices if choice.style == "primary"] == ["shanghai-2"]
    assert "you used it last" in question.markdown
    await desk.converse([("skip", "How thorough?"), ("start", "support-2|Place shanghai-2")], thread="second")


async def test_a_start_takes_the_recommended_place(desk: Bench, data: Path) -> None:
    assert has_started(await desk.say("/finetune start", files=[data]))
    (run,) = await desk.runs()
    assert run.place == "beijing"
    assert run.spec["gpus_per_node"] == 1


async def test_the_plan_is_made_for_the_chosen_place(desk: Bench, data: Path) -> None:
    """One place has GPUs, the other has none: computed values follow."""
    await desk.say(f"{BEGIN} place=beijing preset=quick", files=[data])
    with_gpu = desk.open_question()
    await desk.say("place shanghai-2")
    without = desk.open_question()
    assert isinstance(with_gpu, Review)
    assert isinstance(without, Review)
    assert value(with_gpu, "gpus_per_node") == "1"
    assert value(without, "gpus_per_node") == "0"
    assert "this machine" not in without.subtitle


async def test_the_form_holds_the_place(desk: Bench, data: Path) -> None:
    await desk.say(f"{BEGIN} place=beijing preset=quick", files=[data])
    (form,) = [reply for reply in await desk.say("change") if isinstance(reply, Form)]
    (field,) = [field for section in form.sections for field in section.fields if field.name == "place"]
    assert (field.value, field.kind, [option.say for option in field.options]) == (
        "beijing",
        "choice",
        ["beijing", "shanghai-2"],
    )
    await desk.say(answers={"place": "nowhere"}, about="form")
    draft = await desk.draft()
    assert draft is not None
    assert (draft.place, draft.open) == ("beijing", "form")
    await desk.say(answers={"place": "shanghai-2"}, about="form")
    draft = await desk.draft()
    assert draft is not None
    assert (draft.place, draft.open) == ("shanghai-2", "review")


async def test_a_retry_keeps_the_place(desk: Bench, data: Path) -> None:
    await desk.say(f"{BEGIN} place=shanghai-2 preset=quick start", files=[data])
    async with desk.world.store.transaction() as session:
        (row,) = await desk.runs()
        run = await session.merge(row)
        run.state = type(run.state).FAILED
    await desk.say("/retry")
    assert [run.place for run in await desk.runs()] == ["shanghai-2", "shanghai-2"]


@pytest.mark.parametrize("places", [(), (BEIJING,)])
async def test_one_place_is_not_asked(tmp_path: Path, data: Path, places: tuple[()]) -> None:
    async with bench(tmp_path / "home", places=places) as desk:
        await desk.say(files=[data])
        await desk.converse([("tiny-instruct", "How thorough?"), ("quick", "The plan: support-1")])
        review = desk.open_question()
        assert isinstance(review, Review)
        assert value(review, "place") is None
        said = "Noted: Place beijing" if places else "Trainings run on this machine"
        await desk.converse([("place=beijing", said), ("start", "support-1")])
        (run,) = await desk.runs()
        assert run.place is None


def value(review: Review, name: str) -> str | None:
    """What a plan's card says of one name."""
    return next((row.value for section in review.sections for row in section.rows if row.name == name), None)
