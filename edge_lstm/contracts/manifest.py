"""The bundle's manifest, schema ``edge-lstm.bundle/1``: every fact of the model.

Facts of the *site* (broker, topics, names) are not here; they are in
`edge_lstm.contracts.config`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "FORMAT",
    "MEMBER",
    "AssetScaling",
    "Channel",
    "EdgeTpu",
    "FileEntry",
    "Grid",
    "Head",
    "Kind",
    "Manifest",
    "Member",
    "Scoring",
    "State",
    "Tensor",
    "Threshold",
]

Kind = Literal["reconstruction", "forecast", "level", "pca_q", "pca_t2", "var"]
Member = Literal["lstm", "ewma", "pca", "var"]

MEMBER: dict[Kind, Member] = {
    "reconstruction": "lstm",
    "forecast": "lstm",
    "level": "ewma",
    "pca_q": "pca",
    "pca_t2": "pca",
    "var": "var",
}
"""Which member of a bundle a head belongs to."""

FORMAT = 1
"""The manifest format this runtime writes, and the newest it reads."""


class FileEntry(msgspec.Struct, frozen=True):
    """One member of the bundle: SHA-256 (hexadecimal) and length in bytes."""

    sha256: str
    length: int


class Tensor(msgspec.Struct, frozen=True):
    """One input or output of the model, found by name.

    Attributes:
        name: The tensor's name in the model file.
        shape: Its shape; the first dimension is the batch.
        dtype: ``int8`` (or ``float32`` in a float model).
        scale: Quantization scale: real = (integer - zero_point) * scale.
        zero_point: Quantization zero point.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


class State(msgspec.Struct, frozen=True):
    """One vector that is carried from step to step: the names of its two tensors.

    Attributes:
        input: Takes the state before the step.
        output: Gives the state after it, with the same shape, scale and zero point.
    """

    input: str
    output: str


class Channel(msgspec.Struct, frozen=True):
    """One measured quantity, in model order.

    Attributes:
        name: Name in the readings.
        unit: Unit, empty when not known.
        valid_min: Lowest value that is physically possible, or null.
        valid_max: Highest value that is physically possible, or null.
        role: ``telemetry`` is scored; ``context`` (an order, a load) is an input of the model only.
    """

    name: str
    unit: str = ""
    valid_min: float | None = None
    valid_max: float | None = None
    role: Literal["telemetry", "context"] = "telemetry"


class AssetScaling(msgspec.Struct, frozen=True):
    """From channel units to model units: (value - centre) / scale, a number a channel."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]


class Grid(msgspec.Struct, frozen=True):
    """Time as the model knows it.

    Attributes:
        period_s: Typical time between frames, seconds.
        gap_after_s: Silence after which the state starts anew, seconds.
        hold_frames: Frames for which a missing channel is held before it is called missing.
        warm_up: Frames after a reset during which no alert can open.
    """

    period_s: float
    gap_after_s: float
    hold_frames: int
    warm_up: int


class Head(msgspec.Struct, frozen=True):
    """One way in which a member of the bundle knows the machine.

    Attributes:
        kind: What is expected of a frame, in model units.
            ``reconstruction``: the network's output says this frame.
            ``forecast``: the network's output says the change to the next frame.
            ``level``: the channel's centre.
            ``pca_q``: the frame's projection on the principal components.
            ``pca_t2``: no expectation to show; the residual is the frame in whitened components.
            ``var``: a linear map of the frames before.
        output: Name of the network's output tensor, or of the array in ``members.npz`` for
            ``pca_q``, ``pca_t2`` and ``var``; empty for ``level``.
        pre_alpha: Weight of the newest residual in the smoothing before squaring, 0 to 1;
            1 is none. It brings small but lasting deviations out of the noise.
        alpha: Weight of the newest square in the smoothing after squaring, 0 to 1.
        mean: Mean of the smoothed residual a channel on normal data, model units.
        std: Standard deviation of it a channel, floor included, model units.
        scale: 95 % quantile of this head's smoothed score on normal data.
        lags: Ages, in frames, of the readings that a linear map takes; 0 is this frame.
        memory: Weights of the newest frame in the moving averages of the past that a linear
            map takes besides, 0 to 1.
    """

    kind: Kind
    output: str
    pre_alpha: float
    alpha: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    lags: tuple[int, ...] = ()
    memory: tuple[float, ...] = ()


class Scoring(msgspec.Struct, frozen=True):
    """From residuals to one score.

    Attributes:
        clip: Model units are clipped to +-clip before the members and the residual.
        cap: Greatest standardised square of one channel: one wild reading must not mute the
            rest for hours.
        heads: The heads that are scored. The score is the mean over members of the mean over
            their heads of log1p(head / head.scale).
    """

    clip: float
    cap: float
    heads: tuple[Head, ...]


class Threshold(msgspec.Struct, frozen=True):
    """From scores to episodes.

    Attributes:
        level: Score above which a frame counts as anomalous.
        close_ratio: An episode can close below ``close_ratio * level`` (hysteresis).
        open_after: Consecutive frames above the level that open an episode (debounce).
        close_after: Consecutive frames below the closing level that close it.
        refractory: Frames after a close during which no new episode opens.
        budget_per_month: False alarms a month (30 days) the level was calibrated for.
        expected_per_month: False alarms a month to expect at this level: by the fitted tail, or
            as often as the history itself rose above it, whichever is more.
        extrapolated: True when the history is too short to prove the budget.
    """

    level: float
    close_ratio: float
    open_after: int
    close_after: int
    refractory: int
    budget_per_month: float
    expected_per_month: float
    extrapolated: bool


class EdgeTpu(msgspec.Struct, frozen=True):
    """What ``model.edgetpu.tflite`` is.

    Attributes:
        compiler: Version of the compiler that made it.
        source: SHA-256 (hexadecimal) of the network that it was made from.
        on_tpu: Operators of the network that run on the Edge TPU.
        on_cpu: Operators that stay on the CPU.
    """

    compiler: str
    source: str
    on_tpu: int
    on_cpu: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Every fact of the model.

    Attributes:
        format: Version of this schema.
        min_runtime: Lowest edge-lstm version that may run the bundle.
        id: Name of the model, ``[a-z0-9._-]``.
        version: Version of the model.
        created: RFC 3339. A fact of the build's inputs, not of the clock: see the
            ADR on reproducible bundles.
        files: Every other member of the bundle.
        inputs: Model inputs by name; none in a bundle without a network.
        outputs: Model outputs by name.
        input: Name of the input tensor that takes the frame; empty without a network.
        states: What is carried from step to step: first layer first, hidden before cell.
        channels: Channels in model order.
        scaling: Scaling for an asset that is not in ``assets``.
        assets: Scaling of each asset seen in training.
        grid: Time as the model knows it.
        scoring: From residuals to one score.
        threshold: From scores to episodes.
        golden_tolerance: Greatest difference to the golden vectors that passes, in
            quantization steps.
        training: What it was trained on and how.
        metrics: How good it was.
        fidelity: How near the int8 network stays to the float one; empty without a network.
        score_when: Rule that says which frames are scored (`edge_lstm.rule`); empty is always.
        edgetpu: What the model for the Edge TPU is; null in a bundle that has none.
    """

    format: int
    min_runtime: str
    id: str
    version: str
    created: str
    files: dict[str, FileEntry]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    input: str
    states: tuple[State, ...]
    channels: tuple[Channel, ...]
    scaling: AssetScaling
    assets: dict[str, AssetScaling]
    grid: Grid
    scoring: Scoring
    threshold: Threshold
    golden_tolerance: int
    training: dict[str, Any]
    metrics: dict[str, Any]
    fidelity: dict[str, Any] = {}
    score_when: str = ""
    edgetpu: EdgeTpu | None = None
