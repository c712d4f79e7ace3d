from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_lstm.bundle import Bundle
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.errors import HistoryError
from edge_lstm.testing import fake_manifest
from trainer.data import History, Segment, read_history
from trainer.evaluate import evaluate
from trainer.evaluate_html import write_evaluation
from trainer.labels import Labels
from trainer.replay import Replayed, write_html
from trainer.tracks import tracks_of

NS = 1_000_000_000
START = 1_783_677_600 * NS
ROWS = 200


class Elements(HTMLParser):
    """Names and attributes of a page's elements, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.words += data


def replayed(values: list[tuple[float, float]]) -> Replayed:
    """A detector's word on two channels, rebuilt 0.25 below."""
    out = Replayed(readings=len(values))
    for i, row in enumerate(values):
        status = StreamStatus.OPEN if 120 <= i < 140 else StreamStatus.NORMAL
        score = 2.0 if 120 <= i < 140 else 0.5
        out.scores.append(
            Score("<b>pump", i, START + i * NS, score, 1.0, status, (1.0, 0.0), row, (0.25, 0.25))
        )
        out.values.append(row)
    return out


def page_of(path: Path, values: list[tuple[float, float]], *, labelled: bool = True) -> str:
    """The evaluation page of a recording in which readings 110 to 139 are labelled."""
    manifest = fake_manifest(["<i>a", "b"])
    out, times = replayed(values), START + np.arange(ROWS, dtype=np.int64) * NS
    history = History(("<i>a", "b"), (Segment("", "x.csv", times, np.array(values)),), 1.0)
    marks = (np.arange(ROWS) >= 110) & (np.arange(ROWS) < 140)
    labels = Labels("<u>y", {"": (times, marks)}) if labelled else None
    tracks = tracks_of(out, history, manifest, asset="<b>pump", labels=labels)
    found = evaluate(
        Bundle(Path("memory"), "0" * 64, manifest, {}),
        tracks,
        level=1.0,
        readings=ROWS,
        labels=labels.column if labels else None,
        notes=["<script>a note"],
    )
    write_evaluation(path, found, tracks, out, manifest, title="<script>x.csv")
    return path.read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


ORDINARY = [(float(i % 7), 1.0) for i in range(ROWS)]


def test_page_needs_no_network(tmp_path: Path) -> None:
    """Nothing in it refers to anything outside, and its policy forbids every request."""
    page = page_of(tmp_path / "e.html", ORDINARY)
    elements = Elements(page).found

    assert [] == [attrs for _, attrs in elements if {"src", "href", "action", "srcset"} & set(attrs)]
    assert "url(" not in page
    policy = next(attrs["content"] for _, attrs in elements if "http-equiv" in attrs)
    assert str(policy).startswith("default-src 'none'")


def test_page_escapes_every_name(tmp_path: Path) -> None:
    """Names of files, channels, machines and columns stay text."""
    elements = [name for name, _ in Elements(page_of(tmp_path / "e.html", ORDINARY)).found]

    assert (0, 2) == (elements.count("u"), elements.count("script"))


def test_page_shows_what_was_found(tmp_path: Path) -> None:
    """Figures, labelled events, residuals a channel and the calibration chart are there."""
    page = page_of(tmp_path / "e.html", ORDINARY)
    data, words = data_of(page), Elements(page).words
    asset = data["assets"][0]

    assert data["residual"] is True
    assert [[110_000.0, 139_000.0]] == asset["labels"]
    assert {"value": 0.25} == asset["actual"][0] == asset["actual"][1]
    assert "1 of 1 labelled events found, 0 false" in words
    for part in ("VUS-PR", "Event recall", "Median delay", "10 readings", "Calibration", "RMSE"):
        assert part in words


def test_page_without_labels_shows_no_quality(tmp_path: Path) -> None:
    """No figure that needs labels, no legend for them, and a sentence that says why."""
    words = Elements(page_of(tmp_path / "e.html", ORDINARY, labelled=False)).words

    assert "Without labels nothing can be said of quality" in words
    for part in ("VUS-PR", "Event recall", "Calibration", "labelled event"):
        assert part not in words


@pytest.mark.filterwarnings("error")
def test_readings_near_the_largest_float_make_pages(tmp_path: Path) -> None:
    """A register that reads plus and minus 1.7e308 ends in a page and not in a traceback."""
    wild = [(1.7e308 if i % 2 else -1.7e308, float("nan") if i == 5 else 1.0) for i in range(ROWS)]
    out = replayed(wild)
    out.scores = [msgspec.structs.replace(one, errors=(-1e308, 0.25)) for one in out.scores]
    manifest = fake_manifest(["a", "b"])
    write_html(tmp_path / "r.html", out, Bundle(Path("memory"), "0" * 64, manifest, {}), title="wild")
    rows = data_of((tmp_path / "r.html").read_text(encoding="utf-8"))["assets"][0]["rows"]

    assert rows == ROWS
    assert ROWS == data_of(page_of(tmp_path / "e.html", wild))["assets"][0]["rows"]


def test_times_further_apart_than_64_bits_are_refused(tmp_path: Path) -> None:
    """Two rows 574 years apart: one line that names both, for train, replay and evaluate."""
    path = tmp_path / "x.csv"
    path.write_text("time,a\n-9000000000000000000,1\n9100000000000000000,2\n", encoding="utf-8")

    with pytest.raises(HistoryError, match=r"row 1: times reach over more than 292 years.*in row 2 of x.csv"):
        read_history([path], strict=False, time_format="ns")


def test_times_within_64_bits_are_taken(tmp_path: Path) -> None:
    """Just below the limit differences still hold."""
    path = tmp_path / "x.csv"
    path.write_text("time,a\n0,1\n9223372036854775807,2\n", encoding="utf-8")
    history = read_history([path], strict=False, time_format="ns")

    assert history.period_s == pytest.approx(2**63 / 1e9)
