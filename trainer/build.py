"""From history to bundle: every step a function, in the order of the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import MEMBER, Manifest, Member
from edge_lstm.core.when import scored_channels
from trainer.calibrate import (
    Tail,
    calibrate_heads,
    calibrate_threshold,
    normal_scores,
)
from trainer.candidates import Field
from trainer.convert import Converted
from trainer.data import History
from trainer.draft import draft, heads_of, select
from trainer.fidelity import Fidelity
from trainer.fidelity import measure as measure_fidelity
from trainer.fidelity_text import fidelity_lines
from trainer.fit import Fitted
from trainer.gate import failures, refuse
from trainer.held_contest import chosen, costs_of, hold_contest
from trainer.labelled import LabelledStretch
from trainer.learn import convert_both, fit_linear, train, tune_for_int8
from trainer.material import labelled_of, material_of
from trainer.metrics import channel_errors
from trainer.networks import backend_of
from trainer.prepare import Prepared, prepare
from trainer.progress import Watcher
from trainer.settings import TrainSettings
from trainer.split import Part
from trainer.trace import TRACE_ROWS, Trace, trace

__all__ = ["Built", "Whole", "build", "build_whole", "deliver", "wake_tensorflow"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Whole:
    """Every member, trained and calibrated, before some are chosen.

    Attributes:
        manifest: With the heads of all members; its threshold is not set.
        prepared: What they learned from.
        fitted: The network.
        traces: The history through all members, the network as int8.
        converted: The network as int8.
        float_converted: The network as it was trained.
        weights: Arrays of the linear members.
    """

    manifest: Manifest
    prepared: Prepared
    fitted: Fitted
    traces: list[Trace]
    converted: Converted
    float_converted: Converted
    weights: Mapping[str, Floats]


@dataclass(slots=True)
class Built:
    """What came of it, for the report and the terminal."""

    manifest: Manifest
    fitted: Fitted
    traces: list[Trace]
    tail: Tail
    converted: Converted
    float_converted: Converted
    weights: Mapping[str, Floats]
    fidelity: Fidelity | None
    keep_float: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)

    def note(self, **facts: Any) -> None:
        """Keep more facts of the training in the manifest."""
        self.manifest = _with(self.manifest, training={**self.manifest.training, **facts})

    def measured(self, **figures: Any) -> None:
        """Add figures to the metrics, here and in the manifest."""
        self.metrics |= figures
        self.manifest = _with(self.manifest, metrics=self.metrics)


_with = msgspec.structs.replace


def wake_tensorflow() -> None:
    """Let it look for devices now; it talks on standard error while it does."""
    tf.zeros(1)


def build(
    history: History,
    settings: TrainSettings,
    *,
    name: str,
    watcher: Watcher,
    labelled: Sequence[LabelledStretch] = (),
) -> Built:
    """Train, convert, hold the contest and calibrate.

    Args:
        history: What is learned: normal rows.
        settings: How.
        name: Name of the model.
        watcher: Told what is going on.
        labelled: Stretches with known anomalies, for the contest alone.

    Raises:
        HistoryError: The history does not suffice.
        ConversionError: The model did not become whole int8.
        FidelityError: It does not give the verdicts of the float model.
    """
    whole = build_whole(history, settings, name=name, watcher=watcher)
    built = _finish(whole, settings, history.channels, watcher, labelled)
    found = _failures(built, settings)
    tuned = bool(found) and settings.int8.tuning_updates > 0
    if tuned:
        watcher.say(f"int8 does not follow float closely enough yet: {'; '.join(found)}")
        watcher.stage("quantization-aware training")
        whole = _tuned(whole, settings, history, name, watcher)
        built = _finish(whole, settings, history.channels, watcher, labelled)
        built.note(int8_tuning={"updates": settings.int8.tuning_updates, "because": found})
        found = _failures(built, settings)
    if found:
        for line in fidelity_lines(built.manifest):
            watcher.say(line)
    refuse(found, tuned=tuned, attention=settings.model.attention > 0)
    return built


def _failures(built: Built, settings: TrainSettings) -> list[str]:
    return failures(built.fidelity.figures, settings.int8) if built.fidelity else []


def _finish(
    whole: Whole,
    settings: TrainSettings,
    channels: Sequence[str],
    watcher: Watcher,
    labelled: Sequence[LabelledStretch],
) -> Built:
    """Contest, threshold, and the comparison of int8 with float."""
    watcher.stage("contest on injected faults")
    field = Field(whole.manifest, whole.converted.content, whole.weights)
    costs = costs_of(whole.manifest, whole.fitted.model, whole.weights)
    contest = hold_contest(field, costs, whole.prepared, settings, labelled=labelled)
    manifest, traces, tail = deliver(whole, chosen(contest, settings), settings)
    fidelity = None
    if manifest.input:
        watcher.stage("compare int8 with float")
        scored, steps = scored_channels(manifest.channels), settings.int8.steps
        fidelity = measure_fidelity(
            manifest,
            whole.converted,
            whole.float_converted,
            whole.weights,
            material_of(whole.prepared, scored, rows=steps // 3, seed=settings.seed),
            steps=steps,
            labelled=labelled_of(whole.prepared, labelled),
        )
        manifest = _with(manifest, fidelity=fidelity.figures)
    built = Built(
        manifest,
        whole.fitted,
        traces,
        tail,
        whole.converted,
        whole.float_converted,
        whole.weights,
        fidelity,
        settings.int8.keep_float,
    )
    built.measured(**measure(built, channels), contest=contest.to_dict())
    return built


def build_whole(history: History, settings: TrainSettings, *, name: str, watcher: Watcher) -> Whole:
    """Train, convert and calibrate every member.

    Raises:
        HistoryError: The history does not suffice.
        ConversionError: The model did not become whole int8.
    """
    watcher.stage("scale and split")
    prepared = prepare(history, settings)
    watcher.stage("train")
    fitted = train(prepared, settings, history.channels, watcher)
    return _converted(history, settings, prepared, fitted, name=name, watcher=watcher)


def _tuned(whole: Whole, settings: TrainSettings, history: History, name: str, watcher: Watcher) -> Whole:
    """The same with a network that was trained further, for int8."""
    heads = whole.manifest.scoring.heads
    spread = {head.output: np.array(head.std) for head in heads if MEMBER[head.kind] == "lstm"}
    tune_for_int8(whole.fitted.model, whole.prepared, settings, history.channels, spread, watcher)
    return _converted(history, settings, whole.prepared, whole.fitted, name=name, watcher=watcher)


def _converted(
    history: History,
    settings: TrainSettings,
    prepared: Prepared,
    fitted: Fitted,
    *,
    name: str,
    watcher: Watcher,
) -> Whole:
    """The trained network in both forms, the linear members, and the heads calibrated on int8."""
    watcher.stage("convert to int8")
    converted, plain = convert_both(fitted.model, prepared)
    weights = fit_linear(prepared, settings)
    manifest = draft(history, settings, prepared, converted, name=name)
    watcher.stage("calibrate on the int8 model")
    traces = run(manifest, converted, weights, prepared.parts, watcher)
    scoring = calibrate_heads(manifest.scoring, traces, warm_up=manifest.grid.warm_up)
    return Whole(_with(manifest, scoring=scoring), prepared, fitted, traces, converted, plain, weights)


def deliver(
    whole: Whole, members: Sequence[Member], settings: TrainSettings
) -> tuple[Manifest, list[Trace], Tail]:
    """The manifest of a bundle with these members alone, its threshold, and what that rests on."""
    manifest = select(whole.manifest, members)
    traces = [one.only(heads_of(whole.manifest, members)) for one in whole.traces]
    scores = normal_scores(manifest.scoring, traces, warm_up=manifest.grid.warm_up)
    threshold, tail = calibrate_threshold(scores, settings.alarm, period_s=manifest.grid.period_s)
    return _with(manifest, threshold=threshold), traces, tail


def run(
    manifest: Manifest,
    converted: Converted,
    weights: Mapping[str, Floats],
    parts: Sequence[Part],
    watcher: Watcher,
) -> list[Trace]:
    """The history through all members, the network in one of its forms, as a device would."""
    total = min(TRACE_ROWS, sum(len(part.values) for part in parts))
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        watcher.advance(min(1.0, done / total))

    return trace(manifest, backend_of(manifest, converted), weights, parts, most=TRACE_ROWS, progress=count)


def measure(built: Built, channels: Sequence[str]) -> dict[str, Any]:
    """Figures that go into manifest, card and report."""
    return {
        "errors": channel_errors(built.manifest, built.traces, channels),
        "model_bytes": len(built.converted.content),
        "parameters": sum(w.size for w in built.fitted.model.weights()),
        "updates": built.fitted.best.update,
        "train_loss": built.fitted.best.train_loss,
        "validation_loss": built.fitted.best.validation_loss,
        "highest_normal_score": built.tail.highest,
        "tail": asdict(built.tail),
    }
