"""Shell scripts on a machine: this one, or another over the system's ssh.

A script is constant text and gets what varies as its positional parameters, quoted by
`shlex`, so nothing of a file name or an option can become a command. Data goes over
standard input, never over a command line that others can read in ``ps``.

Over ssh one connection is opened and shared by all scripts. Which keys and host keys
are good is for ssh and its own configuration to say.
"""

from __future__ import annotations

import abc
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_lstm.errors import DeployError
from firmware_tools.ssh_errors import explain_ssh

__all__ = ["Host", "LocalHost", "Result", "SshHost", "open_host"]

_BEGIN = "\x1e"
"""Printed before a script's own output: what a login shell says first does not count."""
_PRELUDE = f"set -eu; umask 022; export LC_ALL=C; printf '\\{ord(_BEGIN):03o}'\n"
_CONNECT_S = 20


@dataclass(frozen=True, slots=True)
class Result:
    """What a script left.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The last line that was said."""
        lines = [line.strip() for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        return lines[-1].removeprefix("edge-lstm: ") if lines else f"exit code {self.code}"


class Host(abc.ABC):
    """A machine that runs shell scripts; a context manager that holds the connection.

    Attributes:
        name: How people call it.
        elevated: Whether scripts run as root, through sudo that asks nothing.
    """

    def __init__(self, name: str) -> None:
        self.name, self.elevated = name, False

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            DeployError: It cannot be reached.
        """
        return self

    def __exit__(  # noqa: B027 - this machine has nothing to disconnect from
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""

    @abc.abstractmethod
    def argv(self, words: Sequence[str]) -> list[str]:
        """The local command that runs a command there."""

    def lost(self, code: int, text: str) -> DeployError | None:
        """The fault of the connection itself, when that is what an exit code means."""
        del code, text
        return None

    def run(
        self, script: str, *args: str, stdin: bytes | Path | None = None, timeout_s: float = 60.0
    ) -> Result:
        """Run a script.

        Args:
            script: Text for ``sh``; ``$1`` and so on are the arguments.
            *args: The arguments.
            stdin: What it reads: bytes, or a local file.
            timeout_s: Longest time it may take, seconds.

        Raises:
            DeployError: The connection is lost, or it takes too long.
        """
        with ExitStack() as stack:
            if isinstance(stdin, Path):
                source, data = stack.enter_context(stdin.open("rb")), None
            else:
                source, data = None, stdin or b""
            try:
                done = subprocess.run(  # noqa: S603 - the arguments are quoted one by one
                    self._command(script, args),
                    stdin=source,
                    input=data,
                    capture_output=True,
                    check=False,
                    timeout=timeout_s,
                )
            except subprocess.TimeoutExpired as error:
                raise DeployError(
                    f"{self.name} does not come to an end", expected=f"an answer within {timeout_s:g} s"
                ) from error
        return self._result(done.returncode, done.stdout, done.stderr)

    def do(
        self, what: str, script: str, *args: str, stdin: bytes | Path | None = None, timeout_s: float = 60.0
    ) -> str:
        """Run a script that must succeed, and return its output.

        Args:
            what: What it does, for the error: "cannot <what>".
            script: See `run`.
            *args: See `run`.
            stdin: See `run`.
            timeout_s: See `run`.

        Raises:
            DeployError: It failed.
        """
        result = self.run(script, *args, stdin=stdin, timeout_s=timeout_s)
        if result.code != 0:
            raise self.failed(what, result)
        return result.out

    def failed(self, what: str, result: Result) -> DeployError:
        """The error for a script that failed."""
        hint = next((do for sign, do in _HINTS if sign in f"{result.err}{result.out}"), None)
        return DeployError(f"cannot {what} on {self.name}", got=result.reason, do=hint)

    @contextmanager
    def hold(self, what: str, script: str, *args: str) -> Iterator[None]:
        """Run a script beside others; it says ``held`` and must end when its input does.

        Raises:
            DeployError: It ended without saying so.
        """
        pipe = subprocess.PIPE
        with subprocess.Popen(self._command(script, args), stdin=pipe, stdout=pipe, stderr=pipe) as process:  # noqa: S603
            out, err = process.stdout, process.stderr
            if process.stdin is None or out is None or err is None:  # pragma: no cover - PIPE was asked for
                raise RuntimeError("no pipes")
            said = b""
            while not said.endswith(b"held\n") and (line := out.readline()):
                said += line
            if not said.endswith(b"held\n"):
                problem = err.read()
                raise self.failed(what, self._result(process.wait(), said, problem))
            try:
                yield
            finally:
                process.stdin.close()
                process.wait()

    def _command(self, script: str, args: Sequence[str]) -> list[str]:
        words = ["sh", "-c", _PRELUDE + script, "edge-lstm-deploy", *args]
        return self.argv(["sudo", "-n", "--", *words] if self.elevated else words)

    def _result(self, code: int, out: bytes, err: bytes) -> Result:
        said, problem = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        _, began, rest = said.partition(_BEGIN)
        if not began:
            raise self.lost(code, problem) or self.failed("run commands", Result(code, said, problem))
        if code == 255 and (error := self.lost(code, problem)):
            raise error
        return Result(code, rest, problem)


_HINTS = (
    ("No space left on device", "free some space there, or use a --prefix on a larger disk"),
    ("a password is required", "allow sudo without a password for this user, or log in as root"),
    ("is not in the sudoers file", "allow sudo without a password for this user, or log in as root"),
    ("Permission denied", "use another --prefix, or another user"),
    ("Read-only file system", "use a --prefix on a disk that can be written to"),
    ("sh: not found", "the device needs a POSIX shell"),
)


class LocalHost(Host):
    """This machine."""

    def __init__(self) -> None:
        super().__init__("local")

    def argv(self, words: Sequence[str]) -> list[str]:
        """The command itself."""
        return list(words)


class SshHost(Host):
    """Another machine, over the system's ssh.

    Args:
        destination: ``HOST`` or ``USER@HOST``, also a name of the ssh configuration.
        port: TCP port; ``None`` is what ssh would take.
        identity: Private key; ``None`` is what ssh would take.
        options: For ssh's ``-o``.
    """

    def __init__(
        self,
        destination: str,
        *,
        port: int | None = None,
        identity: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(destination)
        given = [*options, "ControlPersist=no", "RemoteCommand=none", "ClearAllForwardings=yes"]
        given += [f"ConnectTimeout={_CONNECT_S}", "ServerAliveInterval=15"]
        # Without a terminal there is nobody to ask for a password or about a host key.
        given += [] if sys.stdin.isatty() else ["BatchMode=yes"]
        self._options = [word for option in given for word in ("-o", option)]
        self._options += ["-p", str(port)] if port is not None else []
        self._options += ["-i", str(identity), "-o", "IdentitiesOnly=yes"] if identity is not None else []
        self._open = ExitStack()
        self._socket = Path()

    def __enter__(self) -> Self:
        """Open the connection that all scripts share.

        Raises:
            DeployError: ssh is not there, or does not get in.
        """
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="elstm-")))
            self._socket = folder / "ssh"
            log = folder / "log"
            master = stack.enter_context(self._master(log))
            self._wait(master, log)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._open.close()

    def argv(self, words: Sequence[str]) -> list[str]:
        """Through the shared connection, as one quoted line for the login shell there."""
        return [*self._ssh("ControlMaster=no"), "--", self.name, shlex.join(words)]

    def lost(self, code: int, text: str) -> DeployError | None:
        """255 is ssh's own exit code."""
        return explain_ssh(self.name, text) if code == 255 else None

    def _ssh(self, control: str) -> list[str]:
        return ["ssh", "-T", "-o", control, "-S", str(self._socket), *self._options]

    @contextmanager
    def _master(self, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        with log.open("wb") as errors:
            try:
                process = subprocess.Popen(  # noqa: S603 - the destination cannot be taken for an option
                    [*self._ssh("ControlMaster=yes"), "-N", "--", self.name],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                )
            except FileNotFoundError as error:
                raise DeployError("there is no ssh here", do="apt install openssh-client") from error
        with process:
            try:
                yield process
            finally:
                process.terminate()

    def _wait(self, master: subprocess.Popen[bytes], log: Path) -> None:
        """Until the connection stands; ssh makes its socket when it is logged in."""
        patience = float("inf") if sys.stdin.isatty() else 3.0 * _CONNECT_S
        end = time.monotonic() + patience
        while not self._socket.exists():
            if master.poll() is not None:
                raise explain_ssh(self.name, log.read_text("utf-8", "replace"))
            if time.monotonic() > end:
                raise DeployError(f"cannot log in to {self.name}", got=f"nothing within {patience:g} s")
            time.sleep(0.02)


def open_host(
    target: str, *, port: int | None = None, identity: Path | None = None, options: Sequence[str] = ()
) -> Host:
    """The machine that a target names; connected when it is entered.

    Args:
        target: ``local``, ``HOST`` or ``USER@HOST``.
        port: See `SshHost`.
        identity: See `SshHost`.
        options: See `SshHost`.

    Raises:
        DeployError: It names none.
    """
    if target == "local":
        return LocalHost()
    if not target or target.startswith("-") or not target.isprintable() or set(target) & set(" '\"\\/"):
        raise DeployError("not a target", expected="local, HOST or USER@HOST", got=repr(target))
    return SshHost(target, port=port, identity=identity, options=options)
