"""Score to open and closed."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.manifest import Threshold
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.state import AlarmMemory
from edge_lstm.core.detector import Detector
from edge_lstm.core.threshold import AlarmRule, Transition
from edge_lstm.testing import FakeBackend, fake_manifest

CALIBRATED = Threshold(1.0, 0.8, 2, 3, 2, 2.0, 2.0, extrapolated=False)


def decide(
    scores: Sequence[float], site: AlarmOverrides | None = None, *, warming: int = 0
) -> list[Transition]:
    """Run a rule over scores, the first ``warming`` of them in warm-up."""
    rule, memory, said = AlarmRule(CALIBRATED, site or AlarmOverrides()), AlarmMemory(), []
    some_alert = _any_alert()
    for i, score in enumerate(scores):
        transition = rule.step(memory, score, warming=i < warming)
        if transition == "open":
            memory.alert = some_alert
        elif transition == "close":
            memory.alert = None
        said.append(transition)
    return said


def _any_alert() -> Alert:
    """Some alert: its content does not matter to the rule."""
    detector = Detector(
        fake_manifest(("a",)), FakeBackend(), sha256="0", node="n", alarm=AlarmOverrides(threshold=1e-9)
    )
    events = [e for t in range(1, 5) for e in detector.push(Reading("p", t * 10**9, {"a": 50.0}))]
    return next(event for event in events if isinstance(event, Alert))


def test_rule_opens_after_the_debounce() -> None:
    """One frame above the level is not an episode, two in a row are."""
    assert ["none", "none", "none", "none", "open"] == decide([2, 0, 0, 2, 2])


def test_rule_closes_below_the_hysteresis_only() -> None:
    """Between the closing level and the level an open episode stays open."""
    assert ["none", "open", "stay", "stay", "stay", "stay", "stay", "close"] == decide(
        [2, 2, 0.9, 0.9, 0.9, 0.7, 0.7, 0.7]
    )


def test_rule_waits_out_the_refractory_time() -> None:
    """After a close nothing opens for the refractory frames."""
    scores = [2, 2, 0, 0, 0, 2, 2, 2, 2]

    assert ["none", "open", "stay", "stay", "close", "none", "open"] == decide(scores)[:7]


def test_rule_opens_nothing_while_warming() -> None:
    """High scores of a young state are not alarms, and do not count towards one."""
    assert ["none"] * 4 + ["open"] == decide([2, 2, 2, 2, 2], warming=3)


def test_site_overrides_the_bundle() -> None:
    """What the site says stands over the calibrated numbers; what it leaves out does not."""
    site = AlarmOverrides(threshold=3.0, open_after=1)

    assert ["none", "open", "stay", "stay", "close"] == decide([2.9, 3.1, 2, 2, 2], site)


@given(st.lists(st.floats(0, 3), max_size=200))
def test_rule_never_opens_twice_without_a_close(scores: list[float]) -> None:
    """Open and close take turns, whatever the scores."""
    turns = [t for t in decide(scores) if t in ("open", "close")]

    assert turns == [("open", "close")[i % 2] for i in range(len(turns))]
