"""One small bundle of every kind of network, made by the trainer, kept until the trainer changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.boards.paths import BUNDLES, ROOT

__all__ = ["HISTORY", "all_bundles"]

HISTORY = BUNDLES / "history.csv"
_SETTINGS = """\
int8:
  steps: 1000
  least_rank_correlation: -1
  most_changed_verdicts: 1
  most_vus_pr_lost: 1
  most_saturated: 1
  most_error_growth: 1000
  tuning_updates: 0
"""
"""How good these small networks are does not matter here: what counts is that all boards compute the same."""

_ATTENTION = "model:\n  attention: 4\n  linear: true\n"
_KINDS = {
    "lstm": (),
    "gru": ("--cell", "gru"),
    "peephole": ("--cell", "peephole"),
    "cifg": ("--cell", "cifg"),
    "layers": ("--cell", "gru", "--layers", "2", "--mode", "reconstruction"),
    "forecast": ("--mode", "forecast"),
    "attention": (),
}


def all_bundles(given: Sequence[Path] = ()) -> list[Path]:
    """The bundles to try: those given, or one of every kind.

    Training needs the extra ``train`` and takes about twenty seconds a bundle, once.
    """
    if given:
        return [path.resolve() for path in given]
    BUNDLES.mkdir(parents=True, exist_ok=True)
    stamp, digest = BUNDLES / "trainer.sha256", _digest()
    current = stamp.exists() and stamp.read_text(encoding="utf-8") == digest
    if not current or not HISTORY.exists():
        stamp.unlink(missing_ok=True)
        _edge_lstm("simulate", "--history", "1500", "--out", str(HISTORY))
    for kind, options in _KINDS.items():
        out = BUNDLES / f"{kind}.elb"
        if not current or not out.exists():
            print(f"training {out.name}", file=sys.stderr, flush=True)
            settings = BUNDLES / f"{kind}.yaml"
            settings.write_text(_SETTINGS + (_ATTENTION if kind == "attention" else ""), encoding="utf-8")
            common = ("--config", str(settings), "--updates", "120")
            _edge_lstm("train", str(HISTORY), "--out", str(out), *common, *options)
    stamp.write_text(digest, encoding="utf-8")
    return [BUNDLES / f"{kind}.elb" for kind in _KINDS]


def _digest() -> str:
    """SHA-256 over everything that a bundle's content depends on."""
    total = hashlib.sha256()
    for path in sorted([*(ROOT / "trainer").rglob("*.py"), *(ROOT / "edge_lstm").rglob("*.py")]):
        total.update(path.read_bytes())
    return total.hexdigest()


def _edge_lstm(*arguments: str) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "edge_lstm", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
