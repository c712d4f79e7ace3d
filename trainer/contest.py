"""The contest: the LSTM against simpler detectors, on held-out history, at one alarm budget.

Faults of known place are injected into runs of normal data (`trainer.inject`). Every
candidate scores the faulty runs and their untouched twins; its threshold comes from its own
scores on the untouched runs, by the same rule for all. A fault counts as found when the
score passes the threshold at a row where the twin's does not: what would have been an alarm
anyway finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.inject import KINDS, MEASURED_IN_SPREADS, SPREADS, Injected, inject
from trainer.normal_runs import NormalRuns
from trainer.verdict import Finds, Interval, Verdict, decide

__all__ = ["Candidate", "Contest", "Result", "labelled", "quantile_level", "run_contest"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Level = Callable[[Sequence[Floats]], float]

MOST_ROWS = 150_000
_CHUNK_ROWS = 40_000
"""Rows that a candidate is given at a time: 40,000 of 38 channels are 12 MB."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A detector that takes part.

    Attributes:
        name: Its name in the table.
        score: Runs in model units, not clipped, (runs, rows, channels), to scores
            (runs, rows); causal, and every run from a fresh state.
        cost: Multiplications a reading, or any other measure that is the same for all: of
            candidates that find as much, the one of lowest cost is named.
        ship: What to put into ``train.yaml`` to ship it; empty is ``members: [<name>]``.
    """

    name: str
    score: Callable[[Floats], Floats]
    cost: float
    ship: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What one candidate did; shares are 0 to 1, None where nothing was injected or found.

    Attributes:
        found: Share of the faults found, the mean over kinds: no kind outweighs another.
        low: Lower end of its 95 % interval.
        high: Upper end.
        by_kind: Share found of each kind.
        by_strength: Share found at each strength, the mean over the kinds that are
            measured in spreads of the channel.
        delay: Median readings from the first faulty one to the one that found it.
        false_alarms: Clusters above the threshold in 1,000 normal readings, with the
            threshold set on the other half of the normal runs.
        auc: Chance that a faulty reading scores above a normal one, the mean over kinds:
            the area under the ROC curve (Hanley & McNeil 1982, Radiology 143), which
            needs no threshold.
        level: The threshold.
        cost: The candidate's cost.
        labelled: Figures on labelled history, by metric.
    """

    found: float | None
    low: float | None
    high: float | None
    by_kind: dict[str, float]
    by_strength: dict[str, float]
    delay: float | None
    false_alarms: float | None
    auc: float | None
    level: float | None
    cost: float
    labelled: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contest:
    """Who took part, what was injected, what came of it.

    Attributes:
        results: Candidate to result.
        verdict: Who won and what to ship.
        faults: Faults injected, by kind.
        left_out: Faults left out because they changed nothing, by kind.
        normal_runs: Untouched runs.
        horizon: Readings within which a fault had to be found.
    """

    results: dict[str, Result]
    verdict: Verdict
    faults: dict[str, int]
    left_out: dict[str, int]
    normal_runs: int
    horizon: int

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and mappings, for ``manifest.metrics["contest"]``."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def quantile_level(quantile: float = 0.999) -> Level:
    """The rule that takes a quantile of all normal scores as the threshold."""

    def level(scores: Sequence[Floats]) -> float:
        return float(np.quantile(np.concatenate([np.ravel(one) for one in scores]), quantile))

    return level


def run_contest(
    candidates: Sequence[Candidate],
    normal: NormalRuns,
    *,
    level_of: Level | None = None,
    reference: str = "lstm",
    most_rows: int = MOST_ROWS,
    seed: int = 0,
) -> Contest:
    """Inject, score, compare.

    Args:
        candidates: Who takes part; names differ, and ``reference`` is among them.
        normal: Runs of held-out normal data.
        level_of: Scores of normal runs, each (rows,), to a threshold; None takes the
            99.9 % quantile.
        reference: The candidate that the others are held against.
        most_rows: Rows of all faulty runs together.
        seed: Same seed, same contest.
    """
    rule = level_of or quantile_level()
    faults = inject(normal, most_rows=most_rows, seed=seed)
    counts = np.bincount(faults.kind, minlength=len(KINDS))
    outcomes = {one.name: _outcome(one, normal, faults, rule) for one in candidates}
    finds = {
        one.name: Finds(outcomes[one.name].delay >= 0, one.cost, one.ship or f"members: [{one.name}]")
        for one in candidates
    }
    verdict, intervals = decide(finds, faults.kind, faults.twin, reference=reference, seed=seed)
    results = {one.name: _result(one, faults, outcomes[one.name], intervals[one.name]) for one in candidates}
    return Contest(
        results=results,
        verdict=verdict,
        faults={name: int(counts[i]) for i, name in enumerate(KINDS) if counts[i]},
        left_out=faults.left_out,
        normal_runs=len(normal.values),
        horizon=normal.horizon,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    """What a candidate's scores came to.

    Attributes:
        level: Its threshold.
        delay: Rows from the start of each fault to the row that found it, -1 when none did.
        auc: Chance that a faulty row scores above a normal one, a number a fault.
        false_alarms: Clusters in 1,000 normal rows.
    """

    level: float
    delay: NDArray[np.int64]
    auc: Floats
    false_alarms: float | None


def _outcome(one: Candidate, normal: NormalRuns, faults: Injected, rule: Level) -> _Outcome:
    nobody = np.zeros(0)
    if not len(normal.values):
        return _Outcome(float("nan"), nobody.astype(np.int64), nobody, None)
    usual = _scores(one, normal.values)
    counted = usual[:, normal.lead :]
    level = rule(list(counted))
    scores = _scores(one, faults.runs)
    row = np.arange(scores.shape[1])
    after = row >= faults.start[:, None]
    found = (scores > level) & ~(usual[faults.twin] > level) & after
    delay = np.where(found.any(axis=1), found.argmax(axis=1) - faults.start, -1)
    faulty = after & (row < faults.stop[:, None])
    return _Outcome(level, delay, _auc(scores, faulty, counted), _false_alarms(counted, rule))


def _scores(one: Candidate, runs: Floats) -> Floats:
    """A candidate's scores, (runs, rows), a chunk of runs at a time."""
    size = max(1, _CHUNK_ROWS // runs.shape[1])
    parts = [one.score(runs[at : at + size]) for at in range(0, len(runs), size)]
    return np.concatenate([np.zeros((0, runs.shape[1])), *parts])


def _auc(scores: Floats, faulty: Flags, normal: Floats) -> Floats:
    """Area under the ROC curve of each fault's rows against all normal rows, ties half."""
    pool = np.sort(normal, axis=None)
    below = np.searchsorted(pool, scores, side="left") + np.searchsorted(pool, scores, side="right")
    share: Floats = np.sum(below / (2 * len(pool)), axis=1, where=faulty) / faulty.sum(axis=1)
    return share


def _false_alarms(counted: Floats, rule: Level) -> float | None:
    """Clusters in 1,000 normal rows, the threshold from the other half of the runs."""
    half = len(counted) // 2
    if not half:
        return None
    early, late = counted[:half], counted[half:]
    clusters = _clusters(late > rule(list(early))) + _clusters(early > rule(list(late)))
    return 1000.0 * clusters / counted.size


def _clusters(above: Flags) -> int:
    """Stretches above the threshold in runs (runs, rows); at most 20 rows apart they are one."""
    return sum(1 + int(np.count_nonzero(np.diff(np.flatnonzero(run)) > 20)) for run in above if run.any())


def _result(one: Candidate, faults: Injected, outcome: _Outcome, interval: Interval) -> Result:
    found, delay = outcome.delay >= 0, outcome.delay[outcome.delay >= 0]
    kinds = [i for i in range(len(KINDS)) if (faults.kind == i).any()]
    return Result(
        found=interval[0] if interval else None,
        low=interval[1] if interval else None,
        high=interval[2] if interval else None,
        by_kind={KINDS[i]: float(found[faults.kind == i].mean()) for i in kinds},
        by_strength=_by_strength(found, faults),
        delay=float(np.median(delay)) if len(delay) else None,
        false_alarms=outcome.false_alarms,
        auc=float(np.mean([outcome.auc[faults.kind == i].mean() for i in kinds])) if kinds else None,
        level=outcome.level if kinds else None,
        cost=one.cost,
    )


def _by_strength(found: Flags, faults: Injected) -> dict[str, float]:
    shares = {}
    for strength in SPREADS:
        at = [
            found[(faults.kind == KINDS.index(kind)) & (faults.strength == strength)]
            for kind in MEASURED_IN_SPREADS
        ]
        if all(len(one) for one in at):
            shares[f"{strength:g}"] = float(np.mean([one.mean() for one in at]))
    return shares


def labelled(
    contest: Contest,
    scores: Mapping[str, Sequence[Floats]],
    labels: Sequence[Flags],
    metrics: Mapping[str, Callable[[Sequence[Floats], Sequence[Flags]], float]],
) -> Contest:
    """Add figures on labelled history; they are shown beside the verdict and do not change it.

    Args:
        contest: The contest on injected faults.
        scores: Candidate to its scores of each labelled stretch, each (rows,).
        labels: True where a row is anomalous, each (rows,).
        metrics: Name to a function of scores and labels, a higher figure being better.
    """
    results = {
        name: replace(
            one, labelled={metric: float(of(scores[name], labels)) for metric, of in metrics.items()}
        )
        for name, one in contest.results.items()
    }
    return replace(contest, results=results)
