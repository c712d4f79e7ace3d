"""`edge-lstm train`, `inspect`, `selftest` and `replay`, run as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edge_lstm.bundle import open_bundle

pytestmark = [pytest.mark.train, pytest.mark.timeout(280)]


def edge_lstm(*args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "edge_lstm", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, **env},
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a failed command: exit code 1 and exactly one line of ours, no traceback."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("edge-lstm: ")]
    assert 1 == len(lines), done.stderr
    return lines[0]


def rows(count: int, row: Callable[[int], list[object]]) -> list[list[object]]:
    """A table of readings, its header first."""
    return [["time", "flow", "pressure"], *([1_772_366_400 + i, *row(i)] for i in range(count))]


def write(path: Path, table: list[list[object]]) -> Path:
    """Write a table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(table)
    return path


BAD: dict[str, tuple[list[list[object]] | bytes, str]] = {
    "empty file": (b"", "empty"),
    "no numeric column": (
        [["time", "name"], *([1_772_366_400 + i, f"state {i % 3}"] for i in range(100))],
        "numeric",
    ),
    "one row": (rows(1, lambda _: [1.0, 2.0]), "row"),
    "constant channel": (rows(200, lambda i: [i % 7, 4.0]), "--ignore pressure"),
    "text in a number column": (rows(200, lambda i: [i % 7, "high" if i == 41 else i % 5]), "row 42"),
    "NaN run": (rows(200, lambda i: [i % 7, "" if 50 <= i < 120 else i % 5]), "pressure"),
    "all-missing channel": (rows(200, lambda i: [i % 7, ""]), "pressure"),
    "not CSV": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" * 50, "CSV"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_history_ends_in_one_line_and_no_bundle(tmp_path: Path, case: str) -> None:
    """Exit code 1, the file named, and nothing half-written."""
    content, says = BAD[case]
    path = tmp_path / "history.csv"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write(path, content)
    said = one_line(edge_lstm("train", path, "--out", tmp_path / "m.elb"))

    assert "history.csv" in said
    assert says in said
    assert [path] == list(tmp_path.iterdir())


def test_wrong_time_column_names_the_nearest(tmp_path: Path) -> None:
    """A misspelt column is answered with the one that was meant."""
    path = write(tmp_path / "history.csv", rows(200, lambda i: [i % 7, i % 5]))
    said = one_line(edge_lstm("train", path, "--out", tmp_path / "m.elb", "--time-column", "tmie"))

    assert "'time'" in said


def test_mixed_time_zones_are_refused_with_their_row(tmp_path: Path) -> None:
    """Times with two offsets could be an hour apart without anyone noticing."""
    table = rows(200, lambda i: [i % 7, i % 5])
    for i, row in enumerate(table[1:]):
        row[0] = f"2026-03-01T{10 + i // 60:02d}:{i % 60:02d}:00+0{1 + (i > 99)}:00"
    path = write(tmp_path / "history.csv", table)
    said = one_line(edge_lstm("train", path, "--out", tmp_path / "m.elb"))

    assert "row 101" in said


def test_unwritable_place_is_said_before_the_training(tmp_path: Path, tiny_history: Path) -> None:
    """Nobody waits for a training whose result cannot be kept."""
    said = one_line(edge_lstm("train", tiny_history, "--out", tmp_path / "none" / "m.elb"))

    assert "cannot write" in said


def test_missing_out_is_wrong_usage(tiny_history: Path) -> None:
    """Wrong usage is exit code 2."""
    assert edge_lstm("train", tiny_history).returncode == 2


def test_same_seed_gives_the_same_bundle(tmp_path: Path, tiny_history: Path) -> None:
    """Same seed, same machine: same digest; another seed: another model."""
    config = tmp_path / "train.yaml"  # after 40 updates a network is no good, in int8 least of all
    config.write_text(
        "int8: {least_rank_correlation: -1, most_changed_verdicts: 1, most_vus_pr_lost: 1}", encoding="utf-8"
    )
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        options = (
            *("--out", tmp_path / f"{name}.elb", "--name", "m"),
            *("--config", config, "--updates", "40"),
        )
        done = edge_lstm("train", tiny_history, *options, EDGE_LSTM_TRAIN_SEED=seed)
        assert done.returncode == 0, done.stderr
    digests = [open_bundle(tmp_path / f"{name}.elb").sha256 for name in "abc"]

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_assets_of_a_parquet_file_have_their_own_scaling(tmp_path: Path, tiny_history: Path) -> None:
    """--asset-column: one model, a scaling for each machine."""
    table = pl.read_csv(tiny_history)
    numbers = [name for name in table.columns if table[name].dtype == pl.Float64]
    two = pl.concat(
        [
            table.with_columns(asset=pl.lit("pump-1")),
            table.with_columns(*(pl.col(name) * 2 + 1 for name in numbers), asset=pl.lit("pump-2")),
        ]
    )
    two.write_parquet(tmp_path / "two.parquet")
    done = edge_lstm(
        "train",
        tmp_path / "two.parquet",
        "--out",
        tmp_path / "m.elb",
        "--asset-column",
        "asset",
        "--updates",
        "40",
    )
    assert done.returncode == 0, done.stderr
    scalings = open_bundle(tmp_path / "m.elb").manifest.assets

    assert ["pump-1", "pump-2"] == list(scalings)
    assert scalings["pump-2"].scale == pytest.approx([2 * s for s in scalings["pump-1"].scale], rel=1e-3)


@pytest.mark.parametrize(
    ("model", "options", "states", "heads"),
    [
        (
            "{units: 8}",
            ("--cell", "gru", "--mode", "forecast", "--layers", "2"),
            ["hidden_in_0", "hidden_in_1"],
            ["forecast", "var"],
        ),
        (
            "{cell: peephole, mode: reconstruction, attention: 3, lags: [0, 2]}",
            ("--units", "8"),
            ["hidden_in_0", "cell_in_0", "ring_in"],
            ["reconstruction", "var"],
        ),
    ],
)
def test_other_kinds_of_model_go_the_whole_way(
    tmp_path: Path,
    tiny_history: Path,
    model: str,
    options: tuple[str, ...],
    states: list[str],
    heads: list[str],
) -> None:
    """Trained, packed, proven by the selftest and scored by the replay."""
    config, out, scores = (tmp_path / name for name in ("train.yaml", "kind.elb", "scores.csv"))
    config.write_text(f"model: {model}\n", encoding="utf-8")
    done = edge_lstm(
        "train", tiny_history, "--out", out, "--config", config, "--updates", "100", "--seed", "1", *options
    )
    assert done.returncode == 0, done.stderr
    assert f"{heads[0]} error of the int8 model" in done.stdout

    manifest = open_bundle(out).manifest
    assert states == [state.input for state in manifest.states]
    assert heads == [head.kind for head in manifest.scoring.heads]
    assert edge_lstm("selftest", out).returncode == 0
    replayed = edge_lstm("replay", tiny_history, "--bundle", out, "--scores", scores)
    assert replayed.returncode == 0, replayed.stderr
    assert pl.read_csv(scores)["score"].n_unique() > 1000


def test_bundle_tells_what_it_is(tiny_bundle: Path) -> None:
    """The manifest, the card and the report are in the bundle, with figures for every channel."""
    facts = json.loads(edge_lstm("inspect", tiny_bundle, "--json").stdout)
    manifest = facts["manifest"]
    names = [channel["name"] for channel in manifest["channels"]]

    assert {"card.md", "report.html", "golden.npz", "model.int8.tflite", "members.npz"} == set(
        manifest["files"]
    )
    for part in ("train", "held_out"):
        assert names == list(manifest["metrics"]["errors"][part])
        assert {"mse", "rmse", "mae", "r2"} == set(manifest["metrics"]["errors"][part][names[0]])
    assert manifest["fidelity"]["rank_correlation"] > 0.9
    assert "profile" in manifest["training"]
    assert "Limits" in open_bundle(tiny_bundle).read("card.md").decode()


def test_selftest_passes_here_and_fails_for_another_model(tiny_bundle: Path, tmp_path: Path) -> None:
    """Golden vectors come out; with a spoiled golden vector they do not, with the greatest difference."""
    from io import BytesIO

    import numpy as np

    from edge_lstm.bundle import GOLDEN, MANIFEST, write_bundle

    good = edge_lstm("selftest", tiny_bundle, "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["passed"] is True

    bundle = open_bundle(tiny_bundle)
    golden = dict(np.load(BytesIO(bundle.read(GOLDEN))))
    golden["reconstruction"] = golden["reconstruction"] + np.int8(20)
    buffer = BytesIO()
    np.savez(buffer, **golden)
    members = {name: raw for name, raw in bundle.members.items() if name != MANIFEST}
    write_bundle(tmp_path / "bad.elb", bundle.manifest, members | {GOLDEN: buffer.getvalue()})
    bad = edge_lstm("selftest", tmp_path / "bad.elb")

    assert bad.returncode == 1
    assert "reconstruction" in bad.stdout
    assert "FAIL" in bad.stdout


def test_replay_writes_scores_alerts_and_page(tiny_bundle: Path, tiny_history: Path, tmp_path: Path) -> None:
    """One row a reading in every format, alerts that fit the schema, a page that opens offline."""
    count = pl.read_csv(tiny_history).height
    for name in ("s.csv", "s.parquet", "s.jsonl"):
        done = edge_lstm(
            "replay",
            tiny_history,
            "--bundle",
            tiny_bundle,
            "--scores",
            tmp_path / name,
            "--channels",
            "--alerts",
            tmp_path / "a.jsonl",
            "--html",
            tmp_path / "r.html",
        )
        assert done.returncode == 0, done.stderr
    frames = [
        pl.read_csv(tmp_path / "s.csv"),
        pl.read_parquet(tmp_path / "s.parquet"),
        pl.read_ndjson(tmp_path / "s.jsonl"),
    ]

    assert [count] * 3 == [frame.height for frame in frames]
    assert ["time", "asset", "score", "threshold", "state"] == frames[0].columns[:5]
    assert frames[0]["score"].to_list() == frames[1]["score"].to_list() == frames[2]["score"].to_list()
    assert {"warming", "normal", "open"} >= set(frames[0]["state"])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_replay_of_foreign_channels_names_them(tiny_bundle: Path, tmp_path: Path) -> None:
    """A recording without the model's channels is an error that lists what is missing."""
    path = write(tmp_path / "other.csv", rows(200, lambda i: [i % 7, i % 5]))
    said = one_line(edge_lstm("replay", path, "--bundle", tiny_bundle))

    assert "vibration" in said


def test_unknown_ending_of_scores_is_refused(tiny_bundle: Path, tiny_history: Path, tmp_path: Path) -> None:
    """The format follows from the ending; another one is an error with those that exist."""
    done = edge_lstm("replay", tiny_history, "--bundle", tiny_bundle, "--scores", tmp_path / "s.xlsx")

    assert ".parquet" in one_line(done)


def test_replay_of_two_machines_read_as_one_is_refused(
    tiny_bundle: Path, tiny_history: Path, tmp_path: Path
) -> None:
    """Rows of two machines in one file would cancel each other out: the error says what to name."""
    table = pl.read_csv(tiny_history)
    two = pl.concat([table.with_columns(machine=pl.lit(name)) for name in ("p1", "p2")]).sort("time")
    two.write_csv(tmp_path / "two.csv")
    said = one_line(edge_lstm("replay", tmp_path / "two.csv", "--bundle", tiny_bundle))
    told = edge_lstm("replay", tmp_path / "two.csv", "--bundle", tiny_bundle, "--asset-column", "machine")

    assert "--asset-column" in said
    assert told.returncode == 0, told.stderr
    assert f"{2 * table.height} readings, {2 * table.height} scores" in told.stdout


def test_short_history_warns_loudly(tiny_history: Path, tmp_path: Path) -> None:
    """A model that cannot keep its budget is not handed over as calmly as one that can."""
    done = edge_lstm("train", tiny_history, "--out", tmp_path / "m.elb", "--updates", "40")

    assert done.returncode == 0, done.stderr
    assert "WARNING: expect" in done.stdout
    assert "days prove the budget" in done.stdout


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("seed: -1", "seed"),
        ("history: {gap_factor: 0}", "history.gap_factor"),
        ("history: {gap_factor: .inf}", "history.gap_factor"),
        ("model: {code: 0}", "model.code"),
        ("alarm: {open_after: 0}", "alarm.open_after"),
        ("channels: {flow: {valid: [5, 1]}}", "channels.flow.valid"),
        ("channels: {flow: {valid: [1]}}", "channels"),
        ('name: "a\\0b"', "name"),
    ],
)
def test_settings_out_of_range_name_their_key(
    tmp_path: Path, tiny_history: Path, text: str, key: str
) -> None:
    """What cannot work is refused before anything is read, with file and key."""
    (tmp_path / "train.yaml").write_text(text, encoding="utf-8")
    command = ("train", tiny_history, "--out", tmp_path / "m.elb", "--config", tmp_path / "train.yaml")
    said = one_line(edge_lstm(*command))

    assert "train.yaml" in said
    assert key in said


def test_warm_up_longer_than_the_history_is_refused(tmp_path: Path, tiny_history: Path) -> None:
    """Nothing would be left to calibrate on: said with the numbers, not with a traceback."""
    (tmp_path / "train.yaml").write_text("alarm: {warm_up: 100000}", encoding="utf-8")
    options = ("--out", tmp_path / "m.elb", "--config", tmp_path / "train.yaml", "--updates", "20")

    assert "warm_up" in one_line(edge_lstm("train", tiny_history, *options))


def test_roles_and_rule_go_from_train_yaml_to_replay(tiny_history: Path, tmp_path: Path) -> None:
    """A context channel is in no figure, an ignored one not in the model, and the rule pauses the replay."""
    table = pl.read_csv(tiny_history)
    names = [name for name in table.columns if name != "time"]
    context, ignored, other = names[0], names[1], names[2]
    middle = float(np.median(table[other].to_numpy()))
    config = tmp_path / "train.yaml"
    config.write_text(
        f"channels:\n  {context}: {{role: context}}\n  {ignored}: {{role: ignored}}\n"
        f"alarm:\n  score_when: {other} > {middle}\nmodel:\n  updates: 60\n",
        encoding="utf-8",
    )
    bundle = tmp_path / "m.elb"
    done = edge_lstm("train", tiny_history, "--out", bundle, "--config", config)
    assert done.returncode == 0, done.stderr
    manifest = open_bundle(bundle).manifest
    done = edge_lstm("replay", tiny_history, "--bundle", bundle, "--scores", tmp_path / "s.csv")
    assert done.returncode == 0, done.stderr
    paused = (pl.read_csv(tmp_path / "s.csv")["state"] == "paused").to_list()

    assert {context: "context"} == {c.name: c.role for c in manifest.channels if c.role != "telemetry"}
    assert ignored not in [c.name for c in manifest.channels]
    assert f"{other} > {middle}" == manifest.score_when
    assert context not in manifest.metrics["errors"]["held_out"]
    assert (table[other] <= middle).to_list() == paused


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("alarm: {score_when: spede > 5}", "alarm.score_when: is no rule: character 1: there is no channel"),
        ("channels: {spede: {role: context}}", "channels.spede"),
        ("channels: {spede: {role: ignored}}", "no such column to ignore"),
        ("channels: {flow: {role: context}, pressure: {role: context}}", "there is nothing to score"),
        ("channels: {flow: {role: input}}", "role"),
    ],
)
def test_roles_and_rules_that_do_not_fit_are_refused(tmp_path: Path, text: str, says: str) -> None:
    """One line, before anything is trained."""
    history = write(tmp_path / "h.csv", rows(200, lambda i: [i % 7, i % 5]))
    (tmp_path / "train.yaml").write_text(text, encoding="utf-8")
    done = edge_lstm("train", history, "--out", tmp_path / "m.elb", "--config", tmp_path / "train.yaml")

    assert says in one_line(done)


def test_labelled_rows_are_judged_by_and_not_learned(tiny_history: Path, tmp_path: Path) -> None:
    """`--labels`: the rows are gone from the training, their figures are in the contest."""
    table = pl.read_csv(tiny_history)
    marks = np.zeros(len(table), int)
    marks[200:230] = 1
    names = [name for name in table.columns if name != "time"]
    wild = table[names[0]].to_numpy() + marks * 20 * table[names[0]].to_numpy().std()
    table.with_columns(pl.Series(names[0], wild), pl.Series("fault", marks)).write_csv(tmp_path / "h.csv")
    options = ("--out", tmp_path / "m.elb", "--labels", "fault", "--updates", "60")
    done = edge_lstm("train", tmp_path / "h.csv", *options)
    assert done.returncode == 0, done.stderr
    manifest = open_bundle(tmp_path / "m.elb").manifest

    assert names == [channel.name for channel in manifest.channels]
    assert len(table) - 30 == manifest.training["rows"]
    results = manifest.metrics["contest"]["results"]
    assert {"VUS-PR", "AUC-PR"} == set(results["lstm"]["labelled"])
    assert results["var"]["labelled"]["AUC-PR"] > 0.5
    assert "VUS-PR" in done.stdout
    wrong = one_line(
        edge_lstm("train", tmp_path / "h.csv", "--out", tmp_path / "n.elb", "--labels", "fault2")
    )
    assert "'fault2'" in wrong
    assert "did you mean 'fault'" in wrong
