"""The process that holds the Edge TPU: ``python -m edge_lstm.backends.edgetpu_process``.

Of its own, because the delegate's library ends the process it lives in: it aborts when a USB transfer
fails (google-coral/libedgetpu, driver/usb/usb_driver.cc, ``LOG(FATAL)``), crashes with an interpreter of
another TensorFlow version (google-coral/edgetpu #731), and can wait for ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_lstm.backends.edgetpu_wire import DONE, FAILED, Began, Begin, Gone, heads_of, receive, send, split
from edge_lstm.backends.litert import LiteRtBackend, interpreter_module
from edge_lstm.bundle import EDGETPU_MODEL, Bundle
from edge_lstm.core.backend import Backend
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import OperatorError

__all__ = ["load", "main", "serve"]

# What a shared library that is missing, of another kind or without a device ends in.
_UNUSABLE = (OSError, ValueError, RuntimeError, AttributeError)


Make = Callable[[Begin], tuple[Backend, str]]
"""Makes what runs the network, and says of which version it is."""


def load(begin: Begin) -> tuple[Backend, str]:
    """The network on the Edge TPU, and what the library says of its version.

    Raises:
        OperatorError: The interpreter refuses the model, or it has other tensors.
        OSError, ValueError, RuntimeError, AttributeError: The library cannot be used.
    """
    delegate = interpreter_module().load_delegate(begin.library)
    bundle = Bundle(Path("bundle"), "", begin.manifest, {EDGETPU_MODEL: begin.model})
    return LiteRtBackend(bundle, model=EDGETPU_MODEL, delegates=(delegate,)), _version(begin.library)


def _version(library: str) -> str:
    """``edgetpu_version()`` of the library's C interface (tflite/public/edgetpu_c.h)."""
    function: Any = ctypes.CDLL(library).edgetpu_version
    function.restype = ctypes.c_char_p
    return str(function().decode(errors="replace"))


def serve(take: int, give: int, make: Make) -> None:
    """Answer steps until the other side is gone.

    Args:
        take: Pipe to read from.
        give: Pipe to write to.
        make: What makes the backend.
    """
    begin = msgspec.msgpack.decode(receive(take), type=Begin)
    try:
        backend, runtime = make(begin)
    except (*_UNUSABLE, OperatorError) as error:
        send(give, [msgspec.msgpack.encode(Began(str(error) or type(error).__name__))])
        return
    send(give, [msgspec.msgpack.encode(Began("", runtime))])
    _answer(take, give, begin, backend)


def _answer(take: int, give: int, begin: Begin, backend: Backend) -> None:
    manifest = begin.manifest
    frame = next(tensor for tensor in manifest.inputs if tensor.name == manifest.input)
    tensors = [frame, *(before for before, _ in state_tensors(manifest))]
    width = sum(int(t.shape[-1]) * np.dtype(t.dtype).itemsize for t in tensors)
    heads = heads_of(manifest)
    while True:
        content = receive(take)
        rows = len(content) // width
        frames, *states = split(content, [((rows, t.shape[-1]), t.dtype) for t in tensors])
        states = [state.copy() for state in states]
        said: dict[str, list[bytes]] = {name: [] for name in heads}
        try:
            for row in range(rows):
                # One stream at a time: the compiled network has a fixed size.
                out = backend.step(frames[row], [state[row] for state in states])
                for name in heads:
                    said[name].append(out[name].tobytes())
        except (RuntimeError, ValueError) as error:  # what an interpreter raises from invoke
            send(give, [bytes([FAILED]), str(error).encode()])
            continue
        parts = [bytes([DONE]), *(state.tobytes() for state in states)]
        send(give, [*parts, *(b"".join(said[name]) for name in heads)])


def main(make: Make = load) -> None:
    """Serve on standard input and output; whatever a library prints goes to standard error.

    Args:
        make: What makes the backend; tests put faults in here.
    """
    # The daemon ends this process by closing the pipe: its own last steps must still find it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    give = os.dup(1)
    os.dup2(2, 1)
    try:
        serve(0, give, make)
    except Gone:
        return


if __name__ == "__main__":
    main()
