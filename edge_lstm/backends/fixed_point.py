"""The integers behind TFLite's int8 operators: multipliers, shifts and lookup tables.

An int8 number q stands for scale * (q - zero_point) (TFLite's quantization specification). What
is real in an operator is a quotient of scales; here it becomes integers once, when a model is
loaded, so that a step is integer arithmetic only, the same on every machine and in C.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EXP_BITS",
    "HIGH",
    "LOW",
    "Function",
    "Scaling",
    "exp_table",
    "lookup_table",
    "multiply_by_quantized_multiplier",
    "quantize_multiplier",
    "saturate",
]

Integers = NDArray[np.int64]
Scaling = tuple[int, int]
"""(multiplier, shift): stands for multiplier * 2 ** (shift - 31)."""
Function = Literal["LOGISTIC", "TANH"]

LOW, HIGH = -128, 127
"""The ends of int8; no operator of ours has a narrower clamp."""

EXP_BITS = 22
"""Fraction bits of `exp_table`: 256 of its greatest entries, doubled, still fit 32 bits without a sign."""

_LEAST_SHIFT, _MOST_SHIFT = -31, 30


def quantize_multiplier(real: float) -> Scaling:
    """A positive real factor as (multiplier, shift) with 2**30 <= multiplier < 2**31.

    Source: `QuantizeMultiplier` of tensorflow/lite/kernels/internal/quantization_util.cc. The
    fraction of `frexp` is rounded to 31 bits, half away from zero. A factor below 2**-32 becomes
    (0, 0); one of 2**30 or more becomes the greatest there is.

    Raises:
        ValueError: It is negative or not finite.
    """
    if not (math.isfinite(real) and real >= 0):
        raise ValueError(f"a factor has to be finite and not negative, got {real}")
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift < _LEAST_SHIFT:
        return 0, 0
    return (multiplier, shift) if shift <= _MOST_SHIFT else (2**31 - 1, _MOST_SHIFT)


def multiply_by_quantized_multiplier(
    x: Integers, multiplier: Integers | int, shift: Integers | int
) -> Integers:
    """Scale x: x * multiplier * 2 ** (shift - 31), rounded once to the nearest, half up.

    Source: the single rounding `MultiplyByQuantizedMultiplier` of TFLite
    (tensorflow/lite/kernels/internal/common.cc, TFLITE_SINGLE_ROUNDING): the product is exact in
    64 bits, half of the last place is added, and what is right of the point is shifted away.

    Args:
        x: Within 32 bits.
        multiplier: 0 to 2**31 - 1; an array broadcasts against x.
        shift: -31 to 30, negative to the right; as `multiplier`.
    """
    right = 31 - np.asarray(shift, np.int64)
    product = x * np.asarray(multiplier, np.int64)
    rounded: Integers = (product + (np.int64(1) << (right - 1))) >> right
    return rounded


def saturate(x: Integers) -> NDArray[np.int8]:
    """Integers as int8; those beyond its ends become the ends."""
    return np.minimum(np.maximum(x, LOW), HIGH).astype(np.int8)


def lookup_table(
    function: Function, in_scale: float, in_zero: int, out_scale: float, out_zero: int
) -> NDArray[np.int8]:
    """What a function gives for each int8, (256,), at the place of the number as an unsigned byte.

    The entry of x is table[(uint8_t) x] in C and table[x] in NumPy, where a negative index counts
    from the end.

    Source: `PopulateLookupTable` of tensorflow/lite/kernels/activations.cc: the input as a real
    number in single precision, the function, times 1 / out_scale, rounded half away from zero,
    plus the zero point, saturated. TFLite computes the function in single precision and we in
    double, so an entry that lies within single precision's error of a half can be one off.
    """
    x = np.arange(LOW, HIGH + 1)
    real = (np.float32(in_scale) * (x - in_zero).astype(np.float32)).astype(np.float64)
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1 / infinity is right
        said = np.tanh(real) if function == "TANH" else 1 / (1 + np.exp(-real))
    scaled = said / np.float64(np.float32(out_scale))
    rounded = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)
    return np.roll(saturate(rounded.astype(np.int64) + out_zero), HIGH + 1)


def exp_table(in_scale: float, beta: float) -> NDArray[np.int64]:
    """exp(-beta * in_scale * d) for a distance d of 0 to 255, in 2 ** -EXP_BITS, (256,).

    TFLite has the same table in single precision (`PopulateSoftmaxLookupTable`); see
    `edge_lstm.backends.reference.softmax`.
    """
    reals = np.exp(-float(np.float32(in_scale)) * float(np.float32(beta)) * np.arange(256))
    whole: Integers = np.floor(reals * 2**EXP_BITS + 0.5).astype(np.int64)
    return whole
