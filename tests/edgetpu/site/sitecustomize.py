"""On a daemon's PYTHONPATH it puts the stand-in in the place of the process that holds the Edge TPU."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if (fault := os.environ.get("STAND_IN_TPU")) is not None:
    from edge_lstm.backends import edgetpu

    edgetpu.COMMAND = (sys.executable, str(Path(__file__).parents[1] / "process.py"), fault, "0")
