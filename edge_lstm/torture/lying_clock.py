"""A machine whose clock is wrong: seen by one process only, and changed while it runs.

What libfaketime does with a library to preload, a shared file of eight bytes does here.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

from edge_lstm.times import NS

__all__ = ["LyingClock", "follow"]

_ERROR = struct.Struct("<q")


class LyingClock:
    """The harness's end.

    Args:
        path: The file; made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(_ERROR.size))

    def set(self, off_s: float) -> None:
        """Be off by so many seconds from now on."""
        with self.path.open("r+b") as file:
            file.write(_ERROR.pack(round(off_s * NS)))


def follow(path: Path) -> None:
    """The daemon's end: the wall clock of this process is off by what the file says."""
    with path.open("rb") as file:
        error = mmap.mmap(file.fileno(), _ERROR.size, prot=mmap.PROT_READ)
    true = time.time_ns

    def lying() -> int:
        return true() + int(_ERROR.unpack_from(error)[0])

    time.time_ns = lying
