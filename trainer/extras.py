"""Commands say at once what is not installed, and which extra brings all of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from edge_lstm.errors import MissingExtraError

__all__ = ["need_extra"]


def need_extra(extra: str, packages: Sequence[str], *, what: str) -> None:
    """Refuse before anything is done.

    Args:
        extra: The extra of edge-lstm that brings the packages.
        packages: Packages that are imported later on.
        what: What needs them.

    Raises:
        MissingExtraError: One of them is not installed.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"{what} needs {', '.join(missing)}", do=f"pip install 'edge-lstm[{extra}]'")
