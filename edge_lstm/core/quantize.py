"""Float to integer and back: the only place that knows scale and zero point.

TFLite's rule (quantization specification, "affine"): real = (q - zero_point) * scale.
Without rounding and clipping before the cast, 200 would become -56: a sensor spike
would read as its opposite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Tensor

__all__ = ["dequantize", "quantize", "zero"]


def quantize(real: NDArray[np.float64], tensor: Tensor) -> NDArray[np.int8] | NDArray[np.float32]:
    """Real numbers as the tensor holds them, same shape.

    Rounds half to even and saturates at the type's ends; NaN becomes the zero point
    (the caller masks missing values before this, so that is a last line of defence).
    """
    if tensor.dtype == "float32":
        return real.astype(np.float32)
    q = np.rint(real / tensor.scale) + tensor.zero_point
    q = np.nan_to_num(q, nan=tensor.zero_point, posinf=127, neginf=-128)
    whole: NDArray[np.int8] = np.clip(q, -128, 127).astype(np.int8)
    return whole


def dequantize(q: NDArray[np.int8] | NDArray[np.float32], tensor: Tensor) -> NDArray[np.float64]:
    """The real numbers a tensor's content stands for, same shape."""
    if tensor.dtype == "float32":
        return q.astype(np.float64)
    return (q.astype(np.float64) - tensor.zero_point) * tensor.scale


def zero(tensor: Tensor) -> int:
    """The integer that stands for 0.0: the content of a fresh state."""
    return tensor.zero_point if tensor.dtype == "int8" else 0
