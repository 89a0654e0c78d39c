"""More arguments for vLLM: what is taken, and that nothing else slips past in another spelling."""

import pytest

from bot.serving_problems import error_sentence
from bot.texts import texts
from serving.arguments import REFUSED, TAKEN, ArgumentRefused, Kind, parse_arguments


def refusal(text: str) -> str:
    """The code, without ``argument.``; both languages can say it."""
    with pytest.raises(ArgumentRefused) as caught:
        parse_arguments(text)
    for language in ("en", "zh-CN"):
        assert error_sentence(texts(language), caught.value)
    return caught.value.code.removeprefix("argument.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  \n ", ()),
        ("--max-num-seqs 64", ("--max-num-seqs", "64")),
        ("--max-num-seqs=64 --enforce-eager", ("--max-num-seqs", "64", "--enforce-eager")),
        ("--max_num_seqs 64", ("--max-num-seqs", "64")),
        ("--no-enable-prefix-caching", ("--no-enable-prefix-caching",)),
        ("--no_enable_prefix_caching", ("--no-enable-prefix-caching",)),
        ("--gpu-memory-utilization 0.9", ("--gpu-memory-utilization", "0.9")),
        ("--max-num-batched-tokens 8k", ("--max-num-batched-tokens", "8k")),
        ("--cudagraph-capture-sizes 1 2 4 --seed 3", ("--cudagraph-capture-sizes", "1", "2", "4", "--seed", "3")),
        ("--enable-auto-tool-choice", ("--enable-auto-tool-choice",)),
        ("--tool-call-parser 'hermes'", ("--tool-call-parser", "hermes")),
        ("--quantization fp8", ("--quantization", "fp8")),
    ],
)  # fmt: skip
def test_what_is_taken_is_written_in_full(text: str, words: tuple[str, ...]) -> None:
    assert parse_arguments(text) == words
    assert parse_arguments(" ".join(words)) == words


@pytest.mark.parametrize(("code", "names"), REFUSED.items())
def test_what_would_break_us_is_refused_in_every_spelling(code: str, names: str) -> None:
    for name in names.split():
        underscores = name.replace("-", "_")
        for text in (
            f"--{name}", f"--{name} x", f"--{name}=x", f"--{underscores} x", f"--{underscores}=x", f"--no-{name}",
            f"--{name}.field x", f"--{name}.field=x", f"--{name}+ x", f"'--{name}' x", f"--seed 1 --{name} x",
        ):  # fmt: skip
            assert refusal(text) in {code, "unknown"}
        assert refusal(f"--{name}") == code
        assert refusal(f"--{name.replace('-', '_')}=x") == code


@pytest.mark.parametrize(
    "text",
    [
        "--mod x", "--middle a.B", "--max-mod 1", "--served-model x", "--trust-remote", "--max-num 3", "--help", "--",
        "---model x", "--Model x", "--no-no-enforce-eager", "--no-max-num-seqs", "--max-num-seqs.x 3", "--modél x",
        "--=x", "--enforce-eager.x=1", "--brand-new-thing", "--help=all", "--\u2010model x",
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(text: str) -> None:
    assert refusal(text) == "unknown"


@pytest.mark.parametrize(
    "text", ["-tp 2", "-tp=2", "-dp 2", "-q fp8", "-O3", "-O 3", "-cc.x=1", "-n 2", "-h", "-", "-5"]
)
def test_short_forms_are_refused(text: str) -> None:
    assert refusal(text) == "short"


@pytest.mark.parametrize(
    "text", ["facebook/opt", "serve", "--enforce-eager yes", "--max-num-seqs 3 4", "--quantization fp8 x", "@file"]
)
def test_words_that_would_be_taken_for_the_model_are_refused(text: str) -> None:
    assert refusal(text) == "stray"


@pytest.mark.parametrize(
    "text",
    [
        "--max-num-seqs", "--max-num-seqs=", "--max-num-seqs --enforce-eager", "--max-num-seqs -1", "--max-num-seqs ٣",
        "--max-num-seqs many", "--enforce-eager=true", "--gpu-memory-utilization=.9", "--quantization=$(TUNESMITH_KEY)",
        "--tool-call-parser /etc/passwd", "--tool-call-parser='a b'", "--dtype ''", "--dtype 'auto\n'", "--dtype '{}'",
        "--cudagraph-capture-sizes 1 two", "--cudagraph-capture-sizes",
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused(text: str) -> None:
    assert refusal(text) == "value"


def test_quotes_that_do_not_match() -> None:
    assert refusal("--dtype 'auto") == "quotes"


def test_what_is_shown_is_short() -> None:
    with pytest.raises(ArgumentRefused) as caught:
        parse_arguments("x" * 10_000)
    assert len(str(caught.value.params["argument"])) == 60


def test_nothing_is_both_taken_and_refused() -> None:
    refused = [name for names in REFUSED.values() for name in names.split()]
    assert len(set(refused)) == len(refused)
    assert not TAKEN.keys() & set(refused)
    assert set(TAKEN.values()) == set(Kind)
