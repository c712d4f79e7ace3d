"""The bundle's manifest, schema ``edge-lstm.bundle/1``: every fact of the model.

Facts of the *site* (broker, topics, names) are not here; they are in
`edge_lstm.contracts.config`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "FORMAT",
    "AssetScaling",
    "Channel",
    "FileEntry",
    "Grid",
    "Head",
    "Layer",
    "Manifest",
    "Scoring",
    "Tensor",
    "Threshold",
]

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


class Layer(msgspec.Struct, frozen=True):
    """Names of one recurrent layer's state tensors, input beside output."""

    hidden_in: str
    hidden_out: str
    cell_in: str
    cell_out: str


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
    """One way in which the model is asked to know the machine.

    Attributes:
        kind: ``reconstruction``: the output says this frame, in model units.
            ``forecast``: the output says the change to the next frame, in model units.
            ``level``: no output; the channel's centre is what is expected.
        output: Name of the output tensor, empty for ``level``.
        pre_alpha: Weight of the newest residual in the smoothing before squaring, 0 to 1;
            1 is none. It brings small but lasting deviations out of the noise.
        alpha: Weight of the newest square in the smoothing after squaring, 0 to 1.
        mean: Mean of the smoothed residual a channel on held-out normal data, model units.
        std: Standard deviation of it a channel, floor included, model units.
        scale: 99 % quantile of this head's smoothed score on held-out normal data.
    """

    kind: Literal["reconstruction", "forecast", "level"]
    output: str
    pre_alpha: float
    alpha: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float


class Scoring(msgspec.Struct, frozen=True):
    """From residuals to one score.

    Attributes:
        clip: Model units are clipped to +-clip before the model and the residual.
        heads: The heads that are scored; the score is the mean of log1p(head / head.scale).
    """

    clip: float
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
        expected_per_month: False alarms a month to expect at this level, by the fitted tail.
        extrapolated: True when the held-out data is shorter than the budget's interval,
            so that the level rests on a fitted tail and not on a count.
    """

    level: float
    close_ratio: float
    open_after: int
    close_after: int
    refractory: int
    budget_per_month: float
    expected_per_month: float
    extrapolated: bool


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
        inputs: Model inputs by name.
        outputs: Model outputs by name.
        input: Name of the input tensor that takes the frame.
        layers: The recurrent layers' state tensors.
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
        score_when: Rule that says which frames are scored (`edge_lstm.rule`); empty is always.
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
    layers: tuple[Layer, ...]
    channels: tuple[Channel, ...]
    scaling: AssetScaling
    assets: dict[str, AssetScaling]
    grid: Grid
    scoring: Scoring
    threshold: Threshold
    golden_tolerance: int
    training: dict[str, Any]
    metrics: dict[str, Any]
    score_when: str = ""
