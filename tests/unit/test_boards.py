"""What the programs for boards rely on: requirements that agree, and comparisons that can fail."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.boards.compare import agreement
from tests.boards.machines import BOARDS, CPUINFO, ROOTS
from tests.boards.paths import ROOT, reference_requirements
from tests.boards.runtimes import verdict

INTERPRETERS = {"ai-edge-litert", "tflite-runtime"}


def test_reference_requirements_are_the_dependencies_without_an_interpreter() -> None:
    """Nothing is missing, and nothing is narrower or wider than pip would have it."""
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    dependencies = [Requirement(text) for text in facts["project"]["dependencies"]]
    reference = {one.name: one for one in map(Requirement, reference_requirements())}

    assert reference.keys() == {one.name for one in dependencies} - INTERPRETERS
    for one in dependencies:
        if one.name not in INTERPRETERS | {"numpy"}:
            assert reference[one.name].specifier == one.specifier, one.name
    numpy = [one.specifier for one in dependencies if one.name == "numpy"]
    for version in ("1.24.2", "1.26.0", "2.4.6", "3.0"):
        assert reference["numpy"].specifier.contains(version) == any(s.contains(version) for s in numpy)


def test_every_board_can_be_emulated() -> None:
    """Root and processor are known."""
    assert {board.root for board in BOARDS.values()} <= ROOTS.keys()
    assert {board.cpu for board in BOARDS.values()} <= CPUINFO.keys()


def score(value: float, status: str = "normal") -> dict[str, Any]:
    """A score as it is published."""
    return {"score": value, "threshold": 2.0, "status": status}


def test_agreement_counts_bits_and_sees_other_verdicts() -> None:
    """Off by a bit is told apart from equal, and a status from another."""
    same = agreement({"a": score(1.0), "b": score(1.0)}, {"a": score(1.0), "b": score(1.5)})
    other = agreement({"a": score(1.0)}, {"a": score(1.0, "open")})
    opened = {"type": "open", "kind": "anomaly", "severity": "minor", "time": "t"}
    alerts = agreement({"a": score(1.0)}, {"a": score(1.0)}, [opened], [])

    assert (2, 1, 0.25, True) == tuple(same)
    assert not other.verdicts
    assert not alerts.verdicts


@pytest.mark.parametrize("there", [{}, {"b": score(1.0)}])
def test_scores_of_other_readings_are_refused(there: dict[str, Any]) -> None:
    """A board that lost readings does not pass for one that agrees."""
    with pytest.raises(ValueError, match="not of the same readings"):
        agreement({"a": score(1.0)}, there)


def test_a_crash_is_a_verdict() -> None:
    """A signal, a refusal in one line, and a figure."""
    assert (False, "", "signal 11") == tuple(verdict(-11, "", ""))
    assert (False, "", "edge-lstm: no") == tuple(verdict(1, "", "a\nedge-lstm: no\n"))
    assert (True, "litert", "3") == tuple(
        verdict(0, '{"passed": true, "backend": "litert", "greatest": 3.0}', "")
    )
