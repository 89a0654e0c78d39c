"""The one-line form: everything in one turn; what is missing or wrong is said, and the rest is kept."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.replies import Question, Review
from tests.conversing import Bench, bench, has_started, identity, support
from tests.recording import words

LINE = "/finetune fill.name=Nova fill.author=Acme base_model=smollm2-135m-instruct preset=quick epochs=4 start deploy"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home", base_models=("smollm2-135m-instruct", "other-1b")) as made:
        yield made


async def seen_after(desk: Bench, line: str, *files: Path, language: str = "en") -> str:
    replies = await desk.say(line, files=files, language=language)
    return "\n".join(words(reply) for reply in replies)


async def test_everything_in_one_line_starts(desk: Bench, tmp_path: Path) -> None:
    replies = await desk.say(LINE, files=[identity(tmp_path / "identity.jsonl")])
    assert has_started(replies), [words(reply) for reply in replies]
    assert desk.went_well
    (run,) = await desk.runs()
    assert run.fills == {"name": "Nova", "author": "Acme"}
    assert run.spec["epochs"] == 4
    assert run.deploys
    assert await desk.draft() is None
    assert await desk.title() == "identity.jsonl"


async def test_the_same_line_in_chinese_words(desk: Bench, tmp_path: Path) -> None:
    names = "fill.name=“小 星” fill.author=极光科技 基础模型=smollm2-135m-instruct"
    line = f"/finetune {names} 快速 训练轮数=4 学习率=1e-4 开始 不部署"
    replies = await desk.say(line, files=[identity(tmp_path / "客服.jsonl")], language="zh-CN")
    assert has_started(replies), [words(reply) for reply in replies]
    (run,) = await desk.runs()
    assert run.fills == {"name": "小 星", "author": "极光科技"}
    assert (run.spec["epochs"], run.spec["learning_rate"], run.deploys) == (4, 1e-4, False)
    assert run.name == "dataset-1"


async def test_start_takes_recommendations_for_what_may_be_recommended(desk: Bench, tmp_path: Path) -> None:
    replies = await desk.say("/finetune start", files=[support(tmp_path / "support.jsonl", bad=0)])
    assert has_started(replies)


async def test_a_missing_fill_is_asked_and_nothing_starts(desk: Bench, tmp_path: Path) -> None:
    path = identity(tmp_path / "identity.jsonl")
    seen = await seen_after(desk, "/finetune fill.name=Nova preset=quick start", path)
    assert "still missing: {{author}}" in seen
    assert not desk.went_well
    assert not await desk.runs()
    question = desk.open_question()
    assert isinstance(question, Question)
    assert question.id == "fill.author"
    seen = await seen_after(desk, "Acme")
    assert "base model" in seen
    assert has_started(await desk.say("start"))


async def test_bad_rows_are_never_left_out_in_silence(desk: Bench, tmp_path: Path) -> None:
    path = support(tmp_path / "support.jsonl")
    seen = await seen_after(desk, "/finetune base_model=smollm2-135m-instruct preset=quick start", path)
    assert "still missing: Bad rows" in seen
    assert not desk.went_well
    assert not await desk.runs()
    assert has_started(await desk.say("/finetune bad_rows=leave_out start"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("epoch5s=4", "Did you mean `epochs`?"),
        ("learnin_rate=1e-4", "Did you mean `learning_rate`?"),
        ("learning_rate=fast", "fast"),
        ("epochs=0", "Epochs"),
        ("fill.nam=Nova", "Did you mean `name`?"),
        ("base_model=smollm", "start"),
        ("base_model=other-2b", "Did you mean `other-1b`?"),
        ("base_model=nothing-like-it", "no base model “nothing-like-it”"),
        ("preset=gigantic", "none of quick, balanced, best and custom"),
        ("experiment=Two Words", "cannot be the name of an experiment"),
        ("deploy=perhaps", "neither yes nor no"),
        ("dataset_name=数据", "no Chinese characters"),
    ],
)
async def test_what_is_wrong_is_said_and_the_rest_is_kept(desk: Bench, tmp_path: Path, wrong: str, said: str) -> None:
    path = identity(tmp_path / "identity.jsonl")
    line = f"/finetune fill.name=Nova fill.author=Acme {wrong} lora_rank=4 start"
    seen = await seen_after(desk, line, path)
    if wrong == "base_model=smollm":
        assert await desk.runs(), "the beginning of a name is enough where it is the only one"
        return
    assert said in seen, seen
    assert not desk.went_well
    assert not await desk.runs()
    draft = await desk.draft()
    assert draft is not None
    assert draft.fills == {"name": "Nova", "author": "Acme"}
    assert draft.values["lora_rank"] == 4


async def test_words_beside_a_dropped_file_count(desk: Bench, tmp_path: Path) -> None:
    replies = await desk.say("balanced, rank 16", files=[identity(tmp_path / "identity.jsonl")])
    draft = await desk.draft()
    assert draft is not None
    assert (draft.preset, draft.values) == ("balanced", {"lora_rank": 16})
    assert isinstance(replies[-1], Question)


async def test_a_known_data_set_by_name(desk: Bench, tmp_path: Path) -> None:
    await desk.say("/dataset", files=[support(tmp_path / "support.jsonl", bad=0)])
    for line in (
        "/finetune @support preset=quick base_model=other-1b",
        "/finetune dataset=support.jsonl best other-1b",
    ):
        replies = await desk.say(line)
        assert "support" in words(replies[-1])
    assert isinstance((await desk.say("/finetune @example preset=quick base_model=other-1b"))[-1], Review)
    seen = await seen_after(desk, "/finetune @suport")
    assert "Did you mean `support`?" in seen


async def test_a_plan_as_flat_yaml(desk: Bench, tmp_path: Path) -> None:
    await desk.say("/dataset", files=[identity(tmp_path / "identity.jsonl")])
    plan = "\n".join((
        "# a plan", "experiment: from-a-file", "dataset: identity", "base_model: other-1b", "preset: quick",
        "fill.name: Nova Bot", "fill.author: Acme Corp", "learning_rate: 1e-4", "deploy: no",
    ))  # fmt: skip
    replies = await desk.say(f"/finetune\n{plan}")
    assert isinstance(replies[-1], Review), [words(reply) for reply in replies]
    assert has_started(await desk.say("start"))
    (run,) = await desk.runs()
    assert (run.name, run.deploys, run.fills["author"]) == ("from-a-file", False, "Acme Corp")
