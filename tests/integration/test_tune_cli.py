"""`edge-lstm tune`, and `--folds` of train and evaluate, run as a user runs them."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_lstm.bundle import MODEL, open_bundle
from edge_lstm.config import load_struct
from edge_lstm.errors import ConfigError, HistoryError, MissingExtraError
from trainer.cli import train
from trainer.evaluate_cli import evaluate
from trainer.settings import TrainSettings
from trainer.tune_cli import tune

pytestmark = [pytest.mark.train, pytest.mark.timeout(280)]

_TUNE = (sys.executable, "-m", "edge_lstm", "tune")
_LINE = re.compile(
    r"^trial +1 of \d+: (found [\d.]+ %, AUC [\d.]+, \S+ false alarms a month, \d+ bytes)", re.MULTILINE
)


def states(study: Path) -> list[str]:
    """State of every trial in the study; nothing while the tables are not there yet."""
    with sqlite3.connect(f"file:{study}?mode=ro", uri=True) as db:
        try:
            found = [row[0] for row in db.execute("SELECT state FROM trials ORDER BY number")]
        except sqlite3.OperationalError:
            found = []
    db.close()
    return found


def test_killed_search_goes_on_where_it_was(tmp_path: Path, tiny_history: Path) -> None:
    """Kill -9 in the second trial: the same command keeps the first, repeats the second, and ends."""
    out, study, page = tmp_path / "tuned.yaml", tmp_path / "tuned.study.db", tmp_path / "tune.html"
    command = [*_TUNE, str(tiny_history), "--out", str(out), "--updates", "20", "--html", str(page)]
    with subprocess.Popen(
        [*command, "--trials", "9"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        end = time.monotonic() + 120
        while not (study.exists() and ["COMPLETE", "RUNNING"] == states(study)):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end, "the second trial did not begin"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        first = _LINE.search(process.communicate()[1])
    assert not out.exists()

    done = subprocess.run(
        [*command, "--trials", "2"], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert ["COMPLETE", "FAIL", "COMPLETE"] == states(study)
    assert "trial 2 of 2: found" in done.stderr
    assert "trial 1 of 2" not in done.stderr, "the finished trial ran again"

    settings = load_struct(out, TrainSettings, environ={})[0]
    assert 20 == settings.model.updates
    assert first is not None
    found, size = first[1].split()[1], first[1].split()[-2]
    row = next(line for line in done.stdout.splitlines() if re.match(r" +1\*? +\d", line))
    assert [found, size] == [row.split()[1], row.split()[6]]
    assert "Quality against size" in page.read_text(encoding="utf-8")


def test_trial_is_what_train_would_do(tmp_path: Path, tiny_history: Path) -> None:
    """The figures in tuned.yaml are those of a training with it, in a process of its own."""
    out, bundle = tmp_path / "tuned.yaml", tmp_path / "m.elb"
    for command in (
        [*_TUNE, str(tiny_history), "--out", str(out), "--updates", "20", "--trials", "1", "--seed", "7"],
        [
            sys.executable,
            "-m",
            "edge_lstm",
            "train",
            str(tiny_history),
            "--out",
            str(bundle),
            "--config",
            str(out),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
    metrics = open_bundle(bundle).manifest.metrics
    share = metrics["contest"]["results"]["lstm+var"]["found"]

    assert f"It finds {100 * share:.1f} %" in out.read_text(encoding="utf-8")
    assert f"{metrics['model_bytes']} bytes" in out.read_text(encoding="utf-8")


def test_missing_optuna_is_said_at_once(
    tmp_path: Path, tiny_history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with what to install, before the history is read."""
    there = importlib.util.find_spec

    def without(name: str) -> ModuleSpec | None:
        return None if name == "optuna" else there(name)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    done = CliRunner().invoke(tune, [str(tiny_history), "--out", str(tmp_path / "t.yaml")])

    assert isinstance(done.exception, MissingExtraError)
    assert "pip install 'edge-lstm[tune]'" in str(done.exception)


def test_members_without_a_network_have_nothing_to_tune(tmp_path: Path, tiny_history: Path) -> None:
    """VAR alone has none of the settings that are searched."""
    done = CliRunner().invoke(
        tune, [str(tiny_history), "--out", str(tmp_path / "t.yaml"), "--members", "var"]
    )

    assert isinstance(done.exception, ConfigError)
    assert "members" in str(done.exception)


# ---------------------------------------------------------------------------------------------------- folds


def test_train_with_folds_says_mean_and_spread(tmp_path: Path, tiny_history: Path, tiny_bundle: Path) -> None:
    """Figures a block in terminal, card, report and manifest; the model is the one without folds."""
    out = tmp_path / "m.elb"
    command = [sys.executable, "-m", "edge_lstm", "train", str(tiny_history), "--out", str(out)]
    done = subprocess.run(
        [*command, "--folds", "2", "--updates", "120"],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    bundle = open_bundle(out)
    folds: dict[str, Any] = bundle.manifest.metrics["folds"]
    each = [one["found"] for one in folds["each"]]

    assert "2 more trainings" in done.stderr
    assert (2, 100) == (folds["folds"], folds["gap_rows"])
    assert [750, 750] == [one["rows"] for one in folds["each"]]
    assert sum(each) / 2 == pytest.approx(folds["figures"]["found"]["mean"])
    assert abs(each[0] - each[1]) / 2**0.5 == pytest.approx(folds["figures"]["found"]["spread"])
    names = {channel.name for channel in bundle.manifest.channels}
    assert names == set(folds["errors"]) == set(folds["each"][0]["errors"])
    row = f"{100 * each[0]:.1f}"
    assert row in next(line for line in done.stdout.splitlines() if "faults found, %" in line)
    assert f"| faults found, % | {row} |" in bundle.read("card.md").decode()
    assert "Cross-validation</h2>" in bundle.read("report.html").decode()
    assert open_bundle(tiny_bundle).read(MODEL) == bundle.read(MODEL)


def test_too_many_folds_are_refused_before_any_training(tmp_path: Path, tiny_history: Path) -> None:
    """The number that is possible is named."""
    done = CliRunner().invoke(train, [str(tiny_history), "--out", str(tmp_path / "m.elb"), "--folds", "50"])

    assert isinstance(done.exception, HistoryError)
    assert re.search(r"--folds \d+ is possible$", str(done.exception))
    assert "fold 1" not in done.stderr


def test_evaluate_with_folds_says_mean_and_spread(
    tmp_path: Path, tiny_history: Path, tiny_bundle: Path
) -> None:
    """Text, JSON and page have figures over blocks; one without an event counts for false alarms alone."""
    with tiny_history.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:600]
    for i, row in enumerate(rows):
        row["anomaly"] = str(int(400 <= i < 430))
        row["flow"] = str(float(row["flow"]) / (4 if 400 <= i < 430 else 1))
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    page = tmp_path / "e.html"
    args = [str(tiny_bundle), str(tmp_path / "x.csv"), "--labels", "anomaly", "--folds", "4"]
    text = CliRunner().invoke(evaluate, args)
    facts = json.loads(CliRunner().invoke(evaluate, [*args, "--json", "--html", str(page)]).stdout)

    assert [150] * 4 == [block["readings"] for block in facts["folds"]["each"]]
    assert [0, 0, 1, 0] == [block["labelled"] for block in facts["folds"]["each"]]
    assert {"mean": 1.0, "spread": None, "blocks": 1} == facts["folds"]["figures"]["event_recall"]
    assert 4 == facts["folds"]["figures"]["false_alarm_rate"]["blocks"]
    assert re.search(r"4 blocks in time.*nothing was trained anew; 3 without a labelled event", text.stdout)
    assert "Blocks in time</h2>" in page.read_text(encoding="utf-8")
    plain = json.loads(CliRunner().invoke(evaluate, [*args[:-2], "--json"]).stdout)
    assert plain == {**facts, "folds": None}
