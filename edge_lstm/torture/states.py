"""What a daemon that has ended left behind."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from edge_lstm.contracts.state import StreamSnapshot
from edge_lstm.errors import TortureError
from edge_lstm.io.store import Store

__all__ = ["read_states"]


def read_states(folder: Path, bundle_sha256: str) -> dict[str, dict[str, bytes]]:
    """Asset to its arrays, as last written down.

    Args:
        folder: The state folder of a daemon that was stopped with SIGTERM.
        bundle_sha256: The bundle that it ran, hexadecimal.

    Raises:
        TortureError: There is nothing, it cannot be read, or it is not all there is to know.
    """
    with closing(_Reader(folder)) as reader:
        found = reader.store.recover(bundle_sha256)
        if found.meta is None or found.problem:
            raise TortureError(f"the daemon left no states in {folder}", got=found.problem or None)
        if next(found.blocks, None) is not None:
            raise TortureError(f"the daemon ended without a last checkpoint in {folder}")
        return {
            asset: msgspec.msgpack.decode(raw, type=StreamSnapshot).arrays for asset, raw in found.streams()
        }


class _Reader:
    """A store that is never started, and so writes nothing."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder, wake=lambda: None)

    def close(self) -> None:
        self.store.close(1.0)
