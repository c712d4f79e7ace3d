"""The command line as a process: what it says when its output cannot be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("args", [["doctor", "--json"], ["--help"], ["--version"]])
def test_a_full_output_is_one_line_and_exit_code_1(args: list[str]) -> None:
    """A disk without room; no traceback, and nothing more when Python ends."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edge_lstm", *args],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "edge-lstm: cannot write the output: No space left on device\n"
