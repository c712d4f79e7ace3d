"""The folder of one daemon's state, held by a lock, and the proof that it is still there."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from edge_lstm.errors import SnapshotError

__all__ = ["LOCK", "StateFolder", "private"]

LOCK = "lock"


class StateFolder:
    """A folder that no other daemon uses for as long as the object is open.

    Args:
        path: The folder; made when it is not there.
        weaken: Leave out the flush of the folder (negative controls).

    Raises:
        SnapshotError: It cannot be used, or another daemon uses it.
    """

    def __init__(self, path: Path, *, weaken: bool = False) -> None:
        self.path = path
        self._weaken = weaken
        self._lock = self._folder = -1
        try:
            if not path.is_dir():
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._flush_parent()
            self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take_lock()
        except OSError as error:
            self.close()
            raise SnapshotError(
                f"cannot use the state folder {path}: {error.strerror}", do="check state_dir and who owns it"
            ) from error

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            self.close()
            raise SnapshotError(
                f"the state folder {self.path} is used by another daemon",
                got=f"pid {holder}",
                do="stop that one, or give this one a state_dir of its own",
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the lock itself holds, the number is for people
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _flush_parent(self) -> None:
        parent = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not self._weaken:
                os.fsync(parent)
        finally:
            os.close(parent)

    def close(self) -> None:
        """Let another daemon have the folder."""
        for name in ("_lock", "_folder"):
            if (descriptor := getattr(self, name)) >= 0:
                os.close(descriptor)
                setattr(self, name, -1)

    def flush(self) -> None:
        """Make names durable: without this a power cut can undo a rename, or the making of a file.

        Raises:
            OSError: The disk does not do it.
        """
        if not self._weaken:
            os.fsync(self._folder)

    def is_there(self) -> bool:
        """Whether the path still leads to the folder that was opened."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._folder))
        except OSError:
            return False


def private(path: str, flags: int) -> int:
    """An opener of files that only the owner can read."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
