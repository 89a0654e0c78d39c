from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.quantities import amount


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"), ("8", "8"), ("1.5", "1.5"), (".5", "0.5"), ("500m", "0.5"), ("100n", "1e-7"), ("2u", "2e-6"),
        ("3k", "3000"), ("2M", "2000000"), ("1G", "1e9"), ("1T", "1e12"), ("1P", "1e15"), ("1E", "1e18"),
        ("1Ki", "1024"), ("64Gi", "68719476736"), ("1.5Gi", "1610612736"), ("1Ei", "1152921504606846976"),
        ("1e3", "1000"), ("1E3", "1000"), ("5e-1", "0.5"), ("-1", "-1"), ("+2", "2"),
    ],
)  # fmt: skip
def test_what_kubernetes_writes(text: str, number: str) -> None:
    assert amount(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "1gi", "1K", "1 Gi", "1.2.3", ".", "one", "1e", "0x1"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        amount(text)


@given(st.integers(0, 10**12), st.sampled_from(["m", "", "k", "Ki", "Mi", "Gi"]))
def test_more_is_more(number: int, suffix: str) -> None:
    assert amount(f"{number + 1}{suffix}") > amount(f"{number}{suffix}")
