"""Manifests that have the right types and cannot be used all the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edge_lstm.contracts.manifest import Manifest
from edge_lstm.manifest_rules import problems
from edge_lstm.testing import fake_manifest


def changed(path: str, value: object) -> Manifest:
    """A good manifest with one value replaced; ``path`` is dotted, numbers are indexes."""
    facts: Any = msgspec.to_builtins(fake_manifest())
    *parents, last = path.split(".")
    here = facts
    for part in parents:
        here = here[int(part) if part.isdecimal() else part]
    here[int(last) if last.isdecimal() else last] = value
    return msgspec.convert(facts, Manifest)


def test_good_manifest_has_no_problem() -> None:
    """What we write is what we accept."""
    assert [] == list(problems(fake_manifest()))


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("channels", [], "channels"),
        ("channels.1.name", "a", "each another one"),
        ("score_when", "a > b.c", "score_when is no rule: character 5"),
        ("score_when", "speed > 5", "there is no channel 'speed'"),
        ("input", "nothing", "no input tensor 'nothing'"),
        ("states.0.output", "reconstructed", "no output tensor 'reconstructed'"),
        ("states.1.input", "hidden_in_0", "named twice"),
        ("outputs.2.scale", 1 / 64, "state 'hidden_in_0' comes out as another kind"),
        ("outputs.3.shape", [1, 5], "state 'cell_in_0' comes out as another kind"),
        ("scoring.heads.0.output", "other", "no output tensor 'other'"),
        ("scoring.heads.0.output", "", "lacks an output"),
        ("scoring.heads.0.mean", [0.0], "2 means"),
        ("scoring.heads.0.std", [1.0, 0.0], "not above 0"),
        ("scoring.heads.0.scale", float("nan"), "not above 0"),
        ("scoring.heads.0.alpha", 0.0, "smoothing"),
        ("scoring.heads", [], "no heads"),
        ("scaling.scale", [1.0, 0.0], "'scaling'"),
        ("scaling.centre", [1.0], "2 centres"),
        ("assets", {"p": {"centre": [0.0, float("inf")], "scale": [1.0, 1.0]}}, "'p'"),
        ("inputs.0.scale", 0.0, "'frame' has no usable scale"),
        ("grid.period_s", -1.0, "grid.period_s"),
        ("threshold.level", float("nan"), "threshold.level"),
        ("threshold.open_after", 0, "negative"),
        ("threshold.refractory", 2**70, "endless"),
        ("threshold.close_ratio", 1.5, "threshold.close_ratio"),
        ("golden_tolerance", 65, "golden_tolerance"),
        ("id", "a/b", "id must be"),
        ("channels.0.name", "", "must have names"),
        ("scoring.heads.1.output", "reconstruction", "two heads have the same output"),
        ("scoring.heads.0.lags", [1, 1], "the same past twice"),
        ("scoring.heads.0.memory", [0.5, 0.5], "the same past twice"),
    ],
)
def test_unusable_manifest_is_told(path: str, value: object, says: str) -> None:
    """Each fault in its own words, before anything is computed with it."""
    assert any(says in problem for problem in problems(changed(path, value)))


def test_manifest_with_nothing_to_score_is_told() -> None:
    """A model of context channels alone."""
    channels = tuple(msgspec.structs.replace(c, role="context") for c in fake_manifest().channels)
    said = list(problems(msgspec.structs.replace(fake_manifest(), channels=channels)))

    assert ["no channel has the role telemetry, so there is nothing to score"] == said
