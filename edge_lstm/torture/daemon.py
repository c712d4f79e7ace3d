"""The daemon as it is, with the witness in place of the interpreter: ``python -m edge_lstm.torture.daemon``.

Everything but the model is what ``edge-lstm run`` runs. What weakens it on purpose, so that
the harness can be seen to fail, is reached from here only.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_lstm import daemon
from edge_lstm.backends import Selected
from edge_lstm.config import load_config
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.errors import OperatorError
from edge_lstm.io.store import Store
from edge_lstm.logs import setup_logs
from edge_lstm.reload import Prepared
from edge_lstm.torture.lying_clock import follow
from edge_lstm.torture.weaken import WEAKNESSES, replace, weaken
from edge_lstm.torture.witness import WitnessBackend, witness_bundle

__all__ = ["main"]

_SNAPSHOT_S, _HEALTH_S, _SEGMENT_BYTES = 0.3, 0.1, 32_768
"""Checkpoints, health and new segments of the journal come far more often than any site may have them: a
fault must have the chance to meet them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one daemon until it is stopped, or worse."""
    parser = argparse.ArgumentParser(prog="python -m edge_lstm.torture.daemon")
    parser.add_argument("config", type=Path)
    parser.add_argument("--real", action="store_true", help="run the configuration's bundle, not the witness")
    parser.add_argument("--clock", type=Path, help="a file with the error of this machine's clock")
    parser.add_argument("--weaken", choices=sorted(WEAKNESSES), help="leave a safeguard out")
    said = parser.parse_args(argv)
    replace(daemon, "Store", functools.partial(Store, segment_bytes=_SEGMENT_BYTES))
    if said.weaken:
        weaken(said.weaken)
    if said.clock:
        follow(said.clock)

    def load() -> DeviceConfig:
        return _hastened(load_config(said.config, environ={}))

    setup_logs(load().log_level)
    try:
        if said.real:
            daemon.serve(load, environ=os.environ)
        else:
            daemon.serve(load, environ=os.environ, prepare=_witness)
    except OperatorError as error:
        print(f"edge-lstm: {error}", file=sys.stderr)  # noqa: T201 - a program's last words
        return 1
    return 0


def _witness(config: DeviceConfig) -> Prepared:
    return Prepared(config, witness_bundle(), Selected(WitnessBackend(), "the witness of edge-lstm torture"))


def _hastened(config: DeviceConfig) -> DeviceConfig:
    change = msgspec.structs.replace
    snapshot = change(config.snapshot, interval_s=_SNAPSHOT_S)
    publish = change(config.publish, health_interval_s=_HEALTH_S)
    return change(config, snapshot=snapshot, publish=publish)


if __name__ == "__main__":
    sys.exit(main())
