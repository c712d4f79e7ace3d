"""Arrays from outside: ``.npz`` files as NumPy writes them, and nothing else that a zip can hold.

Only stored entries are taken, so that what is unpacked is never larger than the file.
"""

from __future__ import annotations

import io
import zipfile
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_arrays"]

_MOST_ARRAYS = 64
# What NumPy and zipfile end in on files that were made to harm.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    MemoryError,
    OverflowError,
    SyntaxError,
    TokenError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
)


def read_arrays(raw: bytes) -> dict[str, NDArray[Any]]:
    """Name to array of whole or real numbers, all finite.

    Args:
        raw: What `numpy.savez` wrote.

    Raises:
        ValueError: It is something else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            infos = archive.infolist()
            if len(infos) > _MOST_ARRAYS or sum(info.file_size for info in infos) > len(raw):
                raise ValueError("more arrays than the file can hold")
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise ValueError("a compressed array")
            found = {info.filename.removesuffix(".npy"): _array(archive.read(info)) for info in infos}
    except _UNREADABLE as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if len(found) != len(infos):
        raise ValueError("two arrays of one name")
    for name, array in found.items():
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise ValueError(f"array '{name}' is not of finite numbers")
    return found


def _array(raw: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    return array
