"""Which backends run here, how exactly and how fast; one that dies is a line of the report."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_lstm.backends import BACKENDS, step_us
from edge_lstm.bundle import Bundle, open_bundle
from edge_lstm.doctor.finding import Finding, fail, info, ok, warn
from edge_lstm.doctor.isolate import Died, isolated
from edge_lstm.errors import OperatorError
from edge_lstm.selftest import selftest

__all__ = ["backends", "interpreters"]

_LONG_S = 60.0
_INTERPRETERS = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
)
_ADVICE = "pip install ai-edge-litert (on 32-bit ARM with Python 3.11: tflite-runtime==2.14.0 'numpy<2')"


def interpreters() -> list[Finding]:
    """TFLite interpreters that are installed, each imported in a process of its own."""
    found = [_interpreter(package, module) for package, module in _INTERPRETERS if _version(package)]
    if not found:
        return [warn("interpreter", "none is installed: the reference kernel does the work", _ADVICE)]
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _interpreter(package: str, module: str) -> Finding:
    name = f"{package} {_version(package)}"

    def load() -> str:
        try:
            importlib.import_module(module)
        except ImportError as error:
            return " ".join(str(error).split())
        return ""

    fix = f"install another version of {package}, or choose the backend reference"
    try:
        problem = isolated(load, _LONG_S)
    except Died as death:
        return fail("interpreter", f"{name} cannot be loaded: {death.why}", fix)
    if not problem:
        return ok("interpreter", f"{name} can be loaded")
    if "numpy" in f"{problem}".lower() or "_ARRAY_API" in f"{problem}":
        fix = f"{package} was built for another NumPy: pip install 'numpy<2'"
    return fail("interpreter", f"{name} cannot be loaded: {problem}", fix)


def backends(path: Path | None) -> list[Finding]:
    """Every backend with a bundle's golden vectors, and its time a step.

    Args:
        path: The bundle, or ``None`` when none is given.
    """
    if path is None:
        fix = "edge-lstm doctor --bundle model.elb, which runs its golden vectors on every backend"
        return [info("backend", f"not tried: {', '.join(BACKENDS)}", fix)]
    try:
        bundle = open_bundle(path)
    except OperatorError as error:
        return [fail("bundle", str(error), "build or copy the bundle again")]
    if not bundle.manifest.input:
        return [ok("backend", f"{path} has no network: NumPy is enough")]
    found = [_backend(bundle, name) for name in BACKENDS]
    if any(one.status == "ok" for one in found):
        return found
    return [*found, fail("backend", "none runs this bundle", _ADVICE)]


def _backend(bundle: Bundle, name: str) -> Finding:
    try:
        said: Any = isolated(lambda: _trial(bundle, name), _LONG_S)
    except Died as death:
        fix = "install another version of its library, or set backend: reference"
        return warn("backend", f"{name}: {death.why}", fix)
    if "problem" in said:
        return info("backend", f"{name}: {said['problem']}", said["fix"])
    fact = f"{name}: {said['us']:.0f} µs a step, golden vectors {said['greatest']:g} steps off"
    if not said["passed"]:
        fix = "install another version of its library, or set backend: reference"
        return warn("backend", f"{fact}, more than {said['tolerance']} allowed", fix)
    return ok("backend", f"{fact} (allowed {said['tolerance']})")


def _trial(bundle: Bundle, name: str) -> dict[str, object]:
    """Make it, replay the golden vectors, take its time; or why not."""
    try:
        backend = BACKENDS[name](bundle)
        result = selftest(bundle, backend)
    except OperatorError as error:
        got = f": {error.got}" if error.got else ""
        return {"problem": f"{error.what}{got}", "fix": error.do or ""}
    except (ValueError, RuntimeError) as error:  # what interpreters raise from invoke
        return {"problem": " ".join(str(error).split()), "fix": "install another version of its library"}
    return {
        "us": step_us(bundle, backend),
        "greatest": result.greatest,
        "passed": result.passed,
        "tolerance": result.tolerance,
    }
