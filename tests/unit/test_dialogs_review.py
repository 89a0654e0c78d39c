"""The review: what each surprising value is told, that every remedy mends, and that refusals keep a start back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.replies import Form, Review, RunCard
from bot.texts import LANGUAGES
from storage.states import RunState
from tests.conversing import Bench, bench, has_started, identity, support
from tests.recording import words

STRANGE = (
    "method=full", "method=freeze", "quantization=int4", "quantization=int8, quantization_method=eetq",
    "quantization=int4, quantization_method=hqq", "method=full, quantization=int4", "cutoff_length=16",
    "cutoff_length=100000", "cutoff_length=100000, rope_scaling=yarn", "rope_scaling=linear", "warmup_steps=10000",
    "save_steps=100000", "logging_steps=5000", "lora_rank=512", "lora_alpha=1", "lora_dropout=0.9",
    "lora_lr_ratio=0.5", "neftune_alpha=50", "learning_rate=0.5", "learning_rate=1e-9", "epochs=500", "epochs=0.1",
    "validation_ratio=0.9", "validation_ratio=0.01", "stage=dpo", "stage=pretrain", "nodes=2", "gpus_per_node=1",
    "acceleration=unsloth", "acceleration=flash_attention_2", "acceleration=liger", "optimizer=adamw_8bit",
    "optimizer=lion", "compute_type=fp16", "compute_type=bf16", "batch_size=4096", "batch_size=64", "max_samples=1",
    "gradient_accumulation=4096", "max_grad_norm=0", "memory_gib=1", "cpu=1024", "seed=7",
)  # fmt: skip


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home") as made:
        yield made


async def to_review(desk: Bench, path: Path, line: str = "", *, thread: str = "thread", language: str = "en") -> Review:
    replies = await desk.say(
        f"/finetune base_model=tiny-instruct preset=balanced bad_rows=leave_out {line}",
        files=[path],
        thread=thread,
        language=language,
    )
    card = replies[-1]
    assert isinstance(card, Review), "\n".join(map(words, replies))
    return card


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_strange_value_is_told_in_words_and_its_remedies_can_be_pressed(
    desk: Bench, tmp_path: Path, language: str
) -> None:
    path = support(tmp_path / "support.jsonl")
    for place, line in enumerate(STRANGE):
        thread = f"thread-{place}"
        card = await to_review(desk, path, line, thread=thread, language=language)
        for warning in card.warnings:
            assert "{" not in warning.text
            if warning.remedy:
                pressed = await desk.say(warning.remedy.say, about="review", thread=thread)
                assert desk.went_well, (line, warning, [words(reply) for reply in pressed])
                assert isinstance(pressed[-1], Review)
                assert warning.text not in [other.text for other in pressed[-1].warnings], (line, warning)


async def test_a_refused_plan_does_not_start(desk: Bench, tmp_path: Path) -> None:
    path = support(tmp_path / "support.jsonl")
    card = await to_review(desk, path, "method=full quantization=int4")
    assert [choice.say for choice in card.choices] == ["change", "cancel"]
    replies = await desk.say("start")
    assert not has_started(replies)
    assert not desk.went_well
    assert not await desk.runs()
    refusal = next(warning for warning in card.warnings if warning.tone == "bad")
    assert refusal.text in words(replies[-2])
    for _ in range(3):
        remedies = [warning.remedy for warning in card.warnings if warning.tone == "bad" and warning.remedy]
        if remedies:
            mended = (await desk.say(remedies[0].say, about="review"))[-1]
            assert isinstance(mended, Review)
            card = mended
    assert has_started(await desk.say("start"))


async def test_a_start_writes_the_run_as_it_was_shown(desk: Bench, tmp_path: Path) -> None:
    await desk.say("/finetune", files=[identity(tmp_path / "identity.jsonl")])
    await desk.converse([("Nova", "author"), ("Acme", "base model"), ("1", "How thorough"), ("quick", "The plan")])
    await desk.converse([("epochs 3, deploy=no", "Epochs 3"), ("experiment=nova-one", "nova-one")])
    replies = await desk.say("Start")
    assert isinstance(replies[-1], RunCard)
    (run,) = await desk.runs()
    assert (run.name, run.state, run.deploys) == ("nova-one", RunState.QUEUED, False)
    assert run.fills == {"name": "Nova", "author": "Acme"}
    assert run.spec["epochs"] == 3
    assert len(run.questions) == 3
    assert run.estimate["steps"] > 0
    assert await desk.draft() is None


async def test_the_same_click_twice_starts_once(desk: Bench, tmp_path: Path) -> None:
    await to_review(desk, support(tmp_path / "support.jsonl"))
    await desk.say("start", about="review", event_id="click")
    await desk.say("start", about="review", event_id="click")
    again = await desk.say("start", about="review", event_id="another tab")
    assert "closed" in words(again[0])
    assert len(await desk.runs()) == 1


async def test_two_plans_get_two_names(desk: Bench, tmp_path: Path) -> None:
    path = support(tmp_path / "support.jsonl")
    for thread in ("one", "two"):
        await to_review(desk, path, thread=thread)
    for thread in ("one", "two"):
        assert has_started(await desk.say("start", thread=thread))
    assert sorted(run.name for run in await desk.runs()) == ["support-1", "support-2"]
    replies = await desk.say("/finetune experiment=support-1", thread="three")
    assert "taken already" in words(replies[0])


async def test_the_form_is_prefilled_and_shows_errors_at_the_fields(desk: Bench, tmp_path: Path) -> None:
    await to_review(desk, support(tmp_path / "support.jsonl"), "epochs=2")
    form = (await desk.say("change"))[-1]
    assert isinstance(form, Form)
    values = {field.name: field.value for section in form.sections for field in section.fields}
    assert values["epochs"] == "2"
    assert values["experiment"] == "support-1"

    wrong = values | {"learning_rate": "fast", "epochs": "4", "experiment": "Not A Name", "max_samples": "-3"}
    answered = (await desk.say(about="form", answers=wrong))[-1]
    assert isinstance(answered, Form)
    assert answered.key == form.key
    assert not desk.went_well
    fields = {field.name: field for section in answered.sections for field in section.fields}
    assert {name for name, field in fields.items() if field.error} == {"learning_rate", "experiment", "max_samples"}
    assert fields["learning_rate"].value == "fast"
    assert fields["epochs"].value == "4"

    right = wrong | {"learning_rate": "3e-4", "experiment": "mine", "max_samples": "none", "deploys": "no"}
    card = (await desk.say(about="form", answers=right))[-1]
    assert isinstance(card, Review)
    rows = {row.name: row for section in card.sections for row in section.rows}
    assert (rows["learning_rate"].value, rows["learning_rate"].origin) == ("3e-4", "you")
    assert rows["epochs"].value.startswith("4 = ")
    assert rows["scheduler"].origin != "you"
    assert rows["experiment"].value == "mine"
    assert "only keep the model" in rows["deploys"].value


async def test_custom_opens_the_form_and_done_shows_the_plan(desk: Bench, tmp_path: Path) -> None:
    await desk.say(files=[support(tmp_path / "support.jsonl", bad=0)])
    await desk.say("1")
    assert isinstance((await desk.say("custom"))[-1], Form)
    assert isinstance((await desk.say("back"))[-1], type(desk.open_question()))
    assert isinstance((await desk.say("custom"))[-1], Form)
    assert isinstance((await desk.say("done"))[-1], Review)
