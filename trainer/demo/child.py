"""One ``edge-lstm`` command as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from edge_lstm.errors import OperatorError

__all__ = ["Child"]

# The interpreter that runs us has the package; a script on the PATH may be another installation's.
# -P: modules come from that installation, not from the folder it runs in.
PROGRAM = (sys.executable, "-P", "-m", "edge_lstm")
STOP_S = 15.0
TAIL_LINES = 30


@contextmanager
def _signals_later() -> Iterator[list[int]]:
    """SIGTERM and SIGINT are noted meanwhile; the caller raises them again."""
    caught: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda got, _frame: caught.append(got)) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Child:
    """A running command; leaving the context ends it, whatever happened.

    It gets a session of its own, so that Ctrl-C reaches us alone and we end it in order.

    Args:
        arguments: Verb and options.
        cwd: Its working directory.
        log: File for its output; ``None`` lets it share our terminal.
    """

    def __init__(self, arguments: Sequence[str], *, cwd: Path, log: Path | None = None) -> None:
        self.arguments, self._cwd, self._log = tuple(arguments), cwd, log

    @property
    def title(self) -> str:
        """The command as a user would type it."""
        return " ".join(("edge-lstm", *self.arguments))

    def __enter__(self) -> Self:
        """Start."""
        output: IO[bytes] | None = self._log.open("wb") if self._log is not None else None
        # An interrupt inside Popen would leave a child that nobody knows of.
        with _signals_later() as caught:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    (*PROGRAM, *self.arguments),
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT if output else None,
                    start_new_session=True,
                )
            finally:
                if output is not None:
                    output.close()
        if caught:
            self.__exit__(None, None, None)
            signal.raise_signal(caught[0])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, gently first."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def wait(self) -> None:
        """Wait for its end.

        Raises:
            OperatorError: It failed.
        """
        if self._process.wait() != 0:
            raise self._failed(self._process.returncode)

    def check(self) -> None:
        """Make sure that it still runs.

        Raises:
            OperatorError: It does not.
        """
        code = self._process.poll()
        if code is not None:
            raise self._failed(code)

    def tail(self) -> str:
        """The last lines of its log."""
        if self._log is None or not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:])

    def _failed(self, code: int) -> OperatorError:
        return OperatorError(
            f"'{self.title}' ended by itself", got=f"exit code {code}", do="its output is above"
        )
