"""Points at which a test can end the process as ``kill -9`` would: at once, cleaning up nothing.

``EDGE_LSTM_CRASH_AT=before_commit:3`` ends it when `crash_point` is called with that name for
the third time. Without the variable `crash_point` is an empty function.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["CRASH_STATUS", "STORE_POINTS", "VARIABLE", "armed", "crash_point"]

VARIABLE: Final = "EDGE_LSTM_CRASH_AT"
CRASH_STATUS: Final = 137
"""Exit status of a process that ended so; a shell shows the same for ``kill -9``."""

STORE_POINTS: Final = (
    "before_journal_write",
    "mid_journal_write",
    "after_journal_write",
    "after_journal_sync",
    "before_segment_rename",
    "after_segment_rename",
    "before_post_commit",
    "after_post_commit",
    "before_commit",
    "mid_checkpoint",
    "after_commit",
    "before_segment_delete",
    "after_segment_delete",
)
"""The points of the store, in about the order in which they are met."""

_name, _, _nth = os.environ.get(VARIABLE, "").partition(":")
_left = int(_nth or 1)


def armed(name: str) -> bool:
    """Whether the process is to end at this point, now or later."""
    return bool(_name) and name == _name


if _name:

    def crash_point(name: str) -> None:
        """End the process here, if that was asked for."""
        global _left  # noqa: PLW0603 - the count of one process
        if name == _name:
            _left -= 1
            if _left <= 0:
                os._exit(CRASH_STATUS)

else:

    def crash_point(name: str) -> None:
        """Nothing was asked for."""
