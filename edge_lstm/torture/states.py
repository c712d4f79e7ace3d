"""What a daemon that has ended left behind."""

from __future__ import annotations

from pathlib import Path

from edge_lstm.errors import TortureError
from edge_lstm.io.snapshot import StateDir

__all__ = ["read_states"]


def read_states(folder: Path) -> dict[str, dict[str, bytes]]:
    """Asset to its arrays, as last written down.

    Args:
        folder: The state folder of a daemon that was stopped with SIGTERM.

    Raises:
        TortureError: There is nothing, or it cannot be read.
    """
    state = StateDir(folder)
    try:
        saved = state.load()
    finally:
        state.close()
    if saved is None:
        raise TortureError(f"the daemon left no states in {folder}")
    return {one.asset: one.arrays for one in saved.detector.streams}
