import math

import pytest

from harness.reporting.numbers import fixed, interval, plus_minus, rounded, two_digits, with_interval


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.84342, 0.84102, 0.84582, "0.8434"),
        (12345.678, 12000.0, 12691.0, "12346"),
        (0.5, 0.1, 0.9, "0.50"),
        (-0.0001, -0.04, 0.04, "0.000"),
        (0.123456, math.nan, math.nan, "0.1235"),
        (0.0, math.nan, math.nan, "0"),
        (math.nan, math.nan, math.nan, "n/a"),
        (0.25, 0.25, 0.25, "0.2500"),
    ],
)
def test_means_are_rounded_to_their_uncertainty(value, low, high, text):
    assert rounded(value, low, high) == text


def test_a_tiny_number_never_becomes_zero():
    assert float(rounded(3.21e-12, 3.1e-12, 3.3e-12)) == pytest.approx(3.2e-12)


def test_a_spread_has_enough_digits():
    assert float(two_digits(0.002513)) == pytest.approx(0.002513, rel=0.01)
    assert two_digits(math.nan) == "n/a"


def test_intervals():
    assert interval(0.841, 0.8458) == "[0.8410, 0.8458]"
    assert interval(math.nan, math.nan) == "n/a"
    assert with_interval(-0.05, -0.11, 0.01) == "-0.050 [-0.110, 0.010]"
    assert with_interval(0.5, math.nan, math.nan) == "0.5000"
    assert plus_minus(0.5, 0.4, 0.6) == "0.50 \u00b1 0.10"
    assert plus_minus(0.5, math.nan, math.nan) == "0.5000 \u00b1 ?"
    assert plus_minus(math.nan, math.nan, math.nan) == "n/a"
    assert fixed(-0.0, 2) == "0.00"
