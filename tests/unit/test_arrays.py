"""Arrays from outside: what NumPy writes is read, what was made to harm is refused."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.arrays import read_arrays


def packed(**arrays: NDArray[Any]) -> bytes:
    """As training writes them."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def compressed() -> bytes:
    """80 MB of zeros in 80 kB."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.zeros(10_000_000))
    return buffer.getvalue()


def zipped(*entries: tuple[str, bytes]) -> bytes:
    """A zip of entries as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in entries:
            archive.writestr(name, raw)
    return buffer.getvalue()


def locked(raw: bytes) -> bytes:
    """The same, said to be encrypted."""
    flags = raw.index(b"PK\x01\x02") + 8
    return raw[:flags] + b"\x01" + raw[flags + 1 :]


def header(shape: str) -> bytes:
    """An ``.npy`` that says a shape and holds nothing."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_written_arrays_are_read() -> None:
    """Name, type, shape and numbers."""
    given = {"frames": np.arange(6.0).reshape(3, 2), "hidden": np.array([[-128, 127]], np.int8)}

    found = read_arrays(packed(**given))

    assert list(given) == list(found)
    for name, array in given.items():
        assert array.dtype == found[name].dtype
        np.testing.assert_array_equal(array, found[name])


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x" * 1000, id="no-zip"),
        pytest.param(compressed(), id="compressed"),
        pytest.param(packed(a=np.array([{}], object)), id="pickled"),
        pytest.param(packed(a=np.array(["x"])), id="text"),
        pytest.param(packed(a=np.array([1j])), id="complex"),
        pytest.param(packed(a=np.array([1.0, np.nan])), id="nan"),
        pytest.param(packed(a=np.array([np.inf])), id="infinite"),
        pytest.param(zipped(("a.npy", b"")), id="empty-array"),
        pytest.param(zipped(("a.npy", header("(1000000000000,)"))), id="huge-shape"),
        pytest.param(zipped(("a.npy", header("(-5,)"))), id="negative-shape"),
        pytest.param(zipped(("a.npy", header("(((("))), id="open-brackets"),
        pytest.param(zipped(*((f"{i}.npy", header("(0,)")) for i in range(65))), id="many"),
        pytest.param(locked(packed(a=np.ones(9))), id="locked"),
        pytest.param(zipped(("a.npy", header("(0,)")), ("a", header("(0,)"))), id="one-name-twice"),
        pytest.param(packed(a=np.ones(9))[:-30], id="cut-short"),
    ],
)
def test_anything_else_is_refused(raw: bytes) -> None:
    """One kind of error, with a reason, and no more memory than the file has bytes."""
    with pytest.raises(ValueError, match=r"\w"):
        read_arrays(raw)
