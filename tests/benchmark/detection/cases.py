"""The recordings as cases: a history of normal data, and recordings with labels to test on.

The protocols are those of the README beside the data. Rows get times that are 60 s apart (a
made-up period; the sets' own are irregular or made up), segments of a history lie 400 days
apart. Only `nab` and `operation` keep the times of their files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.times import NS

__all__ = ["HISTORY_ROWS", "SETS", "Case", "Stretch", "cases"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PERIOD_S = 60
HISTORY_ROWS = 400
"""SKAB's official protocol learns from the first rows of each experiment."""
DEPLOYED_ROWS = 300
START_NS = 1_735_689_600 * NS  # 2025-01-01
APART_NS = 400 * 86_400 * NS
NAB_START = "2013-12-09 00:00:00"
"""The first labelled window of machine temperature begins on 2013-12-10 at 06:25."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """One unbroken stretch of readings.

    Attributes:
        name: Where it is from.
        asset: The machine; empty where it has no scaling of its own.
        time_ns: (rows,) increasing.
        values: (rows, channels).
        labels: (rows,) True where anomalous; all False in a history.
    """

    name: str
    asset: str
    time_ns: Ints
    values: Floats
    labels: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One history and what is tested with it.

    Attributes:
        set: The data set and protocol, a key of `SETS`.
        name: Unique in its set.
        channels: Names, the order of all values.
        history: Normal stretches, in order of time.
        tests: Recordings with labels; each is met with a fresh state.
        period_s: Time between rows, seconds.
    """

    set: str
    name: str
    channels: tuple[str, ...]
    history: tuple[Stretch, ...]
    tests: tuple[Stretch, ...]
    period_s: int = PERIOD_S

    @property
    def rows(self) -> int:
        """Rows of the history."""
        return sum(len(one.values) for one in self.history)


def cases(data: Path, which: str) -> list[Case]:
    """All cases of a set.

    Args:
        data: The folder with the recordings.
        which: A key of `SETS`.
    """
    return list(SETS[which](data))


def _stretch(
    name: str, values: Floats, place: int, *, asset: str = "", labels: Bools | None = None
) -> Stretch:
    """A stretch with made-up times, the ``place``-th of its case."""
    rows = len(values)
    time_ns = START_NS + place * APART_NS + np.arange(rows) * (PERIOD_S * NS)
    marks = np.zeros(rows, np.bool_) if labels is None else labels
    return Stretch(name, asset, time_ns, values.astype(np.float64), marks)


def _numbers(table: pl.DataFrame, channels: list[str]) -> Floats:
    return table.select(pl.col(channels).cast(pl.Float64)).to_numpy()


def _matrices(data: Path, which: str) -> Iterator[Case]:
    """SMD, ASD: a machine a pair of files."""
    for path in sorted((data / which).glob("*_train.parquet")):
        name = path.stem.removesuffix("_train")
        train, test = pl.read_parquet(path), pl.read_parquet(path.with_name(f"{name}_test.parquet"))
        channels = [column for column in train.columns if column != "time"]
        labels = test["label"].to_numpy() > 0
        yield Case(
            which,
            name,
            tuple(channels),
            (_stretch("history", _numbers(train, channels), 0),),
            (_stretch(name, _numbers(test, channels), 1, labels=labels),),
        )


def _experiments(data: Path) -> Iterator[tuple[str, list[str], Floats, Bools]]:
    """SKAB: name, channels, values and labels of each experiment."""
    for group in ("other", "valve1", "valve2"):
        for path in sorted((data / "skab" / group).glob("*.csv")):
            table = pl.read_csv(path, separator=";")
            channels = [c for c in table.columns if c not in ("datetime", "anomaly", "changepoint")]
            labels = table["anomaly"].to_numpy() > 0
            yield f"{group}-{path.stem}", channels, _numbers(table, channels), labels


def _skab(data: Path) -> Iterator[Case]:
    """Official: a model an experiment, from its first 400 rows."""
    for name, channels, values, labels in _experiments(data):
        history = _stretch("history", values[:HISTORY_ROWS], 0)
        test = _stretch(name, values[HISTORY_ROWS:], 1, labels=labels[HISTORY_ROWS:])
        yield Case("skab", name, tuple(channels), (history,), (test,))


def _skab_deployed(data: Path) -> Iterator[Case]:
    """One model for all: a long normal recording, and the start of each experiment for its scaling."""
    experiments = list(_experiments(data))
    channels = experiments[0][1]
    normal = pl.read_csv(data / "skab" / "anomaly-free" / "anomaly-free.csv", separator=";")
    history = [_stretch("anomaly-free", _numbers(normal, channels), 0, asset="anomaly-free")]
    tests = []
    for name, _, values, labels in experiments:
        place = len(history)
        history.append(_stretch(name, values[:DEPLOYED_ROWS], place, asset=name))
        rest = slice(HISTORY_ROWS, None)
        tests.append(_stretch(name, values[rest], 100, asset=name, labels=labels[rest]))
    yield Case("skab-deployed", "all", tuple(channels), tuple(history), tuple(tests))


def _cmapss(data: Path) -> Iterator[Case]:
    """Engines 1 to 30 give the first 50 cycles each; 31 to 50 run to failure, the last 30 anomalous."""
    table = pl.read_csv(data / "cmapss" / "fd001_engines_01_50.csv", infer_schema_length=None)
    channels = [c for c in table.columns[5:] if float(np.std(table[c].to_numpy())) > 1e-6]
    units = table.group_by("unit", maintain_order=True)
    engines = [(str(unit), _numbers(one, channels)) for (unit,), one in units]
    history = [_stretch(f"engine {n}", values[:50], i) for i, (n, values) in enumerate(engines[:30])]
    tests = [
        _stretch(f"engine {n}", values, 100, labels=np.arange(len(values)) >= len(values) - 30)
        for n, values in engines[30:]
    ]
    yield Case("cmapss", "FD001", tuple(channels), tuple(history), tuple(tests))


def _bearing(data: Path, name: str) -> tuple[list[str], Ints, Floats]:
    """IMS: channels, times as written (taken as UTC) and values."""
    table = pl.read_csv(data / "ims_bearing" / f"{name}.csv")
    channels = table.columns[1:]
    return channels, _ns(table[table.columns[0]]), _numbers(table, channels)


def _ims(data: Path) -> Iterator[Case]:
    """The first snapshots of a test are normal, the last ones anomalous."""
    for name, first, last in (("test_1", 700, 300), ("test_2", 300, 250)):
        channels, _, values = _bearing(data, name)
        labels = np.arange(len(values)) >= len(values) - last
        history = _stretch("history", values[:first], 0)
        test = _stretch(name, values[first:], 1, labels=labels[first:])
        yield Case("ims", name, tuple(channels), (history,), (test,))


def _operation(data: Path) -> Iterator[Case]:
    """IMS test 2 with its own times: learn from the first 300 snapshots, then watch all of it."""
    channels, time_ns, values = _bearing(data, "test_2")
    nothing = np.zeros(len(values), np.bool_)
    history = Stretch("history", "", time_ns[:300], values[:300], nothing[:300])
    whole = Stretch("test_2", "", time_ns, values, nothing)
    yield Case("operation", "test_2", tuple(channels), (history,), (whole,), 600)


def _nab(data: Path) -> Iterator[Case]:
    """Machine temperature: the first six days are normal, windows label the rest.

    Raises:
        ValueError: A window lies in the history.
    """
    name = "machine_temperature_system_failure.csv"
    table = pl.read_csv(data / "nab" / name)
    time_ns, values = _ns(table["timestamp"]), _numbers(table, ["value"])
    labels = np.zeros(len(table), np.bool_)
    for window in msgspec.json.decode((data / "nab" / "windows.json").read_bytes())[name]:
        start, end = _ns(pl.Series([text[:19] for text in window]))
        labels |= (time_ns >= start) & (time_ns <= end)
    # The clock change repeats an hour; the device, too, drops what comes late.
    later = time_ns > np.r_[time_ns[0] - 1, np.maximum.accumulate(time_ns)[:-1]]
    time_ns, values, labels = time_ns[later], values[later], labels[later]
    cut = int(np.searchsorted(time_ns, _ns(pl.Series([NAB_START]))[0]))
    if labels[:cut].any():
        raise ValueError("the history of nab holds a labelled window")
    history = Stretch("history", "", time_ns[:cut], values[:cut], labels[:cut])
    test = Stretch("machine temperature", "", time_ns[cut:], values[cut:], labels[cut:])
    yield Case("nab", "machine temperature", ("temperature",), (history,), (test,), 300)


def _ns(times: pl.Series) -> Ints:
    """Times as written, taken as UTC, in nanoseconds."""
    return times.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ns").cast(pl.Int64).to_numpy()


SETS: dict[str, Callable[[Path], Iterator[Case]]] = {
    "smd": lambda data: _matrices(data, "smd"),
    "asd": lambda data: _matrices(data, "asd"),
    "skab": _skab,
    "skab-deployed": _skab_deployed,
    "cmapss": _cmapss,
    "ims": _ims,
    "nab": _nab,
    "operation": _operation,
}
