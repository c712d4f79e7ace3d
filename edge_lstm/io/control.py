"""A socket in the state folder on which the daemon's own machine may ask how it is.

One question, ``status`` and a line feed, one answer: a `Status` in JSON. Nothing can be
changed here. Only the daemon's own user and root are answered, whatever the rights of
the folder (SO_PEERCRED, unix(7)).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edge_lstm.contracts.status import Status
from edge_lstm.io.answers import Listener, Notice

__all__ = ["CONTROL", "QUESTION", "ask", "control_answer", "control_listener"]

CONTROL = "control.sock"
QUESTION = b"status\n"

_MOST_PATH = 107
"""Bytes of a path in sockaddr_un, without the NUL at its end (unix(7))."""
_MOST_ANSWER = 4 * 2**20
_CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid."""


def control_listener(state_dir: Path, notice: Notice[Status]) -> Listener:
    """A listener in a state folder that this process holds by its lock.

    A socket that is there already is therefore one that a killed process left behind.

    Args:
        state_dir: The folder.
        notice: The newest facts.

    Raises:
        OSError: No socket can be made there.
    """
    if sys.platform != "linux":  # elsewhere the kernel does not say in this way who asks
        raise OSError(errno.ENOTSUP, "not on this system")
    path = state_dir / CONTROL
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before it has a name: Linux gives the file these rights, and there is no moment with others.
        os.fchmod(bound.fileno(), 0o600)
        with _address(path) as address:
            bound.bind(address)
        bound.listen(64)
    except OSError:
        bound.close()
        raise
    return Listener(
        name="control",
        bound=bound,
        answer=lambda question: control_answer(question, notice.latest),
        admits=_is_ours,
        path=path,
    )


def control_answer(question: bytes, status: Status | None) -> bytes | None:
    """The answer, ``None`` while the question may still become one, and empty to what is no question."""
    if question == QUESTION:
        return b"null\n" if status is None else msgspec.json.encode(status) + b"\n"
    return None if QUESTION.startswith(question) else b""


def ask(state_dir: Path, *, timeout_s: float = 5.0) -> Status | None:
    """What the daemon of a state folder says; ``None`` when it is still starting.

    Args:
        state_dir: The folder.
        timeout_s: Longest wait for each part of the answer, seconds.

    Raises:
        ConnectionRefusedError: No daemon runs: the socket is a killed one's.
        FileNotFoundError: No daemon runs: there is no socket.
        OSError: It cannot be asked, or does not answer in time.
        ValueError: The answer is not one of this version.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        with _address(state_dir / CONTROL) as address:
            _connect(connection, address, until=time.monotonic() + timeout_s)
        connection.sendall(QUESTION)
        answer = bytearray()
        while part := connection.recv(65536):
            answer += part
            if len(answer) > _MOST_ANSWER:
                raise ValueError("the answer has no end")
    if not answer:
        raise PermissionError("it answers its own user and root only")
    return msgspec.json.decode(answer, type=Status | None)


def _connect(connection: socket.socket, address: str, *, until: float) -> None:
    """Connect; a full queue is EAGAIN at once, other than with TCP (unix(7)), so it is tried again."""
    while True:
        try:
            connection.connect(address)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "too many others ask") from None
            time.sleep(0.02)
        else:
            return


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path as the kernel takes it: one that is too long goes by way of its open folder."""
    text = str(path.absolute())
    if len(os.fsencode(text)) <= _MOST_PATH:
        yield text
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _is_ours(connection: socket.socket) -> bool:
    """Whether the other end is our user's or root's."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(raw)
    return user in (0, os.geteuid())
