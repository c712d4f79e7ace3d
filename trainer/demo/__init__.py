"""``edge-lstm demo``: the whole line on one machine."""

from __future__ import annotations

from trainer.demo.command import demo

__all__ = ["demo"]
