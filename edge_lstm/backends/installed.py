"""Which TFLite interpreters are installed, and whether they can be loaded at all."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version

__all__ = ["installed", "load_problem"]

_MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


def installed() -> dict[str, str]:
    """Package to version, of those that pip knows."""
    found = {}
    for package in _MODULES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load_problem(package: str) -> str:
    """Why a package cannot be imported, in one line; empty when it can.

    A native library may end the process instead; whoever wants to live calls this in another one.
    """
    try:
        importlib.import_module(_MODULES[package])
    except ImportError as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""
