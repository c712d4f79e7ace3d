"""Stands in for the process that holds the Edge TPU: the real one, with the CPU behind it and a fault in it.

``process.py FAULT STEP``: what happens at the STEPth step, counted from 0. The library's last
words are those of google-coral/edgetpu #494.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_lstm.backends import edgetpu_process
from edge_lstm.backends.edgetpu_wire import Begin
from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import EDGETPU_MODEL, Bundle
from edge_lstm.core.backend import Backend, TensorArray

LAST_WORDS = (
    "F driver/usb/usb_driver.cc:802] [0-0] bulk out for header failed. Abort."
    " Unknown: USB transfer error 1 [LibUsbDataOutCallback]\n"
)


class Faulty:
    """A backend that computes as the CPU does, until it does not."""

    name = "stand-in"

    def __init__(self, backend: Backend, fault: str, at: int) -> None:
        self._backend, self._fault, self._at = backend, fault, at

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """As the CPU, or not."""
        said = self._backend.step(frame, state)
        self._at -= 1
        if self._at < 0:
            self._fail(state)
        return said

    def _fail(self, state: Sequence[TensorArray]) -> None:
        match self._fault:
            case "error":
                raise RuntimeError("Failed to execute request. Could not map pages")
            case "abort":
                sys.stderr.write(LAST_WORDS)
                sys.stderr.flush()
                os.abort()
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                time.sleep(600)
            case "slow":
                time.sleep(0.005)
            case "wrong":
                state[0][...] = 77
            case _:
                pass


def main() -> None:
    """Serve, with a fault."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fault, at = sys.argv[1], int(sys.argv[2])

    def load(begin: Begin) -> tuple[Backend, str]:
        if fault == "begin-hangs":
            time.sleep(600)
        bundle = Bundle(Path("bundle"), "", begin.manifest, {EDGETPU_MODEL: begin.model})
        return Faulty(LiteRtBackend(bundle, model=EDGETPU_MODEL), fault, at), "RuntimeVersion(14)"

    edgetpu_process.main(load)


if __name__ == "__main__":
    main()
