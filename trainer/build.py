"""From history to bundle: every step a function, in the order of the work."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_lstm import __version__
from edge_lstm.backends import load_backend
from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import CARD, GOLDEN, MODEL, REPORT, WEIGHTS, Bundle, write_bundle
from edge_lstm.contracts.manifest import (
    FORMAT,
    MEMBER,
    AssetScaling,
    Channel,
    Grid,
    Head,
    Kind,
    Manifest,
    Member,
    Scoring,
    Threshold,
)
from edge_lstm.core.normalize import normalizers
from edge_lstm.core.when import scored_channels
from edge_lstm.errors import ConfigError, HistoryError, OperatorError
from edge_lstm.rule import Rule
from edge_lstm.selftest import golden_run, verify
from edge_lstm.times import format_time
from trainer.calibrate import (
    MONTH_S,
    Tail,
    calibrate_heads,
    calibrate_threshold,
    fit_tail,
    level_of,
    normal_scores,
)
from trainer.candidates import Field, candidates
from trainer.contest import Contest, run_contest
from trainer.convert import FRAME, Converted, Representative, convert
from trainer.data import History
from trainer.fit import FitSettings, Fitted, fit, forward
from trainer.linear import fit_pca, fit_var
from trainer.metrics import agreement, channel_errors
from trainer.model import HEADS, Autoencoder, Shape
from trainer.normal_runs import cut_runs
from trainer.progress import Watcher
from trainer.scale import learn_scaling
from trainer.settings import ChannelSettings, ModelSettings, TrainSettings
from trainer.split import Part, split
from trainer.trace import Trace, trace

__all__ = [
    "Built",
    "Prepared",
    "Whole",
    "backend_of",
    "build",
    "build_whole",
    "deliver",
    "heads_of",
    "pack",
    "select",
    "together",
    "wake_tensorflow",
]

Floats = NDArray[np.float64]

CLIP = 8.0
"""Model units; 8 standard deviations are an anomaly however much more it is."""
CAP = 1000.0
"""A standardised square: 30 deviations are an alarm however much more it is."""
CONTEST_LEAD, CONTEST_HORIZON, CONTEST_RUNS = 100, 60, 200
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
    float_traces: list[Trace]
    tail: Tail
    converted: Converted
    float_converted: Converted
    weights: Mapping[str, Floats]
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


def build(history: History, settings: TrainSettings, *, name: str, watcher: Watcher) -> Built:
    """Train, convert and calibrate.

    Raises:
        HistoryError: The history does not suffice.
        ConversionError: The model did not become whole int8.
    """
    whole = build_whole(history, settings, name=name, watcher=watcher)
    watcher.stage("contest on injected faults")
    field = Field(whole.manifest, whole.converted.content, whole.weights)
    costs = costs_of(whole.manifest, whole.fitted.model, whole.weights)
    contest = hold_contest(field, costs, whole.prepared, settings)
    manifest, traces, tail = deliver(whole, chosen(contest, settings), settings)
    plain, float_traces = whole.float_converted, traces
    if manifest.input:
        watcher.stage("compare int8 with float")
        float_manifest = _with(manifest, inputs=plain.inputs, outputs=plain.outputs)
        float_traces = run(float_manifest, plain, whole.weights, whole.prepared.parts, watcher)
    built = Built(manifest, whole.fitted, traces, float_traces, tail, whole.converted, plain, whole.weights)
    built.metrics = {**measure(built, history.channels), "contest": contest.to_dict()}
    built.manifest = _with(manifest, metrics=built.metrics)
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


def heads_of(manifest: Manifest, members: Sequence[Member]) -> list[int]:
    """Which of the heads belong to these members."""
    return [i for i, head in enumerate(manifest.scoring.heads) if MEMBER[head.kind] in members]


def select(manifest: Manifest, members: Sequence[Member]) -> Manifest:
    """The manifest of a bundle with these members alone; without ``lstm`` it has no network."""
    heads = tuple(manifest.scoring.heads[i] for i in heads_of(manifest, members))
    chosen = _with(manifest, scoring=_with(manifest.scoring, heads=heads))
    return chosen if "lstm" in members else _with(chosen, inputs=(), outputs=(), input="", states=())


def costs_of(manifest: Manifest, model: Autoencoder, weights: Mapping[str, Floats]) -> dict[Member, float]:
    """Multiplications a reading of each member, near enough to rank them."""
    return {
        "lstm": float(sum(w.size for w in model.weights())),
        "ewma": float(len(manifest.channels)),
        "pca": float(weights["pca_q"].size + weights["pca_t2"].size),
        "var": float(weights["var"].size),
    }


def hold_contest(
    field: Field,
    costs: Mapping[Member, float],
    prepared: Prepared,
    settings: TrainSettings,
    *,
    shipped: Sequence[Member] | None = None,
) -> Contest:
    """Every member alone and what would be shipped, on faults injected into held-out rows.

    Args:
        field: The members.
        costs: Of each member that takes part.
        prepared: Stretches with held-out rows, and the scaling.
        settings: Seed and alarm budget.
        shipped: The members that would be shipped; by default those of the settings.
    """
    default, named = normalizers(prepared.scaling, prepared.assets, clip=math.inf)
    usual = [part for part in prepared.parts if not part.odd and len(part.values) > part.validation]
    stretches = [
        named.get(part.asset, default).forward(rows)
        for part in usual
        for rows in _unpaused(part, max(0, part.validation - CONTEST_LEAD))
    ]
    normal = cut_runs(stretches, lead=CONTEST_LEAD, horizon=CONTEST_HORIZON, most=CONTEST_RUNS)
    scored = np.flatnonzero(scored_channels(field.channels)).astype(np.int64)
    wanted = settings.alarm.budget_per_month / (MONTH_S / field.period_s)
    return run_contest(
        candidates(field, costs, shipped or together(settings)),
        replace(normal, scored=scored),
        level_of=lambda scores: level_of(fit_tail(scores), wanted),
        reference="lstm" if "lstm" in costs else next(iter(costs)),
        seed=settings.seed,
    )


def _unpaused(part: Part, first: int) -> list[Floats]:
    """The unbroken stretches of rows that are scored, from a row on; an empty one where there is none."""
    paused = part.paused[first:]
    pieces = np.split(np.arange(len(paused)), np.flatnonzero(np.diff(paused)) + 1)
    return [part.values[first:][rows] for rows in pieces if not paused[rows[0]]] or [part.values[:0]]


def together(settings: TrainSettings) -> Sequence[Member]:
    """The members that take part as an ensemble."""
    default: Sequence[Member] = ("lstm", "var")
    return default if settings.members == "auto" else settings.members


def chosen(contest: Contest, settings: TrainSettings) -> Sequence[Member]:
    """The members to ship: those of the settings, or what the contest names."""
    if settings.members != "auto" or contest.verdict.winner is None:
        return together(settings)
    named = contest.verdict.ship.split("+")
    return [member for member in get_args(Member) if member in named]


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
    if not any((~part.paused[part.validation :]).any() for part in parts if not part.odd):
        raise HistoryError(
            "the rule alarm.score_when holds in no held-out row",
            expected="a rule that holds while the machine works",
            got=settings.alarm.score_when or "rows at an odd operating point only",
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
    shape = shape_of(model, z[0].shape[1])
    facts = ("updates", "steps", "learning_rate", "clip_norm", "dropout", "patience")
    fit_settings = FitSettings(seed=settings.seed, **{name: getattr(model, name) for name in facts})
    fitted = fit(
        learned,
        later,
        shape,
        fit_settings,
        progress=lambda e: watcher.advance(
            e.update / e.updates, f"loss {e.train_loss:.4f}, later history {e.validation_loss:.4f}"
        ),
    )
    moved = np.any([np.ptp(x, axis=0) > 0 for x in z], axis=0)
    fitted.model.silence(np.flatnonzero(~moved).tolist())
    return fitted


def shape_of(model: ModelSettings, channels: int) -> Shape:
    """What the settings ask for; a model without a reconstruction has no bottleneck."""
    has_code = "reconstruction" in HEADS[model.mode]
    return Shape(
        channels,
        model.units,
        model.layers,
        code=(model.code or max(2, channels // 3)) if has_code else 0,
        cell=model.cell,
        mode=model.mode,
        lags=tuple(lag for lag in model.lags if lag > 0) if has_code else (),
        attention=model.attention,
        linear=model.linear,
    )


def fit_linear(prepared: Prepared, settings: TrainSettings) -> dict[str, Floats]:
    """Weights of the linear members, from all rows that are not held out."""
    usual = [
        x[: part.validation].astype(np.float64)
        for part, x in zip(prepared.parts, _normalized(prepared), strict=True)
        if not part.odd
    ]
    return {**fit_pca(usual, settings.pca), **fit_var(usual, settings.var)}


def convert_both(model: Autoencoder, prepared: Prepared) -> tuple[Converted, Converted]:
    """(int8, float) single steps; the ranges come from learned rows with their real states."""
    frames, states = [], []
    share = min(1.0, TRACE_ROWS / sum(part.train for part in prepared.parts))
    for part, x in zip(prepared.parts, _normalized(prepared), strict=True):
        rows = x[: max(1, round(part.train * share))]
        frames.append(rows)
        states.append(forward(model, rows)[1])
    pooled = np.concatenate(frames)
    chosen = np.unique(np.linspace(0, len(pooled) - 1, REPRESENTATIVE_ROWS).astype(int))
    representative = Representative(
        pooled[chosen], tuple(np.concatenate(state)[chosen] for state in zip(*states, strict=True))
    )
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
        states=converted.states,
        channels=channels_of(settings, history.channels),
        scaling=prepared.scaling,
        assets=prepared.assets,
        grid=Grid(
            history.period_s, history.period_s * settings.history.gap_factor, alarm.hold_frames, alarm.warm_up
        ),
        scoring=Scoring(CLIP, CAP, _heads(settings, len(history.channels))),
        threshold=Threshold(0.0, 0.0, 0, 0, 0, alarm.budget_per_month, 0.0, extrapolated=True),
        golden_tolerance=GOLDEN_TOLERANCE,
        training=_training_facts(history, settings, prepared),
        metrics={},
        score_when=settings.alarm.score_when or "",
    )


def _heads(settings: TrainSettings, channels: int) -> tuple[Head, ...]:
    """Structure, dynamics and level: no one of them sees every fault (docs/explain-detection.md)."""
    score, zeros, ones = settings.score, (0.0,) * channels, (1.0,) * channels

    def head(kind: Kind, output: str, alpha: float, pre_alpha: float = 1.0, **takes: Any) -> Head:
        return Head(kind, output, pre_alpha, alpha, zeros, ones, 1.0, **takes)

    heads = (
        head("reconstruction", "reconstruction", score.reconstruction_alpha),
        head("forecast", "forecast", score.forecast_alpha),
        head("level", "", score.level_alpha, score.level_pre_alpha),
        head("pca_q", "pca_q", score.pca_alpha, lags=(0,)),
        head("pca_t2", "pca_t2", score.pca_alpha, lags=(0,)),
        head("var", "var", score.var_alpha, lags=settings.var.lags, memory=settings.var.memory),
    )
    network = HEADS[settings.model.mode]
    return tuple(one for one in heads if MEMBER[one.kind] != "lstm" or one.kind in network)


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


def backend_of(manifest: Manifest, converted: Converted) -> LiteRtBackend:
    """What runs a network that is not in a bundle yet."""
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
        "tail": asdict(built.tail),
    }


def golden(built: Built) -> bytes:
    """Golden vectors: held-out frames and all that the model answers, from a fresh state."""
    last = max(built.traces, key=lambda one: len(one.z) - one.part.validation + one.start)
    frames = last.z[-GOLDEN_STEPS:]
    bundle = Bundle(Path("memory"), "", built.manifest, members_of(built))
    buffer = BytesIO()
    answers: dict[str, Any] = golden_run(bundle, load_backend(bundle), frames)
    np.savez(buffer, frames=frames, **answers)
    return buffer.getvalue()


def members_of(built: Built) -> dict[str, bytes]:
    """The files that the heads need: the network, the weights of the linear members."""
    outputs = [head.output for head in built.manifest.scoring.heads]
    needed = {name: built.weights[name] for name in outputs if name in built.weights}
    files = {MODEL: built.converted.content} if built.manifest.input else {}
    if needed:
        buffer = BytesIO()
        np.savez(buffer, allow_pickle=False, **needed)
        files[WEIGHTS] = buffer.getvalue()
    return files


def pack(built: Built, out: Path, *, card: str, report: str) -> Bundle:
    """Write the bundle and prove it by its own selftest.

    Raises:
        BundleError: The place cannot be written to.
        SelfTestError: The bundle does not come out on the machine that built it.
    """
    members = {
        **members_of(built),
        GOLDEN: golden(built),
        CARD: card.encode(),
        REPORT: report.encode(),
    }
    check = Bundle(out, "", built.manifest, members)
    verify(check, load_backend(check))
    sha256 = write_bundle(out, built.manifest, members)
    return Bundle(out, sha256, built.manifest, members)
