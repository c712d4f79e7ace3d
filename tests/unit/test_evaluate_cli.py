from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_lstm.errors import HistoryError, OperatorError
from trainer.evaluate_cli import evaluate

pytestmark = [pytest.mark.train, pytest.mark.timeout(280)]

Rows = list[dict[str, str]]


def run(*args: str | Path) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(evaluate, [str(one) for one in args])


def write(path: Path, rows: Rows) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def rows(tiny_history: Path) -> Rows:
    """600 readings of the simulated pump; in 400 to 449 it loses its flow and shakes."""
    with tiny_history.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))[:600]
    for i, row in enumerate(found):
        row["anomaly"] = str(int(400 <= i < 450))
        if 400 <= i < 450:
            row["flow"] = str(float(row["flow"]) / 4)
            row["vibration"] = str(float(row["vibration"]) * 5)
    return found


def test_fault_is_found_and_judged(tmp_path: Path, tiny_bundle: Path, rows: Rows) -> None:
    """JSON for machines: the event is found soon after it begins, by a score that ranks it high."""
    done = run(tiny_bundle, write(tmp_path / "x.csv", rows), "--labels", "anomaly", "--json")
    facts: dict[str, Any] = json.loads(done.stdout)

    assert (0, "edge-lstm.evaluation/1") == (done.exit_code, facts["schema"])
    assert (1, 1, 50) == (facts["events"]["labelled"], facts["events"]["found"], facts["data"]["anomalous"])
    assert facts["events"]["median_delay_readings"] < 20
    assert facts["ranking"]["vus_pr"] > 0.5 > facts["ranking"]["base_rate"]
    assert "anomaly" not in facts["reconstruction"]["all"]
    assert facts["calibration"]["expected_at_levels"][-1] is not None, "the bundle carries its tail"


def test_text_says_the_figures(tmp_path: Path, tiny_bundle: Path, rows: Rows) -> None:
    """Text for people, with a warning that the recording was learned."""
    done = run(tiny_bundle, write(tmp_path / "x.csv", rows), "--labels", "anomaly")

    assert re.search(r"^score +VUS-PR 0\.\d+ \(window 100\), AUC-PR", done.stdout, re.MULTILINE)
    assert re.search(r"^events +1 of 1 found", done.stdout, re.MULTILINE)
    assert "600 of 600 readings are from the time the bundle was trained on" in done.stdout


def test_labels_change_no_score(tmp_path: Path, tiny_bundle: Path, rows: Rows) -> None:
    """Episodes and errors are the same with and without labels: the model never sees them."""
    path = write(tmp_path / "x.csv", rows)
    seen, blind = (
        json.loads(run(tiny_bundle, path, "--json", *more).stdout) for more in (("--labels", "anomaly"), ())
    )

    assert seen["events"]["episodes"] == blind["events"]["episodes"]
    assert seen["reconstruction"]["all"] == blind["reconstruction"]["all"]
    assert blind["ranking"] is None
    assert any("without --labels" in note for note in blind["notes"])


def test_page_is_written(tmp_path: Path, tiny_bundle: Path, rows: Rows) -> None:
    """One HTML file with the name of the recording."""
    page = tmp_path / "e.html"
    done = run(tiny_bundle, write(tmp_path / "x.csv", rows), "--labels", "anomaly", "--html", page)

    assert done.exit_code == 0
    assert "<h1>x.csv</h1>" in page.read_text(encoding="utf-8")


def test_window_and_step_reach_the_ranking(tmp_path: Path, tiny_bundle: Path, rows: Rows) -> None:
    """The buffer can be chosen, and is said."""
    path = write(tmp_path / "x.csv", rows)
    options = ("--labels", "anomaly", "--json", "--window", "40", "--step", "10")
    ranking = json.loads(run(tiny_bundle, path, *options).stdout)["ranking"]

    assert (40, 10) == (ranking["window"], ranking["step"])


def _without(name: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{k: v for k, v in row.items() if k != name} for row in rows]


def _relabel(row: int, label: str) -> Callable[[Rows], Rows]:
    return lambda rows: [
        {**one, "anomaly": label if i == row else one["anomaly"]} for i, one in enumerate(rows)
    ]


BAD: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "labels column missing": (_without("anomaly"), "'anomaly': there is no such column"),
    "label of 2": (_relabel(99, "2"), "row 100, column 'anomaly': not a label: expected 0 or 1"),
    "label missing": (_relabel(99, ""), "row 100, column 'anomaly': no label here"),
    "no positive label": (lambda rows: [{**one, "anomaly": "0"} for one in rows], "no row is labelled 1"),
    "bundle's channel missing": (lambda rows: _without(list(rows[0])[1])(rows), "no column for "),
    "time backwards": (lambda rows: rows[::-1], "not later than the row before"),
    "time back once": (
        lambda rows: [*rows[:100], rows[110], *rows[100:]],
        "row 102: time goes back in 10 of 601 rows",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_recording_ends_in_one_line(tmp_path: Path, tiny_bundle: Path, rows: Rows, case: str) -> None:
    """What is wrong is said with its place, and no page is written."""
    spoil, says = BAD[case]
    path = write(tmp_path / "x.csv", spoil(rows))
    done = run(tiny_bundle, path, "--labels", "anomaly", "--html", tmp_path / "e.html")

    assert isinstance(done.exception, HistoryError)
    assert says in str(done.exception)
    assert [path] == list(tmp_path.iterdir())


def test_page_never_replaces_the_recording(tmp_path: Path, tiny_bundle: Path, rows: Rows) -> None:
    """An output is no input."""
    path = write(tmp_path / "x.csv", rows)
    done = run(tiny_bundle, path, "--html", path)

    assert isinstance(done.exception, OperatorError)
    assert "an input already" in str(done.exception)


def test_baseline_of_an_unknown_machine_is_not_judged(tmp_path: Path, tiny_bundle: Path, rows: Rows) -> None:
    """The first N readings are learned from; figures are of the rest, and the fault is found."""
    path = write(tmp_path / "x.csv", rows)
    done = run(tiny_bundle, path, "--labels", "anomaly", "--commission", "200", "--asset", "new", "--json")
    facts: dict[str, Any] = json.loads(done.stdout)

    assert (1, 1) == (facts["events"]["labelled"], facts["events"]["found"])
    assert 400 == facts["data"]["scored"]
    assert any("'new' was learned from 200 readings" in note for note in facts["notes"])


def test_recording_shorter_than_the_baseline_is_refused(
    tmp_path: Path, tiny_bundle: Path, rows: Rows
) -> None:
    """Nothing was scored, so there is nothing to judge."""
    path = write(tmp_path / "x.csv", rows)
    done = run(tiny_bundle, path, "--labels", "anomaly", "--commission", "700", "--asset", "new")

    assert isinstance(done.exception, HistoryError)
    assert "no reading was scored" in str(done.exception)
