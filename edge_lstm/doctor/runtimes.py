"""Which backends run here, how exactly and how fast; one that dies is a line of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edge_lstm.backends import BACKENDS, step_us
from edge_lstm.backends.installed import installed, load_problem
from edge_lstm.bundle import Bundle, open_bundle
from edge_lstm.contracts.config import BackendChoice
from edge_lstm.doctor.finding import Finding, fail, info, ok, warn
from edge_lstm.doctor.isolate import Died, isolated
from edge_lstm.errors import BackendError, OperatorError
from edge_lstm.selftest import selftest

__all__ = ["backends", "interpreters"]

_LONG_S = 60.0
_ADVICE = "pip install ai-edge-litert (on 32-bit ARM with Python 3.11: tflite-runtime==2.14.0 'numpy<2')"


def interpreters() -> list[Finding]:
    """TFLite interpreters that are installed, each imported in a process of its own."""
    found = [_interpreter(package, version) for package, version in installed().items()]
    return found or [info("interpreter", "none is installed: the reference kernel does the work", _ADVICE)]


def _interpreter(package: str, version: str) -> Finding:
    name = f"{package} {version}"
    fix = f"install another version of {package}, or set backend: reference"
    try:
        problem = str(isolated(lambda: load_problem(package), _LONG_S))
    except Died as death:  # as would the daemon
        return fail("interpreter", f"{name} cannot be loaded: {death.why}", fix)
    if not problem:
        return ok("interpreter", f"{name} can be loaded")
    if "numpy" in problem.lower():
        fix = f"{package} was built for another NumPy: pip install 'numpy<2'"
    return warn("interpreter", f"{name} cannot be loaded: {problem}", fix)


def backends(path: Path | None, choice: BackendChoice = "auto") -> list[Finding]:
    """Every backend with a bundle's golden vectors, and its time a step.

    What the daemon would take must work; what goes wrong with another one is a warning. An Edge
    TPU that was chosen and cannot be used is one too: the daemon then runs on the CPU, with health
    ``degraded`` (`edge_lstm.daemon.serve`).

    Args:
        path: The bundle, or ``None`` when none is given.
        choice: The configuration's ``backend``.
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
    trials = {name: _tried(bundle, name) for name in BACKENDS}
    return _findings(trials, choice)


class _Trial(msgspec.Struct, frozen=True):
    """What came of a backend.

    Attributes:
        fact: What was found.
        absent: Whether it is not available here, which is no fault unless it was chosen.
        good: Whether the golden vectors came out.
        fix: What to do about it.
    """

    fact: str
    absent: bool = False
    good: bool = False
    fix: str = "install another version of its library, or set backend: reference"


def _findings(trials: Mapping[str, _Trial], choice: BackendChoice) -> list[Finding]:
    """A line a backend; the CPU's must be right beside an Edge TPU too, since it takes over."""
    cpu, tpu = str(choice), trials["edgetpu"]
    if choice in ("auto", "edgetpu"):  # the first that is there, as `edge_lstm.backends.select_backend`
        # takes it; the reference kernel comes before the Edge TPU and is always there
        cpu = next(name for name, trial in trials.items() if not trial.absent)
    good = choice == "edgetpu" and trials[cpu].good
    taken = "edgetpu" if good and tpu.good else cpu
    found = {name: _backend(trial, taken=name == taken) for name, trial in trials.items()}
    if good and not tpu.good:
        fact = f"{tpu.fact} (the daemon would run on {cpu}, with health degraded)"
        found["edgetpu"] = warn("backend", fact, tpu.fix)
    return list(found.values())


def _backend(trial: _Trial, *, taken: bool) -> Finding:
    if trial.good:
        return ok("backend", f"{trial.fact}{' (what the daemon takes)' if taken else ''}")
    if taken:
        return fail("backend", f"{trial.fact} (and the daemon would take it)", trial.fix)
    return (info if trial.absent else warn)("backend", trial.fact, trial.fix)


def _tried(bundle: Bundle, name: str) -> _Trial:
    try:
        return msgspec.convert(isolated(lambda: msgspec.to_builtins(_run(bundle, name)), _LONG_S), _Trial)
    except Died as death:
        return _Trial(f"{name}: {death.why}")


def _run(bundle: Bundle, name: str) -> _Trial:
    """Make it, replay the golden vectors, take its time; or why not."""
    try:
        backend = BACKENDS[name](bundle)
        result = selftest(bundle, backend)
    except OperatorError as error:
        got = f": {error.got}" if error.got else ""
        return _Trial(
            f"{name}: {error.what}{got}", absent=isinstance(error, BackendError), fix=error.do or ""
        )
    except (ValueError, RuntimeError) as error:  # what interpreters raise from invoke
        return _Trial(f"{name}: {' '.join(str(error).split())}")
    off = f"golden vectors {result.greatest:g} steps off, {result.tolerance} allowed"
    return _Trial(f"{name}: {step_us(bundle, backend):.0f} µs a step, {off}", good=result.passed)
