"""Multipliers, shifts and tables against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.backends.fixed_point import (
    EXP_BITS,
    Function,
    exp_table,
    lookup_table,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    saturate,
)

FACTORS = st.floats(2.0**-31, 2.0**29, allow_nan=False)
INT32 = st.integers(-(2**31), 2**31 - 1)
SCALES = st.floats(2.0**-12, 2.0**3, width=32)
ZERO_POINTS = st.one_of(st.sampled_from([-128, 0, 127]), st.integers(-128, 127))


@given(FACTORS)
def test_a_multiplier_is_the_factor_to_31_bits(real: float) -> None:
    """Normalised, and off by at most half of its last place."""
    multiplier, shift = quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    error = abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(real))
    assert error <= Fraction(2) ** (shift - 32)


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (1 - 2.0**-40, (2**30, 1)),  # the fraction rounds up to 1
        (2.0**-33, (0, 0)),
        (2.0**-32, (2**30, -31)),
        (2.0**31, (2**31 - 1, 30)),
    ],
)
def test_multipliers_at_the_ends(real: float, expected: tuple[int, int]) -> None:
    """Too small is nothing, too large is the most, as TFLite has it."""
    assert quantize_multiplier(real) == expected


@pytest.mark.parametrize("real", [-1.0, math.nan, math.inf])
def test_a_factor_that_is_none_is_refused(real: float) -> None:
    """Scales are positive and finite; anything else is damage."""
    with pytest.raises(ValueError, match="factor"):
        quantize_multiplier(real)


@given(INT32, st.integers(2**30, 2**31 - 1), st.integers(-31, 30))
def test_scaling_rounds_once_and_half_up(x: int, multiplier: int, shift: int) -> None:
    """To the floor of the exact product plus a half, at every rail."""
    exact = Fraction(x) * multiplier * Fraction(2) ** (shift - 31)
    got = multiply_by_quantized_multiplier(np.array([x]), multiplier, shift)
    assert math.floor(exact + Fraction(1, 2)) == got[0]


def test_scaling_takes_a_multiplier_a_row() -> None:
    """Broadcast against the last axis."""
    got = multiply_by_quantized_multiplier(
        np.array([[100, 100], [-3, -3]]), np.array([2**30, 2**30]), np.array([0, 1])
    )
    assert [[50, 100], [-1, -3]] == got.tolist()


def test_saturation_ends_at_the_rails() -> None:
    """200 is 127 and not -56."""
    assert [-128, -128, 0, 127, 127] == saturate(np.array([-(2**40), -129, 0, 127, 200])).tolist()


@given(st.sampled_from(["LOGISTIC", "TANH"]), SCALES, ZERO_POINTS)
def test_a_table_is_the_function_to_half_a_step(function: Function, scale: float, zero: int) -> None:
    """Every entry, at its place as an unsigned byte and as a negative index."""
    out_scale, out_zero = (1 / 256, -128) if function == "LOGISTIC" else (1 / 128, 0)
    table = lookup_table(function, scale, zero, out_scale, out_zero)
    for x in range(-128, 128):
        real = scale * (x - zero)
        said = math.tanh(real) if function == "TANH" else 0.5 + 0.5 * math.tanh(real / 2)
        exact = min(127.0, max(-128.0, said / out_scale + out_zero))
        assert abs(float(table[x]) - exact) <= 0.5 + 1e-4
        assert table[x] == table[x % 256]


@given(st.sampled_from(["LOGISTIC", "TANH"]), SCALES, ZERO_POINTS)
def test_a_table_never_falls(function: Function, scale: float, zero: int) -> None:
    """Both functions rise."""
    out_scale, out_zero = (1 / 256, -128) if function == "LOGISTIC" else (1 / 128, 0)
    table = np.roll(lookup_table(function, scale, zero, out_scale, out_zero).astype(int), 128)
    assert (np.diff(table) >= 0).all()


def test_exponentials_begin_at_one_and_fit_32_bits() -> None:
    """256 of the greatest, doubled, plus one times 512: without a sign they still fit."""
    table = exp_table(0.05, 1.0)
    assert table[0] == 2**EXP_BITS
    assert (np.diff(table) <= 0).all()
    assert 512 * int(table[0]) + 256 * int(table[0]) < 2**32
    assert 2 * 256 * int(table[0]) < 2**32
