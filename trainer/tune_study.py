"""The study: every trial of a search in one SQLite file, which survives an interruption."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DatabaseError

from edge_lstm.errors import OperatorError
from trainer.data import History
from trainer.settings import TrainSettings
from trainer.tune_space import Params, Space, Value

__all__ = [
    "BUDGET",
    "Figures",
    "Limits",
    "Record",
    "alarm_limit",
    "digest",
    "identity",
    "keep",
    "keep_failure",
    "open_study",
    "records",
]

_STUDY = "edge-lstm tune"
_MAGIC = b"SQLite format 3\0"


BUDGET = "the alarm budget"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one trial came to.

    Attributes:
        found: Share of the injected faults that the members to be shipped find, 0 to 1: the
            mean over kinds, at the alarm budget.
        low: Lower end of its 95 % interval.
        high: Upper end.
        auc: Area under the ROC curve, which needs no threshold.
        alarms: False alarms a month that are to be expected at the threshold of the bundle.
        model_bytes: Size of the int8 model.
        step_us: Median time of one step on the machine that ran the trial, microseconds.
        reference_us: Time of a fixed piece of work, measured between those steps.
    """

    found: float
    low: float
    high: float
    auc: float
    alarms: float
    model_bytes: int
    step_us: float
    reference_us: float


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial must not exceed; null is no limit.

    Attributes:
        max_bytes: Bytes of the int8 model.
        max_step_us: Microseconds of a step.
        max_alarms: False alarms a month to be expected; see `alarm_limit`.
    """

    max_bytes: int | None = None
    max_step_us: float | None = None
    max_alarms: float | None = None

    def over(self, figures: Figures) -> dict[str, float]:
        """By how much each limit is exceeded; 0 or less is kept."""
        found = {}
        if self.max_bytes is not None:
            found["--max-bytes"] = float(figures.model_bytes - self.max_bytes)
        if self.max_step_us is not None:
            found["--max-step-us"] = figures.step_us - self.max_step_us
        if self.max_alarms is not None:
            found[BUDGET] = figures.alarms - self.max_alarms
        return found


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One finished trial.

    Attributes:
        number: Counted from 1.
        params: What was tried.
        figures: What came of it; null when it failed.
        reason: Why it failed.
        over: Options whose limit it exceeds, and `BUDGET`.
    """

    number: int
    params: dict[str, Value]
    figures: Figures | None = None
    reason: str = ""
    over: tuple[str, ...] = ()


def digest(history: History) -> str:
    """SHA-256 of channels, times and values; file names do not count."""
    facts = hashlib.sha256(json.dumps([history.channels, history.period_s]).encode())
    for segment in history.segments:
        facts.update(json.dumps([segment.asset, segment.values.shape]).encode())
        facts.update(segment.time_ns.tobytes())
        facts.update(segment.values.tobytes())
    return facts.hexdigest()


def identity(history: History, settings: TrainSettings, space: Space, limits: Limits) -> dict[str, Any]:
    """What must be the same for two runs to be one search."""
    return {
        "history": digest(history),
        "settings": msgspec.to_builtins(settings),
        "limits": msgspec.to_builtins(limits),
        "space": space.to_dict(),
    }


@contextmanager
def open_study(path: Path, mine: Mapping[str, Any]) -> Iterator[Study]:
    """Begin a study, or go on with the one in the file.

    A trial that was running when its process ended is marked as failed; it will be proposed
    again.

    Args:
        path: The SQLite file.
        mine: What `identity` says of this search.

    Raises:
        OperatorError: The file belongs to another search, to another program or to a
            running one, or cannot be written.
    """
    with _locked(path):
        storage = None
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
            study = optuna.create_study(
                storage=storage, study_name=_STUDY, directions=["maximize", "minimize"], load_if_exists=True
            )
            _claim(study, path, mine)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL)
            yield study
        except DatabaseError as error:
            raise OperatorError(
                f"cannot use the study {path}: {error.orig}", do="give another file with --storage"
            ) from error
        finally:
            if storage is not None:
                storage.remove_session()
                storage.engine.dispose()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the study for this process alone; SQLite's lock goes with the process, however it ends."""
    place = path.with_name(f"{path.name}.lock")
    try:
        lock = sqlite3.connect(place, timeout=0)
    except sqlite3.Error as error:
        raise OperatorError(
            f"cannot write the study {path}: {error}", do="give another place with --storage"
        ) from error
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        raise OperatorError(
            f"the study {path} is in use by another process ({error})",
            do="wait for it, or give another --storage",
        ) from error
    try:
        _check_file(path)
        yield
    finally:
        with suppress(PermissionError):  # Windows lets nobody remove an open file
            place.unlink()
        lock.close()


def _check_file(path: Path) -> None:
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise OperatorError(f"{path} is no study", do="give another file with --storage")


def _claim(study: Study, path: Path, mine: Mapping[str, Any]) -> None:
    """Write on a new study what it is about; refuse one that is about something else."""
    theirs = study.user_attrs
    if not theirs and not study.get_trials(deepcopy=False):
        # One value, so that a process that is killed here leaves all of it or nothing.
        study.set_user_attr("search", dict(mine))
        return
    before, now = theirs.get("search", {}), json.loads(json.dumps(mine))
    differs = [name for name in now if before.get(name) != now[name]]
    if differs:
        keys = sorted(_differing(before.get(differs[0]), now[differs[0]], differs[0]))
        what = "history" if differs[0] == "history" else ", ".join(keys[:3])
        raise OperatorError(
            f"the study {path} was begun with another {what}",
            do="repeat the command it was begun with to go on, or begin a new study with --storage",
        )


def _differing(before: Any, now: Any, key: str) -> set[str]:
    """Dotted keys at which two pieces of plain data differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        inner = [_differing(before.get(k), now.get(k), f"{key}.{k}") for k in {*before, *now}]
        return set().union(*inner)
    return {key} if before != now else set()


def keep(trial: Trial, study: Study, figures: Figures, limits: Limits) -> None:
    """Store a finished trial."""
    trial.set_user_attr("figures", msgspec.to_builtins(figures))
    for name, excess in limits.over(figures).items():
        trial.set_constraint(name, excess)
    study.tell(trial, (figures.found, figures.model_bytes))


def alarm_limit(study: Study, limits: Limits, *, budget: float, default: Params) -> Limits:
    """The limits with that of false alarms: the budget or, if the default expects more, as many.

    On a history too short to prove its budget, settings can find more faults by alarming more
    often; these are no better. Before the default was tried, and when it failed, nothing is known.
    """
    done = records(study, limits)
    first = next((one.figures for one in done if one.figures and one.params == default), None)
    if first is None:
        return limits
    return msgspec.structs.replace(limits, max_alarms=max(budget, first.alarms))


def keep_failure(trial: Trial, study: Study, reason: str) -> None:
    """Store a trial whose settings cannot be."""
    trial.set_user_attr("reason", reason)
    study.tell(trial, state=TrialState.FAIL)


def records(study: Study, limits: Limits) -> list[Record]:
    """All finished trials in order; those that an interruption ended are not among them."""
    done = [
        one
        for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
        if one.state == TrialState.COMPLETE or "reason" in one.user_attrs
    ]
    return [_record(number, trial, limits) for number, trial in enumerate(done, 1)]


def _record(number: int, trial: FrozenTrial, limits: Limits) -> Record:
    if trial.state == TrialState.FAIL:
        return Record(number=number, params=trial.params, reason=trial.user_attrs["reason"])
    figures = msgspec.convert(trial.user_attrs["figures"], Figures)
    over = tuple(name for name, excess in limits.over(figures).items() if excess > 0)
    return Record(number=number, params=trial.params, figures=figures, over=over)
