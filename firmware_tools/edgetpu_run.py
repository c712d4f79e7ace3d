"""One run of the Edge TPU's compiler, which may crash, hang, or end without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from edge_lstm.errors import CompileError
from firmware_tools.edgetpu_log import parse_log

__all__ = ["ADVICE", "last_lines", "run", "why"]

_MOST_LOG = 1 << 20
"""Bytes of what it says that are kept: the last ones."""
_LAST_LINES = 5

ADVICE = "try once more; 'edge-lstm compile --check' says which documented rule the model breaks, if any"


def run(command: list[str], place: Path, timeout_s: float) -> str:
    """Standard output and error together, the last MiB.

    They go to a file: a child that outlives the compiler would hold a pipe open for ever.

    Raises:
        CompileError: It cannot be run, does not end, or ends badly.
    """
    with tempfile.TemporaryFile() as log:
        code = _wait(_start(command, place, log), timeout_s)
        said = _end_of(log)
    if code is None:
        raise CompileError(
            f"the compiler did not end within {timeout_s:g} s",
            got=last_lines(said),
            do="give it more time with --timeout",
        )
    if code:
        raise CompileError(f"the compiler failed ({_ending(code)})", got=why(said), do=ADVICE)
    return said


def _start(command: list[str], place: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        # Its own session: the compiler is a shell script around a loader around the program.
        return subprocess.Popen(  # noqa: S603 - the program that the operator named or installed
            command,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise CompileError(
            f"cannot run {command[0]}: {error.strerror}",
            do="the compiler is a program for x86-64 Linux alone; compile there and copy the bundle",
        ) from error


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """The return code; ``None`` when it had to be killed, with its process group."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def _end_of(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - _MOST_LOG))
    return log.read(_MOST_LOG).decode(errors="replace")


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
