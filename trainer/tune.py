"""The search: settings proposed by Optuna, each tried by a whole training, the best of them chosen.

Two objectives: most of the injected faults found, fewest bytes of model. The sampler is the
multi-objective tree-structured Parzen estimator (Ozaki et al. 2022, J. Artif. Intell. Res. 73),
which takes limits as constraints (Watanabe & Hutter 2023, IJCAI).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.study import Study
from optuna.trial import TrialState

from edge_lstm.errors import HistoryError, OperatorError
from trainer.progress import Watcher, Within
from trainer.settings import TrainSettings
from trainer.tune_space import Space
from trainer.tune_study import Figures, Limits, Record, alarm_limit, keep, keep_failure, records
from trainer.verdict import LEAST

__all__ = ["Choice", "Run", "choose", "pareto_front", "search"]

Run = Callable[[TrainSettings, Watcher], Figures]
"""Settings to figures: `trainer.tune_trial.run_trial` on one history."""


def search(
    study: Study,
    space: Space,
    run: Run,
    *,
    limits: Limits,
    trials: int,
    seconds: float | None,
    watcher: Watcher,
    said: Callable[[list[Record]], str],
) -> list[Record]:
    """Try settings until there are enough trials, or no time is left for another.

    The first trial is the base of the space. Each proposal depends on the seed, the number
    of finished trials and their figures alone: a search that was interrupted proposes what
    it would have proposed.

    Args:
        study: Where trials are kept; those in it count.
        space: What to try.
        run: Tries it.
        limits: What a trial must keep to be chosen; the alarm budget comes on top of it.
        trials: Finished trials to have in all.
        seconds: No trial begins later than this; None is no end.
        watcher: Told how far it is.
        said: The line about the last of these trials.

    Raises:
        HistoryError: The history does not suffice for any settings.
    """
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    budget = space.base.alarm.budget_per_month
    bounds = alarm_limit(study, limits, budget=budget, default=space.default)
    done = records(study, bounds)
    while len(done) < trials and time.monotonic() < end:
        study.sampler = _sampler(study, space.base.seed, len(done))
        if not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(dict(space.default))
        trial = study.ask()
        settings = space.settings(space.suggest(trial))
        try:
            title = f"trial {len(done) + 1} of {trials}"
            figures = run(settings, Within(watcher, len(done) / trials, title))
        except HistoryError:
            raise
        except OperatorError as error:
            keep_failure(trial, study, str(error))
        else:
            keep(trial, study, figures, bounds)
        bounds = alarm_limit(study, limits, budget=budget, default=space.default)
        done = records(study, bounds)
        watcher.say(said(done))
    return done


def _sampler(study: Study, seed: int, finished: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler each trial, so that its randomness survives an interruption.

    Settings that ended the whole process twice (out of memory, say) are not proposed again.
    """
    lost = 0
    for trial in study.get_trials(deepcopy=False):
        interrupted = trial.state == TrialState.FAIL and "reason" not in trial.user_attrs
        lost = lost + 1 if interrupted else 0
    entropy = np.random.SeedSequence([seed, finished, lost // 2]).generate_state(1)
    return optuna.samplers.TPESampler(seed=int(entropy[0]), multivariate=True)


def pareto_front(trials: Sequence[Record]) -> list[Record]:
    """Trials within the limits that no other beats in both found and bytes, smallest model first.

    Of trials with equal figures the first is kept.
    """
    kept = [(one, one.figures) for one in trials if one.figures is not None and not one.over]
    kept.sort(key=lambda pair: (pair[1].model_bytes, -pair[1].found, pair[0].number))
    front: list[Record] = []
    most = -1.0
    for one, figures in kept:
        if figures.found > most:
            front.append(one)
            most = figures.found
    return front


@dataclass(frozen=True, slots=True)
class Choice:
    """The trial whose settings are written, and why.

    Attributes:
        chosen: The trial.
        default: The trial of the settings that the search began with; None when it failed.
        reason: A sentence.
    """

    chosen: Record
    default: Record | None
    reason: str


def choose(trials: Sequence[Record], default: object) -> Choice:
    """The trial that finds most, unless the default finds as much within the noise.

    The noise is half the 95 % interval of the share that the best trial finds, and at least
    `trainer.verdict.LEAST`. The best of many trials owes part of its lead to luck (Cawley &
    Talbot 2010, J. Mach. Learn. Res. 11), which is why a draw goes to the default.

    Args:
        trials: All finished trials.
        default: Parameters of the settings that the search began with.

    Raises:
        OperatorError: No trial is within the limits.
    """
    kept = [(one, one.figures) for one in trials if one.figures is not None and not one.over]
    if not kept:
        raise _nothing(trials)
    best, figures = max(kept, key=lambda pair: (pair[1].found, pair[1].auc, -pair[1].model_bytes))
    first = next((one for one in trials if one.figures and one.params == default), None)
    noise = max(LEAST, (figures.high - figures.low) / 2)
    if first is None or first.figures is None:
        return Choice(best, None, "it finds most; the settings that the search began with failed")
    if first.over:
        return Choice(best, first, f"it finds most; the default is over {' and '.join(first.over)}")
    if first is best:
        return Choice(first, first, "no other settings find more than the default")
    if figures.found - first.figures.found <= noise:
        return Choice(
            first,
            first,
            f"trial {best.number} finds {_points(figures.found - first.figures.found)} points more, which is "
            f"within the noise of {_points(noise)}: the default stays",
        )
    return Choice(best, first, f"it finds most, beyond the noise of {_points(noise)} points")


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _nothing(trials: Sequence[Record]) -> OperatorError:
    tried = [one.figures for one in trials if one.figures is not None]
    if not tried:
        reason = trials[-1].reason if trials else "no trial was finished in time"
        return OperatorError(
            "no settings could be tried", got=reason, do="give it more time, or other settings"
        )
    least, fastest = min(one.model_bytes for one in tried), min(one.step_us for one in tried)
    return OperatorError(
        f"none of {len(tried)} trials is within the limits",
        got=f"at least {least} bytes, and {fastest:.1f} µs a step measured here",
        do="allow more, or try more --trials",
    )
