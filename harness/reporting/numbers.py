"""Numbers as people read them: rounded to their uncertainty, never to a false zero."""

from __future__ import annotations

import math

UNKNOWN = "n/a"
_MOST_DECIMALS = 8


def decimals(value: float, half_width: float = math.nan) -> int:
    """Decimals that show two significant digits of the half-width; without one, four of the value itself."""
    if math.isfinite(half_width) and half_width > 0:
        return max(0, 1 - math.floor(math.log10(half_width)))
    if not math.isfinite(value) or value == 0:
        return 0
    return max(0, 3 - math.floor(math.log10(abs(value))))


def fixed(value: float, places: int) -> str:
    """A number with so many decimals; scientific where that would be too many, `n/a` for NaN, and no `-0`."""
    if math.isnan(value):
        return UNKNOWN
    if places > _MOST_DECIMALS:
        return f"{value:.1e}"
    return f"{round(value, places) + 0.0:.{places}f}"


def rounded(value: float, low: float, high: float) -> str:
    """A mean rounded to the half-width of its interval."""
    return fixed(value, decimals(value, (high - low) / 2))


def interval(low: float, high: float) -> str:
    """`[low, high]` rounded to their half-width; `n/a` where they are unknown."""
    places = decimals(low, (high - low) / 2)
    return UNKNOWN if math.isnan(low) else f"[{fixed(low, places)}, {fixed(high, places)}]"


def with_interval(value: float, low: float, high: float) -> str:
    """`mean [low, high]`, or the mean alone where the interval is unknown."""
    alone = rounded(value, low, high)
    return alone if math.isnan(low) else f"{alone} {interval(low, high)}"


def plus_minus(value: float, low: float, high: float) -> str:
    """`mean ± half-width`; `mean ± ?` where the interval is unknown."""
    if math.isnan(value):
        return UNKNOWN
    half = (high - low) / 2
    width = "?" if math.isnan(half) else fixed(half, decimals(value, half))
    return f"{rounded(value, low, high)} \u00b1 {width}"


def two_digits(value: float) -> str:
    """A standard deviation with two significant digits."""
    return fixed(value, decimals(value, abs(value)))


def p_value(p: float) -> str:
    """A p-value with the digits that matter; `< 0.001` below that."""
    if math.isnan(p):
        return UNKNOWN
    return "< 0.001" if p < 0.001 else fixed(p, 3 if p < 0.1 else 2)


def percent(share: float, low: float, high: float) -> str:
    """A share in percent with its interval, for example `36 [10, 80]`."""
    return with_interval(100 * share, 100 * low, 100 * high)


def ends(low: float, high: float) -> str:
    """`[low, high]` of a variance: lopsided and wide, so both ends have two digits of their own."""
    return UNKNOWN if math.isnan(low) else f"[{two_digits(low)}, {two_digits(high)}]"
