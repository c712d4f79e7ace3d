"""Daemons as processes: forked from one that has everything imported, or programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

from edge_lstm.errors import TortureError

__all__ = ["Forks", "Process", "execute"]

_START_S = 30.0


class Process(Protocol):
    """A daemon that was started."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def ended(self, timeout_s: float) -> int | None:
        """Its exit code, or minus its signal, once it has ended."""
        ...


class _Executed:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self, timeout_s: float) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def execute(argv: list[str], environ: dict[str, str], log: Path) -> Process:
    """Start a daemon as a program, imports and all."""
    command = [sys.executable, "-m", "edge_lstm.torture.daemon", *argv]
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdout=file, stderr=file, env={**os.environ, **environ}, start_new_session=True
        )
    return _Executed(process)


class _Forked:
    def __init__(self, forks: Forks, pid: int) -> None:
        self._forks, self.pid = forks, pid

    def ended(self, timeout_s: float) -> int | None:
        return self._forks.code(self.pid, timeout_s)


class Forks:
    """The process that daemons are forked from (`edge_lstm.torture.zygote`); any thread may use it.

    Args:
        interpreter: Whether it imports the TFLite interpreter too.
    """

    def __init__(self, *, interpreter: bool = False) -> None:
        # One thread each: a fork takes along the calling thread only.
        environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "edge_lstm.torture.zygote", *(["--interpreter"] if interpreter else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            start_new_session=True,
        )
        self._order, self._news = threading.Lock(), threading.Condition()
        self._started: list[int] = []
        self._codes: dict[int, int] = {}
        self._thread = threading.Thread(target=self._listen, name="forks", daemon=True)
        self._thread.start()

    def start(self, argv: list[str], log: Path) -> Process:
        """Start a daemon.

        Raises:
            TortureError: It cannot be started.
        """
        order = json.dumps({"argv": argv, "log": str(log)})
        with self._order:
            if self._process.stdin is None:
                raise TortureError("the process that makes daemons is gone")
            self._process.stdin.write(f"{order}\n".encode())
            self._process.stdin.flush()
            with self._news:
                if not self._news.wait_for(lambda: bool(self._started), _START_S):
                    raise TortureError("the process that makes daemons does not answer")
                return _Forked(self, self._started.pop())

    def code(self, pid: int, timeout_s: float) -> int | None:
        """The exit code of a daemon, once it has ended."""
        end = time.monotonic() + timeout_s
        with self._news:
            while pid not in self._codes:
                left_s = end - time.monotonic()
                if left_s <= 0 or not self._news.wait(left_s):
                    return self._codes.get(pid)
            return self._codes[pid]

    def close(self) -> None:
        """End it, and what is left of its daemons."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(_START_S)
        self._thread.join(_START_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self._process.stdout:
            what, *numbers = line.split()
            with self._news:
                if what == b"started":
                    self._codes.pop(int(numbers[0]), None)  # numbers of processes come again
                    self._started.append(int(numbers[0]))
                else:
                    self._codes[int(numbers[0])] = int(numbers[1])
                self._news.notify_all()
