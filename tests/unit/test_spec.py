"""The parameters, and the words for their values."""

import json
import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.parameters import Parameter
from training.spec import (
    PARAMETERS,
    InvalidValue,
    Section,
    TrainingSpec,
    Value,
    check_value,
    format_value,
    parse_value,
)

NAMES = tuple(PARAMETERS)


def test_the_parameters_stand_in_the_order_of_the_form() -> None:
    sections = [parameter.section for parameter in PARAMETERS.values()]
    assert sections == sorted(sections, key=list(Section).index)
    assert NAMES[:6] == ("method", "stage", "nodes", "gpus_per_node", "cpu", "memory_gib")
    assert NAMES[-6:] == ("logging_steps", "save_steps", "warmup_steps", "neftune_alpha", "optimizer", "seed")
    assert tuple(TrainingSpec.model_fields) == NAMES


def test_a_parameter_says_everything_about_itself() -> None:
    rate, dropout, ratio = (PARAMETERS[name] for name in ("learning_rate", "lora_dropout", "lora_lr_ratio"))
    assert (rate.kind, rate.minimum, rate.minimum_is_exclusive, rate.recommended) == ("number", 0, True, (1e-5, 1e-3))
    assert (dropout.minimum, dropout.maximum, dropout.maximum_is_exclusive) == (0, 1, True)
    assert (ratio.optional, ratio.default, ratio.minimum) == (True, None, 0)
    assert PARAMETERS["scheduler"].choices[:2] == ("linear", "cosine")


def test_aliases_lead_to_choices() -> None:
    for parameter in PARAMETERS.values():
        assert set(parameter.aliases.values()) <= set(parameter.choices)
        assert all(alias == alias.casefold() for alias in parameter.aliases)


@pytest.mark.parametrize(
    ("name", "values", "applies"),
    [
        ("lora_rank", {"method": "lora"}, True),
        ("lora_rank", {"method": "full"}, False),
        ("lora_rank", {}, True),
        ("quantization_method", {"quantization": "none"}, False),
        ("quantization_method", {"quantization": "int4"}, True),
        ("learning_rate", {"method": "full"}, True),
    ],
)
def test_a_parameter_is_asked_for_where_it_matters(name: str, values: dict[str, Value], applies: bool) -> None:
    assert PARAMETERS[name].applies(values) is applies


def test_a_spec_survives_json() -> None:
    spec = TrainingSpec(method="full", max_samples=10, lora_lr_ratio=0.5)
    assert TrainingSpec.model_validate(json.loads(spec.model_dump_json())) == spec


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"validation_ratio": 1.0}, {"lora_rank": 0}, {"colour": "red"}])
def test_a_spec_refuses_what_is_out_of_range(wrong: dict[str, Value]) -> None:
    with pytest.raises(ValidationError):
        TrainingSpec.model_validate(wrong)


def test_the_effective_batch_counts_all_processes() -> None:
    spec = TrainingSpec(batch_size=2, gradient_accumulation=3, nodes=2, gpus_per_node=4)
    assert (spec.processes, spec.effective_batch) == (8, 48)
    assert TrainingSpec(gpus_per_node=0).processes == 1


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", "0.0001", 1e-4),
        ("learning_rate", ".0001", 1e-4),
        ("learning_rate", "１ｅ－４", 1e-4),
        ("learning_rate", "1e−4", 1e-4),
        ("validation_ratio", "10%", 0.1),
        ("validation_ratio", "１０％", 0.1),
        ("epochs", "2 epochs", 2.0),
        ("epochs", "2.5 轮", 2.5),
        ("epochs", "3。", 3.0),
        ("max_samples", "1,000", 1000),
        ("max_samples", "1000 条", 1000),
        ("max_samples", "1e3", 1000),
        ("max_samples", "none", None),
        ("max_samples", "不限", None),
        ("lora_lr_ratio", "无", None),
        ("neftune_alpha", "off", None),
        ("cutoff_length", "512 tokens", 512),
        ("memory_gib", "16 GiB", 16),
        ("quantization", "无", "none"),
        ("quantization", "4-bit", "int4"),
        ("quantization_method", "etqq", "eetq"),
        ("quantization_method", "High Quality Quantization", "hqq"),
        ("acceleration", "unslosh", "unsloth"),
        ("acceleration", "Flash Attention 2", "flash_attention_2"),
        ("acceleration", "flashattention2", "flash_attention_2"),
        ("optimizer", "AdamW", "adamw"),
        ("optimizer", "adam", "adamw"),
        ("scheduler", "余弦退火", "cosine"),
        ("scheduler", "Cosine with restarts", "cosine_with_restarts"),
        ("method", "全参数", "full"),
        ("stage", "指令监督微调", "sft"),
        ("compute_type", "BF16", "bf16"),
    ],
)
def test_words_become_values(name: str, text: str, value: Value) -> None:
    parsed = parse_value(name, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "code", "params"),
    [
        ("learning_rate", "fast", "not_a_number", {}),
        ("learning_rate", "nan", "not_a_number", {}),
        ("learning_rate", "1e999", "not_a_number", {}),
        ("learning_rate", "", "not_a_number", {}),
        ("learning_rate", "0", "not_above", {"minimum": "0"}),
        ("learning_rate", "2", "too_large", {"maximum": "1"}),
        ("learning_rate", "none", "not_a_number", {}),
        ("epochs", "-1", "not_above", {"minimum": "0"}),
        ("batch_size", "0", "too_small", {"minimum": "1"}),
        ("batch_size", "2.5", "not_whole", {}),
        ("warmup_steps", "3%", "no_share", {}),
        ("validation_ratio", "100%", "not_below", {"maximum": "1"}),
        ("method", "lorra", "unknown_choice_near", {"nearest": "lora"}),
        ("method", "magic", "unknown_choice", {"choices": "lora, full, freeze"}),
    ],
)
def test_a_wrong_value_is_told_what_is_wrong(name: str, text: str, code: str, params: dict[str, Value]) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_value(name, text)
    assert caught.value.code == code
    assert caught.value.params.items() >= ({"name": name, "text": text} | params).items()


def values_of(parameter: Parameter) -> st.SearchStrategy[Value]:
    """Everything that a parameter takes."""
    low, high = parameter.minimum or 0, parameter.maximum or 0
    by_kind: dict[str, st.SearchStrategy[Value]] = {
        "choice": st.sampled_from(parameter.choices or ("",)),
        "integer": st.integers(int(low), int(high)),
        "number": st.floats(
            low, high, exclude_min=parameter.minimum_is_exclusive, exclude_max=parameter.maximum_is_exclusive
        ),
    }
    strategy = by_kind[parameter.kind]
    return strategy | st.none() if parameter.optional else strategy


NAMES_AND_VALUES = st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), values_of(PARAMETERS[name])))


@given(NAMES_AND_VALUES)
def test_every_value_survives_being_written_and_read(pair: tuple[str, Value]) -> None:
    name, value = pair
    assert parse_value(name, format_value(name, value)) == value
    assert check_value(name, value) == value
    assert getattr(TrainingSpec.model_validate({name: value}), name) == value


@given(st.sampled_from(NAMES), st.text(max_size=30))
def test_any_text_is_a_value_of_the_spec_or_invalid(name: str, text: str) -> None:
    try:
        value = parse_value(name, text)
    except InvalidValue:
        return
    TrainingSpec.model_validate({name: value})


@given(st.sampled_from(NAMES), st.floats() | st.integers())
def test_any_number_is_a_value_of_the_spec_or_invalid(name: str, number: float) -> None:
    try:
        value = check_value(name, number)
    except InvalidValue:
        return
    TrainingSpec.model_validate({name: value})
    assert value is None or isinstance(value, str) or math.isfinite(value)


@pytest.mark.parametrize("value", [True, None, [1]])
def test_data_of_another_kind_is_invalid(value: Value) -> None:
    with pytest.raises(InvalidValue):
        check_value("lora_rank", value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("learning_rate", 1e-4, "1e-4"),
        ("learning_rate", 1.5e-5, "1.5e-5"),
        ("learning_rate", 0.05, "0.05"),
        ("epochs", 3.0, "3"),
        ("epochs", 10.0, "10"),
        ("lora_dropout", 0.0, "0"),
        ("max_samples", None, "none"),
        ("lora_rank", 8, "8"),
    ],
)
def test_values_are_written_briefly(name: str, value: Value, text: str) -> None:
    assert format_value(name, value) == text


def test_every_choice_of_a_literal_is_a_choice() -> None:
    assert PARAMETERS["stage"].choices == get_args(get_args(TrainingSpec.__annotations__["stage"])[0])
