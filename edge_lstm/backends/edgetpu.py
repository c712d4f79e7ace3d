"""The Edge TPU as a backend: a process of its own behind two pipes, which may die at any step."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import IO

import msgspec

from edge_lstm.backends.edgetpu_device import explain
from edge_lstm.backends.edgetpu_wire import DONE, Began, Begin, Gone, Late, heads_of, receive, send, split
from edge_lstm.bundle import EDGETPU_MODEL, Bundle
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BackendError

__all__ = ["COMMAND", "LIBRARY", "EdgeTpuBackend"]

LIBRARY = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}.get(sys.platform, "libedgetpu.so.1")
"""The delegate's library, as its vendor names it (google-coral/pycoral, pycoral/utils/edgetpu.py)."""
COMMAND: Sequence[str] = (sys.executable, "-m", "edge_lstm.backends.edgetpu_process")

_BEGIN_S = 30.0
"""Firmware goes to the USB device first, which then comes back as another device: seconds."""
_STEP_S = 2.0
"""A step takes about a millisecond; the daemon's watchdog waits thirty seconds."""
_END_S = 1.0
_LAST_BYTES = 2000


class EdgeTpuBackend:
    """Steps of a bundle's compiled network on the Edge TPU, for one stream or for a batch of them.

    Args:
        bundle: A verified bundle.
        library: The delegate's shared library.
        command: What holds the Edge TPU; `COMMAND` when there is none.
        begin_s: Longest time until it can be used, seconds.
        step_s: Longest time for a step, seconds.

    Attributes:
        runtime: What the library says of its version.

    Raises:
        BackendError: The Edge TPU cannot be used, with the reason.
    """

    name = "edgetpu"

    def __init__(
        self,
        bundle: Bundle,
        *,
        library: str = LIBRARY,
        command: Sequence[str] | None = None,
        begin_s: float = _BEGIN_S,
        step_s: float = _STEP_S,
    ) -> None:
        if EDGETPU_MODEL not in bundle.members:
            raise BackendError(
                "the bundle has no network for the Edge TPU", do="compile it: edge-lstm compile"
            )
        manifest = bundle.manifest
        self._step_s = step_s
        self._states = [tensor for _, tensor in state_tensors(manifest)]
        shapes = {tensor.name: tensor for tensor in manifest.outputs}
        self._heads = [(name, shapes[name]) for name in heads_of(manifest)]
        try:
            self._errors, self._process = _start(command or COMMAND)
        except OSError as error:  # no room for a file, or for a process
            raise BackendError(f"the Edge TPU's process cannot be started: {error.strerror}") from error
        self._take, self._give = _number(self._process.stdout), _number(self._process.stdin)
        self.close = weakref.finalize(self, _end, self._process, self._errors)
        self.runtime = self._begin(Begin(library, manifest, bundle.read(EDGETPU_MODEL)), begin_s)

    def _begin(self, begin: Begin, within_s: float) -> str:
        try:
            send(self._give, [msgspec.msgpack.encode(begin)])
            began = msgspec.msgpack.decode(receive(self._take, within_s), type=Began)
        except (Gone, Late, msgspec.DecodeError) as error:
            raise self._lost(error, f"it did not answer within {within_s:g} s") from None
        if began.why:
            self.close()
            raise BackendError(f"the Edge TPU cannot be used: {explain(began.why)}")
        return began.runtime

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance by one frame; see `edge_lstm.core.backend.Backend.step`.

        Raises:
            BackendError: The Edge TPU is lost; the state is as it was before.
        """
        rows = frame.shape[:-1]
        try:
            send(self._give, [frame.tobytes(), *(array.tobytes() for array in state)])
            answer = receive(self._take, self._step_s)
        except (Gone, Late) as error:
            raise self._lost(error, f"a step did not end within {self._step_s:g} s") from None
        if answer[:1] != bytes([DONE]):
            self.close()
            raise BackendError(f"the Edge TPU failed: {explain(answer[1:].decode(errors='replace'))}")
        wanted = [*self._states, *(tensor for _, tensor in self._heads)]
        found = split(answer[1:], [((*rows, t.shape[-1]), t.dtype) for t in wanted])
        for array, after in zip(state, found, strict=False):
            array[...] = after
        names = [name for name, _ in self._heads]
        return dict(zip(names, found[len(self._states) :], strict=True))

    def _lost(self, error: Exception, late: str) -> BackendError:
        """What to say of a process that is gone, or that has to be ended."""
        if isinstance(error, Gone):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
        why = late if self._process.poll() is None else _ending(self._process.returncode)
        self._errors.seek(0)
        last = self._errors.read()[-_LAST_BYTES:].decode(errors="replace").strip().splitlines()
        self.close()
        said = f"{why}: {last[-1].strip()}" if last else why
        return BackendError(f"the Edge TPU is lost: {explain(said)}")


def _start(command: Sequence[str]) -> tuple[IO[bytes], subprocess.Popen[bytes]]:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
    try:
        return errors, subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
        )
    except OSError:
        errors.close()
        raise


def _number(pipe: IO[bytes] | None) -> int:
    if pipe is None:  # pragma: no cover - both are asked for
        raise ValueError("no pipe")
    return pipe.fileno()


def _ending(code: int) -> str:
    """How the process ended, for people."""
    try:
        return f"its process ended ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"
    except ValueError:
        return f"its process ended (signal {-code})"


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """End the process: by closing its pipe, which it waits for, else by force."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    errors.close()
