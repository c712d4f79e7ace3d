"""``make test-arm64``: selftest, replay and daemon on emulated boards, held against this machine.

Every board gets the wheel of this checkout by the pip of its own system. There, every
backend replays the golden vectors of every bundle, ``doctor`` looks at the board, a recording with a fault is
replayed, and the daemon runs on readings from a broker; scores and alerts are compared with
those that this machine finds in the same readings.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.boards.broker import both_daemons
from tests.boards.bundles import all_bundles
from tests.boards.compare import Agreement, agreement
from tests.boards.emulate import Emulated
from tests.boards.machines import BOARDS, Board
from tests.boards.paths import CACHE, ROOT, last_line, run, wheel
from tests.boards.runtimes import verdict

__all__ = ["main"]

_FAULTY = CACHE / "faulty.csv"
_FAULT = "blocked_valve@400s:for=150s"
_READINGS = 900
_ON_BOARD = ROOT / "tests" / "boards" / "on_board.py"


class Failure(Exception):  # noqa: N818 - a row of the table, not an error
    """A check that did not come out; its text is the reason."""


def _selftests(board: Emulated, bundles: list[Path]) -> Iterator[str]:
    """Greatest difference to the golden vectors, for each backend."""
    for name in _backends(board):
        off = []
        for bundle in bundles:
            done = board.run(["-m", "edge_lstm", "selftest", bundle, "--backend", name, "--json"])
            said = verdict(done.returncode, done.stdout, done.stderr)
            off.append(f"{said.text}{'' if said.passed else '!'}")
        facts = ", ".join(f"{bundle.stem} {one}" for bundle, one in zip(bundles, off, strict=True))
        if any(one.endswith("!") for one in off):
            raise Failure(f"{name}: {facts}")
        yield f"{name}: {facts}"


def _backends(board: Emulated) -> tuple[str, ...]:
    return ("litert", "reference") if board.board.interpreter else ("reference",)


def _batches(board: Emulated, bundles: list[Path]) -> Iterator[str]:
    """64 streams at once: the same states as here, on the interpreter that has the same kernels."""
    for name in _backends(board):
        line: list[str | Path] = [_ON_BOARD, "batch", bundles[0], name]
        there = board.run(line)
        if there.returncode:
            raise Failure(f"{name}: {last_line(there.stderr) or f'signal {-there.returncode}'}")
        here = run([sys.executable, *line], environ={"PYTHONPATH": str(ROOT)}).stdout.strip()
        same = here == there.stdout.strip()
        yield f"{name}, 64 streams at once: {'the states of' if same else 'other states than'} this machine"


def _replay(board: Emulated, bundles: list[Path]) -> Iterator[str]:
    """``edge-lstm replay`` where there is polars, else the same detector without it."""
    if board.board.polars:
        yield f"edge-lstm replay: {_replay_command(board, bundles[0])}"
    for name in _backends(board):
        line: list[str | Path] = [_ON_BOARD, "detect", bundles[0], _FAULTY, name]
        there = board.run(line)
        if there.returncode:
            raise Failure(f"detector on {name}: {last_line(there.stderr) or f'signal {-there.returncode}'}")
        here = run([sys.executable, *line], environ={"PYTHONPATH": str(ROOT)}).stdout
        (scores, alerts), (board_scores, board_alerts) = _split(here), _split(there.stdout)
        yield f"detector on {name}: {_agreed(agreement(scores, board_scores, alerts, board_alerts))}"


def _split(lines: str) -> tuple[dict[str, Any], list[Any]]:
    facts = [json.loads(line) for line in lines.splitlines()]
    scores = {str(fact["time_ns"]): fact for fact in facts if fact["kind"] == "Score"}
    return scores, [fact for fact in facts if fact["kind"] != "Score"]


def _agreed(found: Agreement) -> str:
    if not found.verdicts:
        raise Failure(str(found))
    return str(found)


def _replay_command(board: Emulated, bundle: Path) -> str:
    said = []
    for place in ("here", "board"):
        folder = CACHE / "replay" / board.name
        folder.mkdir(parents=True, exist_ok=True)
        scores, alerts = folder / f"{place}.csv", folder / f"{place}.jsonl"
        line: list[str | Path] = [
            "-m",
            "edge_lstm",
            "replay",
            _FAULTY,
            "--bundle",
            bundle,
            "--scores",
            scores,
            "--alerts",
            alerts,
        ]
        if place == "here":
            run([sys.executable, *line], environ={"PYTHONPATH": str(ROOT)})
        else:
            done = board.run(line)
            if done.returncode:
                raise Failure(last_line(done.stderr) or f"signal {-done.returncode}")
        with scores.open(encoding="utf-8", newline="") as file:
            rows = {row["time"]: {**row, "status": row["state"]} for row in csv.DictReader(file)}
        said.append((rows, [json.loads(one) for one in alerts.read_text(encoding="utf-8").splitlines()]))
    (here, alerts_here), (there, alerts_there) = said
    return _agreed(agreement(here, there, alerts_here, alerts_there))


def _daemon(board: Emulated, bundles: list[Path]) -> Iterator[str]:
    """Two daemons at one broker; and doctor, while they run."""
    said: list[dict[str, Any]] = []

    def doctor(config: Path) -> None:
        done = board.run(["-m", "edge_lstm", "doctor", "--config", config, "--json"])
        try:
            said.append(json.loads(done.stdout))
        except json.JSONDecodeError as error:
            raise Failure(f"doctor: {last_line(done.stderr)}") from error

    (here, alerts_here), (there, alerts_there) = both_daemons(board, bundles[0], doctor)
    yield f"daemon: {_agreed(agreement(here, there, alerts_here, alerts_there))}, {len(alerts_here)} alerts"
    failed = [one for one in said[0]["findings"] if one["status"] == "fail"]
    if failed:
        raise Failure(f"doctor: {failed}")
    told = {one["check"]: one["fact"] for one in said[0]["findings"]}
    yield f"doctor: {told['python']}; {told['cpu']}; {told['broker']}"


_Check = Callable[[Emulated, list[Path]], Iterator[str]]
_ALL: tuple[_Check, ...] = (_selftests, _batches, _replay, _daemon)


def main(argv: list[str]) -> int:
    """Print what each board did; 1 when something failed."""
    parser = argparse.ArgumentParser(prog="make test-arm64", description=__doc__)
    parser.add_argument("--board", action="append", choices=list(BOARDS), help="this one only; repeatable")
    parser.add_argument(
        "--litert",
        action="append",
        default=[],
        metavar="VERSION",
        help="pi4 with this one, golden vectors alone",
    )
    parser.add_argument("bundles", nargs="*", type=Path, help="bundles; none: one of every kind is trained")
    options = parser.parse_args(argv)
    CACHE.mkdir(exist_ok=True)
    bundles, built, failed = all_bundles(options.bundles), wheel("boards"), 0
    _simulate()
    boards: dict[str, tuple[Board, tuple[_Check, ...]]] = {
        name: (BOARDS[name], _ALL) for name in options.board or (() if options.litert else BOARDS)
    }
    for version in options.litert:
        pinned = BOARDS["pi4"]._replace(packages=(f"ai-edge-litert=={version}",), polars=False)
        boards[f"pi4-litert-{version}"] = pinned, (_selftests, _batches)
    for name, (machine, checks) in boards.items():
        began = time.monotonic()
        print(f"{name}: {machine.title}, {machine.cpu}", flush=True)
        try:
            board = Emulated(name, machine, built)
            print(f"  packages: {_packages(board)}", flush=True)
        except RuntimeError as error:
            print(f"  FAIL install: {error}", flush=True)
            failed += 1
            continue
        for check in checks:
            try:
                for line in check(board, bundles):
                    print(f"  {line}", flush=True)
            except (Failure, RuntimeError, ValueError) as error:
                print(f"  FAIL {check.__name__.strip('_')}: {error}", flush=True)
                failed += 1
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


def _packages(board: Emulated) -> str:
    """Versions of the interpreter and of NumPy, as the board's own Python sees them."""
    script = (
        "import importlib.metadata as m, platform\n"
        "names = ('numpy', 'ai-edge-litert', 'tflite-runtime', 'msgspec', 'polars')\n"
        "found = {d.metadata['Name'].lower(): d.version for d in reversed(list(m.distributions()))}\n"
        "print('Python', platform.python_version(), platform.machine(),"
        " *(f'{n} {found[n]}' for n in names if n in found))"
    )
    return board.run(["-c", script]).stdout.strip()


def _simulate() -> None:
    """A recording with a fault in it, of the pump that the bundles are trained on."""
    line = ["simulate", "--history", str(_READINGS), "--fault", _FAULT, "--seed", "1", "--out", str(_FAULTY)]
    run([sys.executable, "-m", "edge_lstm", *line], environ={"PYTHONPATH": str(ROOT)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
