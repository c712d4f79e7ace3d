"""``python -m edge_lstm``: the command line without its script."""

import sys

from edge_lstm.cli import run_main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(run_main())
