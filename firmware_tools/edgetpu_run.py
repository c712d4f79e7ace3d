"""One run of the Edge TPU's compiler, which may crash, hang, or end without a word."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from edge_lstm.errors import CompileError
from firmware_tools.edgetpu_log import parse_log

__all__ = ["ADVICE", "last_lines", "run", "why"]

_GRACE_S = 30.0
"""What the compiler gets over its own time limit to end by itself."""
_LAST_LINES = 5

ADVICE = "try once more; 'edge-lstm compile --check' says which documented rule the model breaks, if any"


def run(command: list[str], place: Path, timeout_s: float) -> str:
    """Standard output and error together.

    Raises:
        CompileError: It cannot be run, does not end, or ends badly.
    """
    try:
        # Its own session: the compiler is a shell script around a loader around the program.
        process = subprocess.Popen(  # noqa: S603 - the program that the operator named or installed
            command,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CompileError(
            f"cannot run {command[0]}: {error.strerror}",
            do="the compiler is a program for x86-64 Linux alone; compile there and copy the bundle",
        ) from error
    try:
        said, _ = process.communicate(timeout=timeout_s + _GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        raise CompileError(
            f"the compiler did not end within {timeout_s:g} s",
            got=last_lines(said),
            do="give it more time with --timeout",
        ) from None
    if process.returncode:
        raise CompileError(f"the compiler failed ({_ending(process.returncode)})", got=why(said), do=ADVICE)
    return said


def _ending(code: int) -> str:
    """How a process ended; a shell adds 128 to the signal that killed its child."""
    number = -code if code < 0 else code - 128
    try:
        return f"killed by {signal.Signals(number).name}" if number > 0 else f"exit code {code}"
    except ValueError:
        return f"exit code {code}"


def why(said: str) -> str:
    """The lines of a log that tell a failure, else its last ones."""
    try:
        errors = parse_log(said).errors
    except ValueError:
        errors = ()
    return "; ".join(errors) or last_lines(said)


def last_lines(said: str) -> str:
    """How a log ends, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " / ".join(lines[-_LAST_LINES:]) or "no word"
