"""The search: what it proposes, what it keeps, what it chooses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.config import load_struct
from edge_lstm.errors import HistoryError, OperatorError
from trainer.data import History, Segment
from trainer.pages.tuning import Point, TuningPage, render_tuning
from trainer.progress import Watcher
from trainer.settings import ModelSettings, TrainSettings
from trainer.settings_rules import check_settings
from trainer.tune import Choice, choose, pareto_front, search
from trainer.tune_space import Space
from trainer.tune_study import Figures, Limits, Record, identity, open_study, records
from trainer.tune_text import trial_line, tune_lines, tuned_yaml

optuna.logging.set_verbosity(optuna.logging.ERROR)
replace = msgspec.structs.replace


def history(value: float = 1.0, channels: int = 5) -> History:
    """A hundred rows."""
    time_ns = np.arange(100, dtype=np.int64) * 10**9
    values = np.full((100, channels), value)
    return History(tuple(f"c{i}" for i in range(channels)), (Segment("", "a.csv", time_ns, values),), 1.0)


def formula(settings: TrainSettings, watcher: Watcher = Watcher()) -> Figures:  # noqa: B008 - it has no state
    """Figures that depend on the settings as those of a training would, in no time."""
    model = settings.model
    found = 0.9 - 0.1 * abs(math.log(model.learning_rate / 8e-3)) - 2.0 / model.units
    watcher.stage("formula")
    return Figures(
        found=found,
        low=found - 0.02,
        high=found + 0.02,
        auc=0.5 + found / 2,
        alarms=1.0,
        model_bytes=1000 + 200 * model.units * model.layers,
        step_us=float(model.units),
        reference_us=2.0,
    )


def begin(
    path: Path,
    *,
    trials: int,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    run: Callable[[TrainSettings, Watcher], Figures] = formula,
    base: TrainSettings = TrainSettings(seed=3),  # noqa: B008 - frozen
    table: History | None = None,
) -> list[Record]:
    """A search over the formula."""
    table = table or history()
    space = Space(base, len(table.channels))
    with open_study(path, identity(table, base, space, limits)) as study:
        return search(
            study,
            space,
            run,
            limits=limits,
            trials=trials,
            seconds=None,
            watcher=Watcher(),
            said=lambda some: trial_line(some, trials),
        )


# ---------------------------------------------------------------------------------------------------- space

BASES = {
    "defaults": TrainSettings(),
    "forecast alone": TrainSettings(model=ModelSettings(mode="forecast")),
    "reconstruction, odd lags, few steps": TrainSettings(
        model=ModelSettings(mode="reconstruction", lags=(0, 3), steps=5), members=("lstm", "ewma", "pca")
    ),
    "beyond the usual ranges": TrainSettings(
        model=ModelSettings(units=200, layers=4, code=90, learning_rate=0.3, attention=4), members="auto"
    ),
}


@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
@pytest.mark.parametrize("channels", [1, 38])
def test_space_proposes_valid_settings_only(base: TrainSettings, channels: int) -> None:
    """200 random trials: each is what train.yaml may say, and changes what is searched alone."""
    space = Space(base, channels)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(200):
        settings = space.settings(space.suggest(study.ask()))

        check_settings(settings, None)
        assert replace(settings, model=base.model, score=base.score) == base
        assert (base.model.updates, base.model.mode) == (settings.model.updates, settings.model.mode)


@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
def test_default_parameters_are_the_settings_as_they_are(base: TrainSettings) -> None:
    """The first trial is the base itself, a null for the code among it, and lies within every range."""
    space = Space(base, 7)
    trial = optuna.trial.FixedTrial(space.default)

    assert space.suggest(trial) == space.default
    assert space.settings(space.default) is base


def test_space_leaves_out_what_is_of_no_use() -> None:
    """No bottleneck in a forecast, no smoothing of members that do not score."""
    keys = set(Space(BASES["forecast alone"], 5).default)

    assert keys.isdisjoint({"model.code", "model.lags", "score.reconstruction_alpha", "score.level_alpha"})
    assert keys >= {"model.cell", "model.units", "score.forecast_alpha", "score.var_alpha"}


# ---------------------------------------------------------------------------------------------------- study


def test_search_begins_with_the_default_and_finds_better(tmp_path: Path) -> None:
    """The first trial is the default; what is chosen of 25 finds more than it."""
    trials = begin(tmp_path / "s.db", trials=25)
    space = Space(TrainSettings(seed=3), 5)
    choice = choose(trials, space.default)

    assert 25 == len(trials)
    assert space.default == trials[0].params
    assert choice.default is trials[0]
    assert choice.chosen.figures
    assert trials[0].figures
    assert choice.chosen.figures.found > trials[0].figures.found + 0.02


def test_same_seed_proposes_the_same_however_often_it_is_interrupted(tmp_path: Path) -> None:
    """A search in one go, one in pieces and one with a killed trial are the same; another seed is not."""

    def die(_settings: TrainSettings, _watcher: Watcher) -> Figures:
        raise MemoryError

    whole = begin(tmp_path / "whole.db", trials=14)
    for so_far in (1, 5, 12):
        begin(tmp_path / "pieces.db", trials=so_far)
    with pytest.raises(MemoryError):
        begin(tmp_path / "pieces.db", trials=14, run=die)
    pieces = begin(tmp_path / "pieces.db", trials=14)
    other = begin(tmp_path / "other.db", trials=14, base=TrainSettings(seed=4))

    assert whole == pieces
    assert [one.params for one in whole[1:]] != [one.params for one in other[1:]]


def test_settings_that_end_the_process_twice_are_not_tried_again(tmp_path: Path) -> None:
    """A trial that always runs out of memory does not stop the search for good."""
    begin(tmp_path / "s.db", trials=3)
    tried: list[TrainSettings] = []

    def die(settings: TrainSettings, _watcher: Watcher) -> Figures:
        tried.append(settings)
        raise MemoryError

    for _ in range(3):
        with pytest.raises(MemoryError):
            begin(tmp_path / "s.db", trials=4, run=die)

    assert tried[0] == tried[1] != tried[2]


def test_limits_are_kept_by_what_is_chosen(tmp_path: Path) -> None:
    """A trial over a limit is a result and no error; it is neither on the front nor chosen."""
    limits = Limits(max_bytes=3000, max_step_us=9.5)
    trials = begin(tmp_path / "s.db", trials=30, limits=limits)
    choice = choose(trials, trials[0].params)
    kept = [
        one
        for one in trials
        if one.figures and one.figures.model_bytes <= 3000 and one.figures.step_us <= 9.5
    ]

    assert ("--max-bytes", "--max-step-us") == trials[0].over, "the default has 16 units"
    assert [one for one in trials if not one.over] == kept
    assert choice.chosen in kept
    assert set(map(id, pareto_front(trials))) <= set(map(id, kept))
    assert len(kept) > 5, "the sampler was not told of the constraints"
    assert "over a limit" in "\n".join(tune_lines(trials, choice, Space(TrainSettings(seed=3), 5)))


def test_more_false_alarms_are_no_better(tmp_path: Path) -> None:
    """A trial that expects more of them than the default and the budget allow is not chosen."""

    def restless(settings: TrainSettings, watcher: Watcher) -> Figures:
        return replace(formula(settings, watcher), alarms=float(settings.model.units) / 2)

    trials = begin(tmp_path / "s.db", trials=20, run=restless)
    over = [one for one in trials if "the alarm budget" in one.over]

    assert over
    assert all(one.figures and one.figures.alarms > 8.0 for one in over), (
        "the default expects 8, the budget is 2"
    )
    assert choose(trials, trials[0].params).chosen not in over
    assert trials == begin(tmp_path / "s.db", trials=20, run=restless), "a resumed search says the same"


def test_no_trial_within_the_limits_says_what_there_was(tmp_path: Path) -> None:
    """Nothing is written; the smallest model seen is named."""
    trials = begin(tmp_path / "s.db", trials=3, limits=Limits(max_bytes=10))

    with pytest.raises(OperatorError, match=r"none of 3 trials .* at least \d+ bytes"):
        choose(trials, trials[0].params)


def test_refused_settings_are_kept_as_failed(tmp_path: Path) -> None:
    """A conversion that is refused ends its trial with the reason and not the search."""

    def refuse_gru(settings: TrainSettings, watcher: Watcher) -> Figures:
        if settings.model.cell != "lstm":
            raise OperatorError("this cell is refused")
        return formula(settings, watcher)

    trials = begin(tmp_path / "s.db", trials=12, run=refuse_gru)
    failed = [one for one in trials if one.figures is None]

    assert 12 == len(trials)
    assert {"this cell is refused"} == {one.reason for one in failed}
    assert all(one.params["model.cell"] != "lstm" for one in failed)


def test_history_that_does_not_suffice_ends_the_search(tmp_path: Path) -> None:
    """Thirty trials would fail alike."""

    def refuse(_settings: TrainSettings, _watcher: Watcher) -> Figures:
        raise HistoryError("too short")

    with pytest.raises(HistoryError, match="too short"):
        begin(tmp_path / "s.db", trials=30, run=refuse)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"table": history(2.0)}, "another history"),
        ({"base": TrainSettings(seed=5)}, "settings.seed"),
        ({"base": TrainSettings(seed=3, model=ModelSettings(updates=9))}, "settings.model.updates"),
        ({"limits": Limits(max_bytes=9)}, "limits.max_bytes"),
    ],
)
def test_another_search_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    """Trials of another history, other settings or limits cannot be compared: the error says what differs."""
    begin(tmp_path / "s.db", trials=1)

    with pytest.raises(OperatorError, match=named):
        begin(tmp_path / "s.db", trials=2, **change)
    assert 2 == len(begin(tmp_path / "s.db", trials=2)), "the study is as it was"


def test_file_that_is_no_study_is_refused_and_kept(tmp_path: Path) -> None:
    """A mistyped --storage costs nothing."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(OperatorError, match="no study"):
        begin(tmp_path / "notes.txt", trials=1)
    with pytest.raises(OperatorError, match="cannot write the study"):
        begin(tmp_path / "nowhere" / "s.db", trials=1)
    assert "mine" == (tmp_path / "notes.txt").read_text(encoding="utf-8")


def test_study_in_use_is_refused(tmp_path: Path) -> None:
    """Two searches in one file would take each other's trials for interrupted ones."""
    table, base, limits = history(), TrainSettings(), Limits()
    mine = identity(table, base, Space(base, 5), limits)
    with open_study(tmp_path / "s.db", mine) as study:
        with pytest.raises(OperatorError, match="another process"), open_study(tmp_path / "s.db", mine):
            pytest.fail("opened twice")
        assert [] == records(study, limits)
    assert ["s.db"] == [path.name for path in tmp_path.iterdir()], "the lock is gone with its holder"


# ------------------------------------------------------------------------------------------- front and choice


def record(number: int, found: float, size: int, over: tuple[str, ...] = ()) -> Record:
    """A finished trial."""
    figures = Figures(
        found=found,
        low=found - 0.03,
        high=found + 0.03,
        auc=found,
        alarms=1,
        model_bytes=size,
        step_us=1,
        reference_us=1,
    )
    return Record(number=number, params={"model.units": number}, figures=figures, over=over)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=12))
def test_front_is_what_no_other_beats(pairs: list[tuple[int, int]]) -> None:
    """Against the definition: nothing on it is beaten, all that is not on it is beaten or equalled."""
    trials = [record(i, found / 10, size) for i, (found, size) in enumerate(pairs, 1)]
    front = pareto_front(trials)
    points = [(one.figures.found, one.figures.model_bytes) for one in front if one.figures]

    assert points == sorted(points, key=lambda p: p[1])
    assert len(points) == len(set(points))
    for one in trials:
        assert one.figures
        found, size = one.figures.found, one.figures.model_bytes
        beaten = any(f >= found and s <= size and (f, s) != (found, size) for f, s in points)
        assert beaten != ((found, size) in points)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([record(2, 0.45, 10)], 1),
        ([record(2, 0.52, 10)], 1),
        ([record(2, 0.60, 900)], 2),
        ([record(2, 0.60, 900), record(3, 0.60, 800)], 3),
        ([record(2, 0.60, 900, over=("--max-bytes",))], 1),
        ([Record(number=2, params={}, reason="refused")], 1),
    ],
    ids=["worse", "within the noise", "better", "as good and smaller", "better but too large", "failed"],
)
def test_default_gives_way_to_better_ones_only(others: list[Record], chosen: int) -> None:
    """In a draw within the noise (here 3 points) the default stays, however small the other model is."""
    trials = [record(1, 0.5, 100), *others]

    assert chosen == choose(trials, trials[0].params).chosen.number


def test_default_over_a_limit_gives_way() -> None:
    """Then the best that fits is chosen, and the file says why."""
    trials = [record(1, 0.7, 100, over=("--max-bytes",)), record(2, 0.5, 10)]
    choice = choose(trials, trials[0].params)

    assert 2 == choice.chosen.number
    assert "--max-bytes" in choice.reason


def test_tuned_yaml_is_the_chosen_settings(tmp_path: Path) -> None:
    """Read back, the file is a train.yaml with exactly these settings; its head has the figures."""
    base = TrainSettings(seed=3, name="no", members=("lstm", "pca"))
    space = Space(base, 5)
    trials = begin(tmp_path / "s.db", trials=6, base=base)
    chosen = space.settings(trials[5].params)
    text = tuned_yaml(
        chosen,
        Choice(trials[5], trials[0], "it finds most"),
        trials,
        history=history(),
        limits=Limits(max_bytes=99),
    )
    (tmp_path / "tuned.yaml").write_text(text, encoding="utf-8")

    assert chosen == load_struct(tmp_path / "tuned.yaml", TrainSettings, environ={})[0]
    assert chosen != base
    assert "# Limits: --max-bytes 99." in text
    assert "# trial 6 of 6 on 100 rows of 5 channels." in text
    assert "# The default finds" in text


def test_page_draws_the_front_and_names_the_default() -> None:
    """One file without a script or a request; names of trials are text and not markup."""
    default, best = Point(8000, 0.5), Point(9000, 0.6)
    table = [["trial", "found", "settings that differ"], ["1", "50 %", "<b>cell</b>"]]
    page = render_tuning(
        TuningPage(
            title="tuned.yaml",
            summary="Trial 2 is chosen.",
            facts={"seed": "0"},
            trials=[default, best],
            over=[Point(20_000, 0.7)],
            front=[default, best],
            named={"default": default, "chosen": best},
            best=table,
            every=table,
        )
    )

    assert ">default</text>" in page
    assert ">chosen</text>" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "&lt;b&gt;cell" in page
