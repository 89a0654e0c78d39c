import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.sampling import DEFAULT_SAMPLING, SAMPLING, InvalidSampling, bounded, parse_sampling


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0", 0.0),
        ("temperature", " 0.7 ", 0.7),
        ("temperature", "０．２", 0.2),
        ("temperature", "2", 2.0),
        ("top_p", "90%", 0.9),
        ("top_k", "0", 0),
        ("top_k", "40.0", 40),
        ("max_tokens", "1e3", 1000),
        ("repetition_penalty", "1.1", 1.1),
        ("presence_penalty", "-2", -2.0),
        ("seed", str(2**62 + 1), 2**62 + 1),
    ],
)
def test_what_can_be_said(name: str, text: str, value: float) -> None:
    found = parse_sampling(name, text)
    assert found == value
    assert isinstance(found, int) is SAMPLING[name].is_whole


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("temprature", "1", "unknown"),
        ("temperature", "hot", "not_a_number"),
        ("temperature", "nan", "not_a_number"),
        ("temperature", "inf", "not_a_number"),
        ("temperature", "", "not_a_number"),
        ("temperature", "-0.1", "out_of_range"),
        ("temperature", "2.1", "out_of_range"),
        ("top_p", "0", "out_of_range"),
        ("top_k", "-1", "out_of_range"),
        ("max_tokens", "0", "too_small"),
        ("max_tokens", "2.5", "not_whole"),
        ("seed", "-1", "out_of_range"),
    ],
)
def test_what_cannot(name: str, text: str, code: str) -> None:
    with pytest.raises(InvalidSampling) as caught:
        parse_sampling(name, text)
    assert caught.value.code == code
    assert caught.value.params["name"] == name


@given(name=st.sampled_from(sorted(SAMPLING)), text=st.text(max_size=12))
def test_any_text_is_a_value_in_range_or_refused(name: str, text: str) -> None:
    try:
        value = parse_sampling(name, text)
    except InvalidSampling:
        return
    assert SAMPLING[name].minimum <= value <= (SAMPLING[name].maximum or float("inf"))


def test_the_defaults_can_be_said() -> None:
    for name, value in DEFAULT_SAMPLING.items():
        assert parse_sampling(name, str(value)) == value


def test_an_answer_takes_at_most_half_of_the_context() -> None:
    assert bounded({}, context_tokens=4096) == {"temperature": 0.2, "max_tokens": 512}
    assert bounded({"max_tokens": 5000, "temperature": 1}, context_tokens=512) == {"temperature": 1, "max_tokens": 256}
