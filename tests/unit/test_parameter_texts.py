"""Everything that a code of the training core can say has its sentence in both languages."""

import re
from pathlib import Path

import pytest

from bot.texts import LANGUAGES, texts
from training.parameters import Section
from training.presets import Preset
from training.spec import PARAMETERS

TRAINING = Path(__file__).parents[2] / "training"


def codes(pattern: str, *names: str) -> set[str]:
    """The codes that these modules write."""
    return {code for name in names for code in re.findall(pattern, (TRAINING / name).read_text(encoding="utf-8"))}


@pytest.mark.parametrize("language", LANGUAGES)
def test_parameters_sections_and_presets_have_their_words(language: str) -> None:
    say = texts(language)
    for name, parameter in PARAMETERS.items():
        assert say(f"parameter.{name}.label")
        assert len(say(f"parameter.{name}.why")) > len(say(f"parameter.{name}.label"))
        assert all(say(f"choice.{name}.{choice}") for choice in parameter.choices)
        assert not parameter.optional or say(f"choice.{name}.None")
    assert all(say(f"section.{section}") for section in Section)
    assert all(say(f"preset.{preset}") and say(f"preset.{preset}.detail") for preset in Preset)


@pytest.mark.parametrize("language", LANGUAGES)
def test_errors_have_their_sentences(language: str) -> None:
    say = texts(language)
    invalid = codes(r'_invalid\(\s*"(\w+)"', "values.py") | {"not_above", "not_below", "too_small", "too_large"}
    broken = codes(r'CheckpointError\(\s*"(\w+)"', "checkpoints.py", "weights.py") | {"no_config", "adapter_not_model"}
    reasons = codes(r'return Preset\.\w+, "(\w+)"', "presets.py")
    assert (len(invalid), len(broken), len(reasons)) == (10, 14, 4)
    assert all(f"invalid_value.{code}" in say for code in invalid)
    assert all(f"checkpoint.{code}" in say for code in broken)
    assert all(f"preset_reason.{code}" in say for code in reasons)


def test_labels_are_told_apart() -> None:
    for language in LANGUAGES:
        labels = [texts(language)(f"parameter.{name}.label") for name in PARAMETERS]
        assert len(set(labels)) == len(labels)
