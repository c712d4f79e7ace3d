"""The checker: what was sent and must have come of it, held against what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import msgspec

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.torture.truth import Expected, Stream, Subject, Tier, essence, expect, seen_counts
from edge_lstm.torture.witness import chain

__all__ = ["Verdict", "delivered", "judge"]


@dataclass
class Verdict:
    """What became of one daemon's readings and alerts, in numbers that add up over daemons.

    Attributes:
        trials: Faults it met.
        readings: Readings that the broker took.
        once: Readings that were scored once.
        lost: Readings that were never scored.
        forgiven: Lost readings that the daemon was never given: the broker forgot them.
        double: Times that a reading was scored again.
        streams: Streams.
        exact: Streams whose state is the undisturbed daemon's bit for bit.
        due: Alerts that an undisturbed daemon says.
        heard: Those of them that the consumer has.
        spurious: Alerts that the consumer has and nobody should have said.
        repeated: Alerts that came more than once; the numbers tell them, so that is allowed.
        replays: How often the consumer asked for what it missed.
        drain_s: Longest time from the last fault until everything was through, seconds.
        faults: Anything else that must not be, one line each.
    """

    trials: int = 0
    readings: int = 0
    once: int = 0
    lost: int = 0
    forgiven: int = 0
    double: int = 0
    streams: int = 0
    exact: int = 0
    due: int = 0
    heard: int = 0
    spurious: int = 0
    repeated: int = 0
    replays: int = 0
    drain_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every promise was kept, and there was something to keep."""
        readings = self.once > 0 and self.lost == self.forgiven and not self.double
        alerts = self.heard == self.due and not self.spurious
        return readings and alerts and self.exact == self.streams and not self.faults

    def __iadd__(self, other: Verdict) -> Self:
        """Add another daemon's."""
        for one in fields(self):
            mine, its = getattr(self, one.name), getattr(other, one.name)
            setattr(self, one.name, max(mine, its) if one.name == "drain_s" else mine + its)
        return self

    def complaint(self) -> str:
        """What does not hold, in a few words; empty when all does."""
        said = {
            "readings lost": self.lost - self.forgiven,
            "scored twice": self.double,
            "streams not exact": self.streams - self.exact,
            "alerts missing": self.due - self.heard,
            "alerts nobody should have said": self.spurious,
        }
        parts = [f"{number} {what}" for what, number in said.items() if number]
        parts += [] if self.once else ["nothing was scored once"]
        return "; ".join([*parts, *self.faults[:3]])


def delivered(payloads: Iterable[bytes], tier: Tier) -> tuple[Counter[str], int, list[str]]:
    """What a consumer has heard: essence of each alert to how often, repeats, and faults.

    An alert that comes again with the same id, type and time is a repeat, and must say the same;
    so must one that comes again with the same number.
    """
    first: dict[tuple[Any, ...], str] = {}
    numbers: dict[int, str] = {}
    repeated, faults = 0, []
    for payload in payloads:
        said = msgspec.json.decode(payload)
        key = (said.get("id"), said.get("type"), said.get("time"))
        try:
            whole = essence(payload, "time")
        except ValueError as error:
            faults.append(f"the consumer heard something that is no alert: {error}")
            continue
        number = said.get("seq")
        if number and numbers.setdefault(number, whole) != whole:
            faults.append(f"seq {number} came with two contents")
        if key in first:
            repeated += 1
            if first[key] != whole:
                faults.append(f"alert {key} came with two contents")
        first.setdefault(key, whole)
    return Counter(essence(whole.encode(), tier) for whole in first.values()), repeated, faults


def judge(
    subject: Subject,
    config: DeviceConfig,
    streams: Sequence[Stream],
    *,
    states: Mapping[str, Mapping[str, bytes]],
    alerts: Iterable[bytes],
    given: Mapping[str, set[int]] | None = None,
) -> Verdict:
    """Hold one daemon's end against the truth.

    Args:
        subject: What it ran.
        config: Its configuration.
        streams: What was sent.
        states: Asset to the arrays it left.
        alerts: What the consumer heard.
        given: Asset to the readings that reached the daemon, where the broker may have
            forgotten some; ``None`` says that it must have been given all.
    """
    tier = streams[0].tier
    verdict = Verdict(readings=sum(len(one.sent) for one in streams), streams=len(streams))
    kept: dict[str, list[int]] = {}
    for stream in streams:
        kept[stream.asset] = _count(verdict, subject, stream, states.get(stream.asset), given)
    expected = expect(subject, config, streams, kept if given is not None else None)
    for stream in streams:
        verdict.exact += _exact(subject, stream, states.get(stream.asset), expected, kept[stream.asset])
    heard, verdict.repeated, faults = delivered(alerts, tier)
    verdict.faults += faults
    verdict.due = expected.alerts.total()
    verdict.heard = (expected.alerts & heard).total()
    verdict.spurious = (heard - expected.alerts).total()
    return verdict


def _count(
    verdict: Verdict,
    subject: Subject,
    stream: Stream,
    arrays: Mapping[str, bytes] | None,
    given: Mapping[str, set[int]] | None,
) -> list[int]:
    """Count one stream's readings; the indexes of those that were scored."""
    length = len(stream.sent)
    if not subject.witness:  # a real network does not say what it was given: its state is compared whole
        verdict.once += length
        return list(range(length))
    counts = seen_counts(arrays, length) if arrays is not None else [0] * length
    kept = [index for index, count in enumerate(counts) if count]
    missing = {index for index, count in enumerate(counts) if not count}
    verdict.once += sum(count == 1 for count in counts)
    verdict.double += sum(count - 1 for count in counts if count > 1)
    verdict.lost += len(missing)
    if given is not None:
        verdict.forgiven += len(missing - given[stream.asset])
    return kept


def _exact(
    subject: Subject,
    stream: Stream,
    arrays: Mapping[str, bytes] | None,
    expected: Expected,
    kept: Sequence[int],
) -> bool:
    """Whether a stream's state is the undisturbed one; the witness's chain is computed a second way."""
    wanted = expected.states.get(stream.asset)
    if arrays is None or wanted is None or dict(arrays) != wanted:
        return arrays is None and wanted is None
    if not subject.witness:
        return True
    return arrays["chain_in"] == chain([stream.frame(index) for index in kept])
