from __future__ import annotations

import base64

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.pages.decimate import keep_rows
from trainer.pages.embed import Packed, pack_floats, pack_runs, pack_times
from trainer.pages.figures import Axis
from trainer.pages.markup import duration, figure, tag

START = 1_783_677_600_000_000_000


def floats_of(packed: Packed, rows: int) -> NDArray[np.float64]:
    """What the page's script makes of packed numbers."""
    if "value" in packed:
        return np.full(rows, np.nan if packed["value"] is None else packed["value"], dtype=np.float64)
    stored = np.frombuffer(base64.b64decode(str(packed["data"])), dtype="<f4").astype(np.float64)
    return stored + float(str(packed["offset"]))


def times_of(packed: Packed, rows: int) -> NDArray[np.float64]:
    """What the page's script makes of packed times: milliseconds after the first."""
    steps = np.full(max(rows - 1, 0), packed.get("value", 0), dtype=np.float64)
    if "data" in packed:
        steps = np.frombuffer(base64.b64decode(str(packed["data"])), dtype=f"<{packed['kind']}").astype(float)
    return np.asarray(np.concatenate(([0.0], np.cumsum(steps))) * float(str(packed["unit"])))


def test_keep_rows_holds_the_extremes_of_every_bucket() -> None:
    """No bucket of the thinned rows loses a lowest or a highest value of any line."""
    series = np.random.default_rng(1).normal(size=(10_007, 3))
    series[2_000:4_000, 1] = np.nan

    rows = keep_rows(list(series.T), limit=700)

    width = -(-10_007 // (700 // 7))
    for start in range(0, 10_007, width):
        inside = rows[(rows >= start) & (rows < start + width)]
        for column in (0, 2):
            bucket = series[start : start + width, column]
            assert (bucket.min(), bucket.max()) == (
                series[inside, column].min(),
                series[inside, column].max(),
            )
    assert len(rows) <= 700 + 1
    assert (0, 10_006) == (rows[0], rows[-1])


@pytest.mark.parametrize(
    ("values", "within"),
    [
        ([1.5, np.nan, -2.25], 0.0),
        ([1e9, 1e9 + 0.25, 1e9 + 0.5], 1e-6),
        ([7.0, 7.0], 0.0),
        ([np.nan, np.nan], 0.0),
        ([np.inf, 1.0, 2.0], 0.0),
        ([1e300, 0.0], 1e300),
        ([], 0.0),
    ],
)
def test_packed_floats_come_back(values: list[float], within: float) -> None:
    """Packing keeps values, also small steps far from zero; what is not finite becomes missing."""
    given = np.array(values)
    wanted = np.where(np.isfinite(given), given, np.nan)

    np.testing.assert_allclose(floats_of(pack_floats(given), len(given)), wanted, rtol=0, atol=within)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([1_000_000_000] * 5, None),
        ([50_000, 50_000, 100_000], "u1"),
        ([1_000_000_000, 300_000_000_000], "u2"),
        ([1, 86_400_000_000_000], "f8"),
        ([], None),
    ],
)
def test_packed_times_come_back(steps: list[int], kind: str | None) -> None:
    """Times come back exactly, in the smallest integers that hold them."""
    times = START + np.concatenate(([0], np.cumsum(np.array(steps, dtype=np.int64))))

    packed = pack_times(times.astype(np.int64))

    np.testing.assert_allclose(times_of(packed, len(times)), (times - START) / 1e6, rtol=1e-12)
    assert kind == packed.get("kind")


def test_packed_runs_of_nothing() -> None:
    """No rows have no runs."""
    assert [] == pack_runs([])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (1234567.0, "1,234,567"), (-1.23456, "\N{MINUS SIGN}1.235"), (0.5, "0.5"),
        (2.5e-7, "2.50e\N{MINUS SIGN}7"), (float("nan"), "\N{EN DASH}"), (1e9, "1.00e9"),
    ],
)  # fmt: skip
def test_figure_reads_well(value: float, text: str) -> None:
    """Numbers have four digits at most after rounding, and no machine notation in the usual range."""
    assert text == figure(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.25 s"),
        (59, "59 s"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (90_000, "1 d 1 h"),
        (86_460, "1 d"),
    ],
)
def test_duration_reads_well(seconds: float, text: str) -> None:
    """Spans have their two largest units."""
    assert text == duration(round(seconds * 1e9))


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0.0, 1.0), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (Axis(0.7, 20_000, log=True), [1, 10, 100, 1000, 10_000]),
        (Axis(0.4, 6, log=True), [0.5, 1, 2, 5]),
        (Axis(2.3, 3.9, log=True), [2.5, 3.0, 3.5]),
    ],
)
def test_axis_has_round_ticks(axis: Axis, ticks: list[float]) -> None:
    """Ticks are round numbers, at least two, also on a short logarithmic axis."""
    assert pytest.approx(ticks) == axis.ticks(5)


def test_tag_escapes_text_and_attributes() -> None:
    """Only markup made by `tag` stays markup."""
    assert '<b title="&quot;&lt;">&lt;i&gt;<i>x</i></b>' == tag("b", "<i>", tag("i", "x"), title='"<')
