"""Float to integer and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.contracts.manifest import Tensor
from edge_lstm.core.lookup import RealTable, steps
from edge_lstm.core.quantize import dequantize, quantize, zero

UNIT = Tensor("x", (1, 1), "int8", 1.0, 0)


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (200.0, 127),
        (-200.0, -128),
        (0.6, 1),
        (-0.6, -1),
        (0.5, 0),
        (1.5, 2),
        (np.inf, 127),
        (-np.inf, -128),
        (np.nan, 0),
    ],
)
def test_quantize_rounds_and_saturates(real: float, expected: int) -> None:
    """A spike reads as the rail, never as its opposite (a plain cast makes -56 of 200)."""
    assert expected == int(quantize(np.array([real]), UNIT)[0])


@given(st.floats(1e-6, 10), st.integers(-128, 127), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_quantize_round_trip_is_within_half_a_step(
    scale: float, zero_point: int, values: list[float]
) -> None:
    """Inside the range the way there and back is off by half a step at most; outside it ends at the rail."""
    tensor = Tensor("x", (1, len(values)), "int8", scale, zero_point)
    real = np.array(values)
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale

    back = dequantize(quantize(real, tensor), tensor)

    assert np.abs(back - real.clip(low, high)).max() <= scale / 2 * (1 + 1e-9) + 1e-9 * np.abs(real).max()


def test_zero_is_the_zero_point() -> None:
    """A fresh state is real zero."""
    tensor = Tensor("c", (1, 1), "int8", 0.1, -37)

    assert 0.0 == dequantize(np.array([zero(tensor)], np.int8), tensor)[0]


def test_float_tensors_pass_through() -> None:
    """A float model needs no quantization, only its dtype."""
    tensor = Tensor("x", (1, 1), "float32", 0.0, 0)

    assert np.float32 == quantize(np.array([0.25]), tensor).dtype
    assert 0.25 == dequantize(quantize(np.array([0.25]), tensor), tensor)[0]


@given(
    st.floats(1e-6, 10),
    st.integers(-128, 127),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20),
)
def test_search_in_the_steps_is_quantize_for_every_double(
    scale: float, zero_point: int, values: list[float]
) -> None:
    """The same integer for any number, for both doubles at each of the 255 steps, and at ties of the rule."""
    tensor = Tensor("x", (1, 1), "int8", scale, zero_point)
    table = steps(tensor)
    least = table[128 : 128 + 255]
    ties = (np.arange(-128, 128) - zero_point + 0.5) * scale
    real = np.concatenate(
        [values, least, np.nextafter(least, -np.inf), ties, [np.nan, np.inf, -np.inf, -0.0]]
    )

    with np.errstate(over="ignore"):
        expected = quantize(real, tensor)
    assert np.array_equal(expected, table.searchsorted(real, "right").astype(np.int8))
    assert np.array_equal(expected[len(values) :][:255], np.arange(-127, 128))


@given(st.floats(1e-6, 10), st.integers(-128, 127), st.floats(1e-6, 10), st.integers(-128, 127))
def test_table_of_reals_is_dequantize_for_every_integer(
    scale: float, zero_point: int, other: float, another: int
) -> None:
    """All 256 integers of two tensors, and a row of zeros between them."""
    first = Tensor("a", (1, 256), "int8", scale, zero_point)
    second = Tensor("b", (1, 256), "int8", other, another)
    every = np.arange(-128, 128, dtype=np.int8)
    table = RealTable([first, None, second], 256)
    table.rows[0][...], table.rows[2][...] = every, every[::-1]

    reals = table.reals()
    expected = [dequantize(every, first), np.zeros(256), dequantize(every[::-1], second)]
    assert np.array_equal(np.stack(expected), reals)
