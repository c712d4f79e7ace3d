"""From history to bundle: every step a function, in the order of the work."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import keras
import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_lstm import __version__
from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import CARD, GOLDEN, MODEL, REPORT, Bundle, write_bundle
from edge_lstm.contracts.manifest import (
    FORMAT,
    AssetScaling,
    Channel,
    Grid,
    Head,
    Manifest,
    Scoring,
    Threshold,
)
from edge_lstm.core.normalize import normalizers
from edge_lstm.core.quantize import quantize
from edge_lstm.core.when import scored_channels
from edge_lstm.errors import ConfigError, OperatorError
from edge_lstm.rule import Rule
from edge_lstm.selftest import golden_run, verify
from edge_lstm.times import format_time
from trainer.calibrate import Tail, calibrate_heads, calibrate_threshold, normal_scores
from trainer.convert import FRAME, HEADS, Converted, Representative, convert
from trainer.data import History
from trainer.fit import FitSettings, Fitted, fit, forward
from trainer.metrics import agreement, channel_errors
from trainer.model import Autoencoder, Shape
from trainer.progress import Watcher
from trainer.scale import learn_scaling
from trainer.settings import ChannelSettings, TrainSettings
from trainer.split import Part, split
from trainer.trace import Trace, trace

__all__ = ["Built", "Prepared", "build", "pack", "wake_tensorflow"]

Floats = NDArray[np.float64]

CLIP = 8.0
"""Model units; 8 standard deviations are an anomaly however much more it is."""
GOLDEN_STEPS = 256
GOLDEN_TOLERANCE = 8
"""Quantization steps: kernels of other runtimes differ by one a step, and the state feeds it back."""
REPRESENTATIVE_ROWS = 2000
TRACE_ROWS = 60_000
LEAD_ROWS = 200
"""Rows that bring a fresh state up before validation counts."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """History ready for the model.

    Attributes:
        parts: Segments and where they are cut.
        scaling: Scaling of an asset that is not named.
        assets: Scaling of each named asset.
        notices: What the user should know.
    """

    parts: list[Part]
    scaling: AssetScaling
    assets: dict[str, AssetScaling]
    notices: tuple[str, ...] = ()


@dataclass(slots=True)
class Built:
    """What came of it, for the report and the terminal."""

    manifest: Manifest
    fitted: Fitted
    traces: list[Trace]
    float_traces: list[Trace]
    tail: Tail
    converted: Converted
    float_converted: Converted
    metrics: dict[str, Any] = field(default_factory=dict)

    def note(self, **facts: Any) -> None:
        """Keep more facts of the training in the manifest."""
        training = {**self.manifest.training, **facts}
        self.manifest = msgspec.structs.replace(self.manifest, training=training)


def wake_tensorflow() -> None:
    """Let it look for devices now; it talks on standard error while it does."""
    tf.zeros(1)


def build(history: History, settings: TrainSettings, *, name: str, watcher: Watcher) -> Built:
    """Train, convert and calibrate.

    Raises:
        HistoryError: The history does not suffice.
        ConversionError: The model did not become whole int8.
    """
    watcher.stage("scale and split")
    prepared = prepare(history, settings)
    watcher.stage("train")
    fitted = train(prepared, settings, history.channels, watcher)
    watcher.stage("convert to int8")
    converted, plain = convert_both(fitted.model, prepared)
    manifest = draft(history, settings, prepared, converted, name=name)
    watcher.stage("calibrate on the int8 model")
    traces = run(manifest, converted, prepared.parts, watcher)
    scoring = calibrate_heads(manifest.scoring, traces, warm_up=manifest.grid.warm_up)
    scores = normal_scores(scoring, traces, warm_up=manifest.grid.warm_up)
    threshold, tail = calibrate_threshold(scores, settings.alarm, period_s=history.period_s)
    manifest = msgspec.structs.replace(manifest, scoring=scoring, threshold=threshold)
    watcher.stage("compare int8 with float")
    float_manifest = msgspec.structs.replace(manifest, inputs=plain.inputs, outputs=plain.outputs)
    float_traces = run(float_manifest, plain, prepared.parts, watcher)
    built = Built(manifest, fitted, traces, float_traces, tail, converted, plain)
    built.metrics = measure(built, history.channels)
    built.manifest = msgspec.structs.replace(manifest, metrics=built.metrics)
    return built


def prepare(history: History, settings: TrainSettings) -> Prepared:
    """Cut the history and learn the scaling from the learned part alone."""
    share = 1 - settings.validation - settings.held_out
    learned = [s.values[: max(1, round(len(s.values) * share))] for s in history.segments]
    scaling, odd = learn_scaling(learned, clip=CLIP)
    assets = {}
    for name in sorted({s.asset for s in history.segments if s.asset}):
        own = [i for i, s in enumerate(history.segments) if s.asset == name]
        assets[name], odd_here = learn_scaling([learned[i] for i in own], clip=CLIP)
        for i, is_odd in zip(own, odd_here, strict=True):
            odd[i] = is_odd
    parts = split(
        [(s.asset, s.time_ns, s.values, is_odd) for s, is_odd in zip(history.segments, odd, strict=True)],
        np.asarray(scaling.centre),
        validation=settings.validation,
        held_out=settings.held_out,
        rule=rule_of(settings, history.channels),
    )
    return Prepared(parts, scaling, assets, _odd_notices(history, odd))


def rule_of(settings: TrainSettings, channels: Sequence[str]) -> Rule | None:
    """The rule ``alarm.score_when``, if there is one.

    Raises:
        ConfigError: It is no rule about these channels.
    """
    if not settings.alarm.score_when:
        return None
    try:
        return Rule.parse(settings.alarm.score_when, channels)
    except ValueError as error:
        raise ConfigError(f"is no rule: {error}", key="alarm.score_when") from error


def channels_of(settings: TrainSettings, names: Sequence[str]) -> tuple[Channel, ...]:
    """The channels with all that is known of them.

    Raises:
        ConfigError: None of them is to be scored.
    """
    channels = []
    for name in names:
        facts = settings.channels.get(name, ChannelSettings())
        role: Literal["telemetry", "context"] = "context" if facts.role == "context" else "telemetry"
        channels.append(Channel(name, facts.unit, *facts.valid, role))
    if not scored_channels(channels).any():
        raise ConfigError(
            "there is nothing to score",
            key="channels",
            expected="at least one channel with the role telemetry",
            got="only context",
        )
    return tuple(channels)


def _odd_notices(history: History, odd: Sequence[bool]) -> tuple[str, ...]:
    names = [s.source for s, is_odd in zip(history.segments, odd, strict=True) if is_odd]
    if not names:
        return ()
    return (
        (
            f"{', '.join(names)}: recorded at another operating point than the rest; learned, but the "
            f"threshold is calibrated without it, and that operating point will look like a fault"
        ),
    )


def _normalized(prepared: Prepared) -> list[NDArray[np.float32]]:
    """Every part in model units, (rows, channels)."""
    default, named = normalizers(prepared.scaling, prepared.assets, clip=CLIP)
    return [named.get(p.asset, default).forward(p.values).astype(np.float32) for p in prepared.parts]


def train(prepared: Prepared, settings: TrainSettings, names: Sequence[str], watcher: Watcher) -> Fitted:
    """Train on the learned rows; stop by the validation rows. ``names`` are the channels'."""
    model, z = settings.model, _normalized(prepared)
    scored = scored_channels(channels_of(settings, names))
    learned, later = [], []
    for part, x in zip(prepared.parts, z, strict=True):
        seen = (part.seen & scored).astype(np.float32)  # a context channel is seen and not predicted
        learned.append((x[: part.train], seen[: part.train]))
        if part.validation > part.train:
            first = max(0, part.train - LEAD_ROWS)
            later.append((x[first : part.validation], seen[first : part.validation], part.train - first))
    channels = z[0].shape[1]
    shape = Shape(channels, model.units, model.layers, model.code or max(2, channels // 3))
    facts = ("updates", "steps", "learning_rate", "clip_norm", "dropout", "patience")
    fit_settings = FitSettings(seed=settings.seed, **{name: getattr(model, name) for name in facts})
    return fit(
        learned,
        later,
        shape,
        fit_settings,
        progress=lambda e: watcher.advance(
            e.update / e.updates, f"loss {e.train_loss:.4f}, later history {e.validation_loss:.4f}"
        ),
    )


def convert_both(model: Autoencoder, prepared: Prepared) -> tuple[Converted, Converted]:
    """(int8, float) single steps; the ranges come from learned rows with their real states."""
    frames, states = [], []
    share = min(1.0, TRACE_ROWS / sum(part.train for part in prepared.parts))
    for part, x in zip(prepared.parts, _normalized(prepared), strict=True):
        rows = x[: max(1, round(part.train * share))]
        frames.append(rows)
        states.append(np.stack(forward(model, rows)[2]))
    pooled, memory = np.concatenate(frames), np.concatenate(states, axis=1)
    chosen = np.unique(np.linspace(0, len(pooled) - 1, REPRESENTATIVE_ROWS).astype(int))
    representative = Representative(pooled[chosen], tuple(memory[:, chosen]))
    return convert(model, representative), convert(model, None)


def draft(
    history: History, settings: TrainSettings, prepared: Prepared, converted: Converted, *, name: str
) -> Manifest:
    """The manifest, but for what calibration finds out."""
    alarm = settings.alarm
    return Manifest(
        format=FORMAT,
        min_runtime=__version__,
        id=name,
        version=settings.version,
        created=_created(prepared),
        files={},
        inputs=converted.inputs,
        outputs=converted.outputs,
        input=FRAME,
        layers=converted.layers,
        channels=channels_of(settings, history.channels),
        scaling=prepared.scaling,
        assets=prepared.assets,
        grid=Grid(
            history.period_s, history.period_s * settings.history.gap_factor, alarm.hold_frames, alarm.warm_up
        ),
        scoring=Scoring(CLIP, _heads(settings, len(history.channels))),
        threshold=Threshold(0.0, 0.0, 0, 0, 0, alarm.budget_per_month, 0.0, extrapolated=True),
        golden_tolerance=GOLDEN_TOLERANCE,
        training=_training_facts(history, settings, prepared),
        metrics={},
        score_when=settings.alarm.score_when or "",
    )


def _heads(settings: TrainSettings, channels: int) -> tuple[Head, ...]:
    """Structure, dynamics and level: no one of them sees every fault (docs/explain-scoring.md)."""
    score, zeros, ones = settings.score, (0.0,) * channels, (1.0,) * channels
    reconstruction, forecast = HEADS
    return (
        Head("reconstruction", reconstruction, 1.0, score.reconstruction_alpha, zeros, ones, 1.0),
        Head("forecast", forecast, 1.0, score.forecast_alpha, zeros, ones, 1.0),
        Head("level", "", score.level_pre_alpha, score.level_alpha, zeros, ones, 1.0),
    )


def _created(prepared: Prepared) -> str:
    """ADR 0006: a fact of the inputs, so that the same inputs give the same bundle."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch:
        if not epoch.isdecimal():
            raise OperatorError("SOURCE_DATE_EPOCH is not a time", expected="Unix seconds", got=epoch)
        return f"{datetime.fromtimestamp(int(epoch), UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    return format_time(max(int(part.time_ns[-1]) for part in prepared.parts))


def _training_facts(history: History, settings: TrainSettings, prepared: Prepared) -> dict[str, Any]:
    parts = prepared.parts
    return {
        "rows": sum(len(part.values) for part in parts),
        "rows_learned": sum(part.train for part in parts),
        "rows_validation": sum(part.validation - part.train for part in parts),
        "rows_held_out": sum(len(part.values) - part.validation for part in parts),
        "segments": len(parts),
        "start": format_time(min(int(part.time_ns[0]) for part in parts)),
        "end": format_time(max(int(part.time_ns[-1]) for part in parts)),
        "files": sorted({segment.source for segment in history.segments}),
        "notices": [*history.notices, *prepared.notices],
        "settings": msgspec.to_builtins(settings),
        "tensorflow": str(tf.__version__),
        "keras": str(keras.__version__),
        "python": platform.python_version(),
    }


def run(manifest: Manifest, converted: Converted, parts: Sequence[Part], watcher: Watcher) -> list[Trace]:
    """The history through one form of the model, as a device would."""
    total = min(TRACE_ROWS, sum(len(part.values) for part in parts))
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        watcher.advance(min(1.0, done / total))

    return trace(manifest, _backend(manifest, converted), parts, most=TRACE_ROWS, progress=count)


def _backend(manifest: Manifest, converted: Converted) -> LiteRtBackend:
    return LiteRtBackend(Bundle(Path("memory"), "", manifest, {MODEL: converted.content}))


def measure(built: Built, channels: Sequence[str]) -> dict[str, Any]:
    """Figures that go into manifest, card and report."""
    warm_up = built.manifest.grid.warm_up
    int8 = normal_scores(built.manifest.scoring, built.traces, warm_up=warm_up)
    real = normal_scores(built.manifest.scoring, built.float_traces, warm_up=warm_up)
    return {
        "errors": channel_errors(built.manifest, built.traces, channels),
        **agreement(np.concatenate(int8), np.concatenate(real)),
        "model_bytes": len(built.converted.content),
        "parameters": sum(w.size for w in built.fitted.model.weights()),
        "updates": built.fitted.best.update,
        "train_loss": built.fitted.best.train_loss,
        "validation_loss": built.fitted.best.validation_loss,
        "highest_normal_score": built.tail.highest,
    }


def golden(built: Built) -> bytes:
    """Golden vectors: held-out frames and all that the model answers, from a fresh state."""
    last = max(built.traces, key=lambda one: len(one.z) - one.part.validation + one.start)
    frame = next(t for t in built.manifest.inputs if t.name == built.manifest.input)
    frames = quantize(last.z[-GOLDEN_STEPS:], frame)
    bundle = Bundle(Path("memory"), "", built.manifest, {MODEL: built.converted.content})
    buffer = BytesIO()
    answers: dict[str, Any] = golden_run(bundle, LiteRtBackend(bundle), frames)
    np.savez(buffer, frames=frames, **answers)
    return buffer.getvalue()


def pack(built: Built, out: Path, *, card: str, report: str) -> Bundle:
    """Write the bundle and prove it by its own selftest.

    Raises:
        BundleError: The place cannot be written to.
        SelfTestError: The bundle does not come out on the machine that built it.
    """
    members = {
        MODEL: built.converted.content,
        GOLDEN: golden(built),
        CARD: card.encode(),
        REPORT: report.encode(),
    }
    check = Bundle(out, "", built.manifest, members)
    verify(check, LiteRtBackend(check))
    sha256 = write_bundle(out, built.manifest, members)
    return Bundle(out, sha256, built.manifest, members)
