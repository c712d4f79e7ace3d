"""Float to integer and back: the only place that knows scale and zero point.

TFLite's rule (quantization specification, "affine"): real = (q - zero_point) * scale.
Without rounding and clipping before the cast, 200 would become -56: a sensor spike
would read as its opposite.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Tensor

__all__ = ["dequantize", "quantize", "zero"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int8] | NDArray[np.float32]

_LOWEST, _HIGHEST = np.asarray(-128.0), np.asarray(127.0)
"""Arrays without dimensions: turning Python numbers into such takes longer than to clip a frame."""


def quantize(real: Floats, tensor: Tensor) -> Whole:
    """Real numbers as the tensor holds them, same shape.

    Rounds half to even and saturates at the type's ends; NaN becomes the zero point
    (the caller masks missing values before this, so that is a last line of defence).
    """
    if tensor.dtype == "float32":
        return real.astype(np.float32)
    q = real / tensor.scale
    np.rint(q, q)
    q += tensor.zero_point
    q.clip(_LOWEST, _HIGHEST, out=q)
    flat = q.reshape(-1)
    if math.isnan(flat.dot(flat)):  # one pass, of numbers within +-128; isnan().any() is two
        q[np.isnan(q)] = tensor.zero_point
    return q.astype(np.int8)


def dequantize(q: Whole, tensor: Tensor, out: Floats | None = None) -> Floats:
    """The real numbers a tensor's content stands for, same shape; written to ``out`` when given."""
    real = np.empty(q.shape) if out is None else out
    real[...] = q
    if tensor.dtype != "float32":
        real -= tensor.zero_point
        real *= tensor.scale
    return real


def zero(tensor: Tensor) -> int:
    """The integer that stands for 0.0: the content of a fresh state."""
    return tensor.zero_point if tensor.dtype == "int8" else 0
