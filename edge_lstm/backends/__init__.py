"""The only package that imports an interpreter, and the kernel for boards that have none."""

from __future__ import annotations

from edge_lstm.backends.choice import BACKENDS, Selected, load_backend, select_backend, step_us

__all__ = ["BACKENDS", "Selected", "load_backend", "select_backend", "step_us"]
