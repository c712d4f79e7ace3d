"""Checks that may hang or die run in a child process: its end is an answer, never ours."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

import msgspec

__all__ = ["Died", "isolated"]

_PIPE = 65536


class Died(Exception):  # noqa: N818 - an answer of a check, not an error of ours
    """The child gave no answer.

    Args:
        why: ``died of SIGSEGV`` or ``no answer within 20 s``.
    """

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


def isolated(work: Callable[[], object], timeout_s: float) -> object:
    """Run a check in a child, so that a crash of a native library or a hanging name server ends only it.

    A fork, not a new program: the child sees what we have loaded, and it works where the
    interpreter cannot be started a second time (under an emulator without binfmt).

    Args:
        work: Returns what MessagePack can carry; must not raise.
        timeout_s: Longest wait, seconds.

    Raises:
        Died: It crashed, or was stopped after ``timeout_s``.
    """
    if not hasattr(os, "fork"):  # Windows: what crashes there crashes here
        return work()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(work, writer)
    os.close(writer)
    try:
        answer = _collect(reader, time.monotonic() + timeout_s)
    finally:
        os.close(reader)
    if answer is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if answer is None:
        raise Died(f"no answer within {timeout_s:g} s")
    if os.WIFSIGNALED(status):
        raise Died(f"died of {signal.Signals(os.WTERMSIG(status)).name}")
    if not answer:
        raise Died(f"ended with exit code {os.waitstatus_to_exitcode(status)} and said nothing")
    return msgspec.msgpack.decode(answer)


def _answer(work: Callable[[], object], writer: int) -> None:
    """The child: answer, and end without running what the parent registered for its own end."""
    code = 1
    try:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(msgspec.msgpack.encode(work()))
        code = 0
    finally:
        os._exit(code)


def _collect(reader: int, deadline: float) -> bytes | None:
    """All that the child writes; ``None`` when it has not finished by the deadline."""
    parts: list[bytes] = []
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(reader, _PIPE)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return None
