"""What a manifest must be beyond its types: names that exist, lengths that fit, numbers that can be used."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import msgspec

from edge_lstm.contracts.manifest import MEMBER, AssetScaling, Head, Manifest
from edge_lstm.rule import Rule

__all__ = ["problems"]

_ID = re.compile(r"[A-Za-z0-9._-]+")
_MOST_LAG = 1000
_MOST_TOLERANCE = 64
"""A quarter of what int8 can say; a board that is further off computes something else."""
_MOST = 1e9
"""Thirty years in seconds; nothing larger makes sense, or fits into nanoseconds."""


def problems(manifest: Manifest) -> Iterator[str]:
    """Everything that is wrong, one line each; nothing for a manifest of ours."""
    names = [channel.name for channel in manifest.channels]
    if not names or len(set(names)) != len(names) or not all(names):
        yield "channels must have names, and each another one"
    if not _ID.fullmatch(manifest.id):
        yield "id must be letters, digits, '.', '_' and '-'"
    elif all(channel.role == "context" for channel in manifest.channels):
        yield "no channel has the role telemetry, so there is nothing to score"
    if manifest.score_when:
        try:
            Rule.parse(manifest.score_when, names)
        except ValueError as error:
            yield f"score_when is no rule: {error}"
    yield from _tensors(manifest)
    for where, scaling in (("scaling", manifest.scaling), *manifest.assets.items()):
        yield from _scaling(where, scaling, len(names))
    if not manifest.scoring.heads:
        yield "scoring has no heads"
    for head in manifest.scoring.heads:
        yield from _head(head, len(names))
    taken = [head.output for head in manifest.scoring.heads if head.output]
    if len(set(taken)) != len(taken):
        yield "two heads have the same output"
    yield from _numbers(manifest)


def _tensors(manifest: Manifest) -> Iterator[str]:
    inputs, outputs = {t.name for t in manifest.inputs}, {t.name for t in manifest.outputs}
    network = [head.output for head in manifest.scoring.heads if MEMBER[head.kind] == "lstm"]
    if bool(network) != bool(manifest.input):
        yield f"there is {'no network for its heads' if network else 'a network and no head of it'}"
    wanted_in = [*([manifest.input] if manifest.input else []), *(state.input for state in manifest.states)]
    kept = [state.output for state in manifest.states]
    wanted_out = [*kept, *network]
    for name in sorted({*wanted_in} - inputs):
        yield f"there is no input tensor '{name}'"
    for name in sorted({*wanted_out} - outputs):
        yield f"there is no output tensor '{name}'"
    used = [*wanted_in, *kept]
    if len(set(used)) != len(used):
        yield "a state tensor is named twice"
    before, after = {t.name: t for t in manifest.inputs}, {t.name: t for t in manifest.outputs}
    for state in manifest.states:
        one, other = before.get(state.input), after.get(state.output)
        if one and other and msgspec.structs.replace(one, name=other.name) != other:
            yield f"state '{state.input}' comes out as another kind of tensor, '{state.output}'"
    for tensor in (*manifest.inputs, *manifest.outputs):
        if tensor.dtype == "int8" and not (_positive(tensor.scale) and -128 <= tensor.zero_point <= 127):
            yield f"tensor '{tensor.name}' has no usable scale and zero point"


def _scaling(where: str, scaling: AssetScaling, channels: int) -> Iterator[str]:
    if len(scaling.centre) != channels or len(scaling.scale) != channels:
        yield f"'{where}' must have {channels} centres and scales"
    elif not all(map(math.isfinite, scaling.centre)) or not all(map(_positive, scaling.scale)):
        yield f"'{where}' has a centre that is no number, or a scale that is not above 0"


def _head(head: Head, channels: int) -> Iterator[str]:
    if len(head.mean) != channels or len(head.std) != channels:
        yield f"head '{head.kind}' must have {channels} means and deviations"
    elif not all(map(math.isfinite, head.mean)) or not all(map(_positive, (*head.std, head.scale))):
        yield f"head '{head.kind}' has a mean that is no number, or a deviation that is not above 0"
    if not (0 < head.alpha <= 1 and 0 < head.pre_alpha <= 1):
        yield f"head '{head.kind}' has a smoothing outside 0 to 1"
    if bool(head.output) == (head.kind == "level"):
        yield f"head '{head.kind}' {'has' if head.output else 'lacks'} an output"
    linear, regressors = MEMBER[head.kind] in ("pca", "var"), (*head.lags, *head.memory)
    first = 1 if head.kind == "var" else 0  # an autoregression must not see the frame it foretells
    if len(set(regressors)) != len(regressors):
        yield f"head '{head.kind}' takes the same past twice"
    if linear != bool(regressors) or not all(first <= lag <= _MOST_LAG for lag in head.lags):
        yield f"head '{head.kind}' has lags that cannot be used"
    if not all(0 < alpha <= 1 for alpha in head.memory):
        yield f"head '{head.kind}' has a moving average outside 0 to 1"


def _numbers(manifest: Manifest) -> Iterator[str]:
    grid, threshold = manifest.grid, manifest.threshold
    positive: Sequence[tuple[str, float]] = (
        ("grid.period_s", grid.period_s),
        ("grid.gap_after_s", grid.gap_after_s),
        ("scoring.clip", manifest.scoring.clip),
        ("scoring.cap", manifest.scoring.cap),
        ("threshold.level", threshold.level),
        ("threshold.close_ratio", threshold.close_ratio),
    )
    for name, value in positive:
        if not (_positive(value) and value <= _MOST):
            yield f"{name} must be above 0 and at most {_MOST:g}, got {value}"
    counts = (grid.hold_frames, grid.warm_up, threshold.refractory, manifest.golden_tolerance)
    delays = (threshold.open_after, threshold.close_after)
    if min(counts) < 0 or min(delays) < 1 or max(*counts, *delays) > _MOST:
        yield "a count of frames is negative or endless"
    if threshold.close_ratio > 1:
        yield f"threshold.close_ratio must be at most 1, got {threshold.close_ratio}"
    if manifest.golden_tolerance > _MOST_TOLERANCE:
        yield f"golden_tolerance must be at most {_MOST_TOLERANCE}, got {manifest.golden_tolerance}"


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
