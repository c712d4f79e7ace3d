"""Runs the nemeses with their controls, and says what came of it: the table, and the page of docs."""

from __future__ import annotations

import platform
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_lstm import __version__
from edge_lstm.torture.broker import mosquitto_version
from edge_lstm.torture.registry import NEMESES, Control
from edge_lstm.torture.setup import Setup
from edge_lstm.torture.verdict import Verdict

__all__ = ["Row", "facts", "page", "prove", "table"]

_INTRODUCTION = (
    "What was done to daemons, and what became of their readings, states and alerts; "
    "[the guide](howto-torture.md) explains every column and what this cannot show."
)
_ENOUGH = 20
_PACKAGES = ("numpy", "msgspec", "paho-mqtt", "mqtt5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one nemesis.

    Attributes:
        name: Its name.
        verdict: What became of the daemons as they are.
        controls: Each control's name to what became of the weakened daemons.
        seconds: How long all of it took.
    """

    name: str
    verdict: Verdict
    controls: dict[str, Verdict]
    seconds: float

    @property
    def proven(self) -> bool:
        """Whether everything held, and every control failed."""
        return self.verdict.holds and all(not one.holds for one in self.controls.values())

    def plus(self, other: Row) -> Row:
        """Both together; the controls are those of this one."""
        verdict = Verdict()
        verdict += self.verdict
        verdict += other.verdict
        return replace(self, verdict=verdict, seconds=self.seconds + other.seconds)

    def complaints(self) -> list[str]:
        """What is not as it should be, one line each."""
        said = [] if self.verdict.holds else [f"{self.name}: {self.verdict.complaint()}"]
        idle = [name for name, one in self.controls.items() if one.holds]
        return said + [f"{self.name}: the control '{name}' found no fault" for name in idle]


def prove(name: str, setup: Setup, *, controls: bool = True) -> Row:
    """Run one nemesis, and then its controls.

    Args:
        name: A key of `NEMESES`.
        setup: How.
        controls: Whether the controls are run.
    """
    begin, nemesis = time.monotonic(), NEMESES[name]
    verdict = nemesis.run(setup.below(name))
    done = {one.name: _control(name, one, setup) for one in (nemesis.controls if controls else ())}
    return Row(name=name, verdict=verdict, controls=done, seconds=time.monotonic() - begin)


def _control(name: str, control: Control, setup: Setup) -> Verdict:
    setup.tell(f"control: {control.name}")
    weak = replace(
        setup.below(f"{name}-without-{control.weakness or 'replay'}"),
        weakness=control.weakness,
        replay=control.replay,
        forgetful=control.forgetful,
        bare=control.bare,
        quiet=control.quiet,
        trials=control.trials,
        patience_s=min(setup.patience_s, 3.0),
    )
    return NEMESES[name].run(weak)


# ---------------------------------------------------------------------------------- the table

_HEAD = (
    "nemesis",
    "trials",
    "readings",
    "once",
    "lost",
    "double",
    "streams exact",
    "alerts delivered",
    "controls",
    "drain s",
    "s",
)


def _cells(row: Row) -> tuple[str, ...]:
    one = row.verdict
    lost = f"{one.lost - one.forgiven}" + (f" (+{one.forgiven} by the broker)" if one.forgiven else "")
    failed = sum(not control.holds for control in row.controls.values())
    controls = f"{failed} of {len(row.controls)} failed" if row.controls else "not run"
    return (
        row.name,
        f"{one.trials:,}",
        f"{one.readings:,}",
        f"{one.once:,}",
        lost,
        f"{one.double:,}",
        f"{one.exact} of {one.streams}",
        f"{one.heard:,} of {one.due:,}",
        controls,
        f"{one.drain_s:.1f}",
        f"{row.seconds:.0f}",
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as a table of Markdown, with its columns lined up."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEAD))]

    def line(parts: Sequence[str]) -> str:
        return f"| {' | '.join(part.ljust(width) for part, width in zip(parts, widths, strict=True))} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([line(cells[0]), rule, *(line(one) for one in cells[1:])])


# ---------------------------------------------------------------------------------- the page


def page(rows: Sequence[Row], *, seed: str, what: str, folder: Path, command: str) -> str:
    """docs/proof.md.

    Args:
        rows: What came of it.
        seed: Where all choices came from.
        what: What was under torture.
        folder: Where the states were.
        command: What repeats it.
    """
    complaints = [line for row in rows for line in row.complaints()]
    return "\n".join(
        [
            f"<!-- Written by `{command}`. -->",
            "",
            "# Proof: no reading lost, none scored twice",
            "",
            _INTRODUCTION,
            "",
            table(rows),
            "",
            "## What did not hold",
            "",
            *([f"- {line}" for line in complaints] or ["Nothing."]),
            "",
            "## Controls",
            "",
            "Each leaves one safeguard out; the same harness must then find fault.",
            "",
            *_control_lines(rows),
            "",
            "## How sure",
            "",
            *_sure(rows),
            "",
            "## Where and with what",
            "",
            *[f"- {name}: {value}" for name, value in facts(seed=seed, what=what, folder=folder).items()],
            "",
        ]
    )


def _control_lines(rows: Sequence[Row]) -> list[str]:
    head = ["| nemesis | left out | trials | what the harness found |", "|---|---|---|---|"]
    return head + [
        f"| {row.name} | {name} | {one.trials} | {one.complaint() or 'no fault: the control is worthless'} |"
        for row in rows
        for name, one in row.controls.items()
    ]


def _sure(rows: Sequence[Row]) -> list[str]:
    """The rule of three (Hanley and Lippman-Hand 1983): N trials without a failure."""
    clean = [row for row in rows if row.verdict.holds and row.verdict.trials >= _ENOUGH]
    return [
        "After N trials without a failure, a trial fails with a probability below 3/N (95 %).",
        "",
        "| nemesis | below |",
        "|---|---|",
        *[f"| {row.name} | {300 / row.verdict.trials:.2f} % |" for row in clean],
    ]


def facts(*, seed: str, what: str, folder: Path) -> dict[str, str]:
    """What a reader needs to judge and to repeat it."""
    machine = platform.uname()
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seed": seed,
        "under torture": what,
        "edge-lstm": __version__,
        "Mosquitto": mosquitto_version(),
        "Python": f"{platform.python_version()}, {', '.join(_versions())}",
        "SQLite": sqlite3.sqlite_version,
        "kernel": f"{machine.system} {machine.release}",
        "machine": f"{_processor()}, {_cores()} cores, {machine.machine}",
        "file system": _file_system(folder),
    }


def _versions() -> list[str]:
    def one(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"no {name}"

    return [one(name) for name in _PACKAGES]


def _processor() -> str:
    lines = _lines(Path("/proc/cpuinfo"))
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def _cores() -> int:
    return sum(line.startswith("processor") for line in _lines(Path("/proc/cpuinfo")))


def _file_system(folder: Path) -> str:
    """Type and device of the mount that a folder is on."""
    mounts = [line.split() for line in _lines(Path("/proc/mounts"))]
    there = folder.resolve()
    over = [parts for parts in mounts if there.is_relative_to(parts[1])]
    best = max(over, key=lambda parts: len(parts[1]), default=None)
    return "not known" if best is None else f"{best[2]} on {best[0]} ({best[3]})"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError:
        return []
