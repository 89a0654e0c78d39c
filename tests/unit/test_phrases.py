"""Plain words, in both languages, as edits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.lexicon import fold
from bot.phrases import Control, read_control, read_edits, read_topic
from bot.vocabulary import vocabulary

WORDS = vocabulary()


def edits(text: str) -> dict[str, str]:
    reading = read_edits(text, WORDS)
    assert reading.unknown == (), reading
    return {edit.name: edit.text for edit in reading.edits}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("lr 1e-4, 2 epochs", {"learning_rate": "1e-4", "epochs": "2"}),
        ("lr=1e-4,epochs=2", {"learning_rate": "1e-4", "epochs": "2"}),
        ("LR 1e-4 and 2 epochs.", {"learning_rate": "1e-4", "epochs": "2"}),
        ("set the learning rate to 0.0001", {"learning_rate": "0.0001"}),
        ("please use rank 16, and dropout of 10%", {"lora_rank": "16", "lora_dropout": "10%"}),
        ("balanced, but rank 16", {"preset": "balanced", "lora_rank": "16"}),
        ("quick", {"preset": "quick"}),
        ("best; don't deploy", {"preset": "best", "deploys": "no"}),
        ("epochs: 3\nbatch size: 8", {"epochs": "3", "batch_size": "8"}),
        ("max samples 1,000", {"max_samples": "1,000"}),
        ("scheduler cosine, warm-up 10", {"scheduler": "cosine", "warmup_steps": "10"}),
        ("quantization 4bit", {"quantization": "4bit"}),
        ("max_samples=none", {"max_samples": "none"}),
        ("learnig rate 1e-4", {"learning_rate": "1e-4"}),
        ("epohcs 3", {"epochs": "3"}),
        ("lr fast", {"learning_rate": "fast"}),
        ("balancd", {"preset": "balanced"}),
        ("学习率改成 1e-4", {"learning_rate": "1e-4"}),
        ("把学习率改成1e-4，训练轮数2", {"learning_rate": "1e-4", "epochs": "2"}),
        ("均衡，秩改成 16", {"preset": "balanced", "lora_rank": "16"}),
        ("快速，三轮", {"preset": "quick", "epochs": "3"}),
        ("学习率＝５ｅ－５", {"learning_rate": "５ｅ－５"}),
        ("学习率=1e-4 训练轮数=2", {"learning_rate": "1e-4", "epochs": "2"}),
        ("学习率调节器改成余弦", {"scheduler": "余弦"}),
        ("LoRA秩 8、批处理大小 4", {"lora_rank": "8", "batch_size": "4"}),
        ("不部署", {"deploys": "no"}),
        ("实验名称=nova-2", {"experiment": "nova-2"}),
        ("experiment=support-2 base_model=smollm2-135m-instruct start deploy", {
            "experiment": "support-2", "base_model": "smollm2-135m-instruct", "start": "yes", "deploys": "yes",
        }),
        ('fill.name="Nova Bot" fill.author=Acme', {"fill.name": "Nova Bot", "fill.author": "Acme"}),
        ("fill.name=“小 星”，fill.author=极光科技", {"fill.name": "小 星", "fill.author": "极光科技"}),
        ("fill.Name=Acme,Inc. fill.b=x", {"fill.Name": "Acme,Inc.", "fill.b": "x"}),
        ("experiment: nova-1\nfill.author: Acme Corp\nlearning_rate: 1e-4", {
            "experiment": "nova-1", "fill.author": "Acme Corp", "learning_rate": "1e-4",
        }),
    ],
)  # fmt: skip
def test_words_as_edits(said: str, meant: dict[str, str]) -> None:
    assert edits(said) == meant


def test_what_is_not_understood_is_kept_with_the_nearest_name() -> None:
    reading = read_edits("learnin_rte=1e-4 epochs=2 blah", WORDS)
    assert [(edit.name, edit.text) for edit in reading.edits] == [("epochs", "2")]
    strange, other = reading.unknown
    assert (strange.text, strange.nearest) == ("learnin_rte=1e-4", "learning_rate")
    assert other.text == "blah"


@pytest.mark.parametrize("said", ["Nova", "Acme Corporation", "小星", "Who are you?", "12", "🤖", ""])
def test_plain_names_are_no_edits(said: str) -> None:
    assert not read_edits(said, WORDS).edits


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("back", Control.BACK), ("Back!", Control.BACK), ("返回", Control.BACK), ("上一步", Control.BACK),
        ("skip", Control.SKIP), ("跳过", Control.SKIP), ("Cancel.", Control.CANCEL), ("取消", Control.CANCEL),
        ("?", Control.WHAT), ("？", Control.WHAT), ("What is this?", Control.WHAT), ("这是什么？", Control.WHAT),
        ("start", Control.START), ("开始", Control.START), ("完成", Control.DONE), ("修改", Control.CHANGE),
        ("restart", None), ("backwards", None), ("", None),
    ],
)  # fmt: skip
def test_controls(said: str, meant: Control | None) -> None:
    assert read_control(said) == meant


@pytest.mark.parametrize(
    ("said", "topic"),
    [("what is lora rank?", "lora_rank"), ("What's the learning rate", "learning_rate"), ("秩是什么？", "lora_rank"),
     ("什么是学习率", "learning_rate"), ("explain warm-up", "warmup_steps"), ("what is love", None)],
)  # fmt: skip
def test_topics(said: str, topic: str | None) -> None:
    assert read_topic(said, WORDS) == topic


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read(text: str) -> None:
    reading = read_edits(text, WORDS)
    assert all(edit.name for edit in reading.edits)
    assert len(fold(text)) == len(text)
    read_control(text)
    read_topic(text, WORDS)
