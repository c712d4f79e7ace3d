"""Who won, whether it is more than chance, and what to ship.

A difference counts when the 95 % interval of a paired bootstrap leaves out zero (Efron &
Tibshirani 1993, "An introduction to the bootstrap", chapter 13). Faults injected into one
run share its normal data, so whole runs are drawn with all their faults (cluster bootstrap:
Field & Welsh 2007, J. R. Statist. Soc. B 69), and the same draws serve every candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Finds", "Interval", "Verdict", "decide", "label", "percent"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Interval = tuple[float, float, float] | None
"""Share found, and its 95 % interval; None when nothing was injected."""

LEAST = 0.02
"""A smaller difference of shares is a draw even when it is sure: it is no reason to choose."""
FEWEST_RUNS = 8
"""With fewer normal runs the bootstrap's interval means nothing, and everything is a draw."""
LOWEST = 0.05
"""When no candidate finds more than this, there is no winner."""
_DRAWS = 2000
_FOLLOWS = (
    "Alone, the VAR follows from its first reading: a machine that is already off when it starts "
    "looks normal to it."
)


@dataclass(frozen=True, slots=True, eq=False)
class Finds:
    """What one candidate found.

    Attributes:
        found: Whether it found each fault, (faults,).
        cost: What breaks a draw: lower is simpler.
        ship: What to put into ``train.yaml`` to ship it.
    """

    found: NDArray[np.bool_]
    cost: float
    ship: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, in names and in words.

    Attributes:
        winner: The candidate that finds most; None when nothing can be told.
        draws: Candidates that find as much as the winner within the noise.
        ship: The cheapest of winner and draws; the reference when nothing can be told.
        beats_lstm: Candidates that find more than the reference beyond the noise, best first.
        sentences: The same in plain words.
    """

    winner: str | None
    draws: tuple[str, ...]
    ship: str
    beats_lstm: tuple[str, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Shares:
    """Share found by each candidate, and in each draw of the bootstrap, (draws,)."""

    found: Mapping[str, float]
    drawn: Mapping[str, Floats]

    def leads(self, one: str, other: str) -> bool:
        """Whether one finds more than the other beyond the noise."""
        low = float(np.quantile(self.drawn[one] - self.drawn[other], 0.025))
        return self.found[one] - self.found[other] >= LEAST and low > 0


def decide(
    finds: Mapping[str, Finds], kind: Ints, twin: Ints, *, reference: str = "lstm", seed: int = 0
) -> tuple[Verdict, dict[str, Interval]]:
    """Compare candidates on the same faults.

    Args:
        finds: Candidate to what it found.
        kind: Kind of each fault; the share found is the mean over kinds, (faults,).
        twin: The normal run of each fault, (faults,).
        reference: The candidate that the others are held against.
        seed: Same seed, same intervals.

    Returns:
        The verdict, and each candidate's share with its 95 % interval.
    """
    if not len(kind):
        said = "The held-out history is too short for a contest: nothing could be injected into it."
        return Verdict(None, (), reference, (), (said,)), dict.fromkeys(finds)
    shares = _bootstrap({name: one.found for name, one in finds.items()}, kind, twin, seed)
    intervals: dict[str, Interval] = {
        name: (share, *np.quantile(shares.drawn[name], (0.025, 0.975)).tolist())
        for name, share in shares.found.items()
    }
    runs = len(np.unique(twin))
    if runs < FEWEST_RUNS:
        said = (
            f"The held-out history holds only {runs} runs, too few to tell chance from skill: "
            f"the table names no winner."
        )
        return Verdict(None, (), reference, (), (said,)), intervals
    return _verdict(finds, shares, reference), intervals


def _bootstrap(found: Mapping[str, NDArray[np.bool_]], kind: Ints, twin: Ints, seed: int) -> _Shares:
    runs, place = np.unique(twin, return_inverse=True)
    rng = np.random.default_rng(seed)
    weight = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=_DRAWS).astype(float)
    kinds = [kind == one for one in np.unique(kind)]
    counts = [np.bincount(place[at], minlength=len(runs)).astype(np.float64) for at in kinds]
    shares, drawn = {}, {}
    for name, hits in found.items():
        sums = [np.bincount(place[at & hits], minlength=len(runs)).astype(np.float64) for at in kinds]
        shares[name] = float(np.mean([hits[at].mean() for at in kinds]))
        parts = [_share(weight, hit, count) for hit, count in zip(sums, counts, strict=True)]
        drawn[name] = np.nanmean(np.stack(parts), axis=0)
    return _Shares(shares, drawn)


def _share(weight: Floats, hits: Floats, counts: Floats) -> Floats:
    """Share found in each draw of runs; NaN where a draw has no fault of the kind, (draws,)."""
    total = weight @ counts
    share: Floats = np.divide(weight @ hits, total, out=np.full(len(weight), np.nan), where=total > 0)
    return share


def _verdict(finds: Mapping[str, Finds], shares: _Shares, reference: str) -> Verdict:
    ranked = sorted(finds, key=lambda name: (-shares.found[name], finds[name].cost, name))
    best = ranked[0]
    beats = tuple(name for name in ranked if shares.leads(name, reference))
    if shares.found[best] < LOWEST:
        nothing = (
            f"No candidate finds more than {percent(shares.found[best])} of the injected faults at this "
            f"alarm budget: the held-out history is too restless, or too unlike what was learned, to choose."
        )
        return Verdict(None, (), reference, (), (nothing,))
    draws = tuple(name for name in ranked[1:] if not shares.leads(best, name))
    ship = min((best, *draws), key=lambda name: (finds[name].cost, -shares.found[name], name))
    said = _sentences((best, *draws), ship, beats, shares.found, reference)
    order = f"ship `{finds[ship].ship}`" + ("." if ship == reference else " instead.")
    return Verdict(best, draws, ship, beats, tuple(one.replace("{order}", order) for one in said))


def _sentences(
    leaders: Sequence[str], ship: str, beats: Sequence[str], found: Mapping[str, float], reference: str
) -> list[str]:
    """The verdict in words; ``{order}`` stands where it says what to ship.

    Args:
        leaders: The winner, and those that find as much within the noise.
        ship: The cheapest of them.
        beats: Candidates that find more than the reference, best first.
        found: Share found by each candidate.
        reference: The candidate that the others are held against.
    """
    first = f"{label(ship)} finds {percent(found[ship])} of the injected faults"
    own = f"{label(reference)} {percent(found[reference])}"
    as_much = [name for name in leaders if name != ship]
    if ship in beats:
        said = [f"{first}, {own}, at the same alarm budget: {{order}}"]
    elif ship == reference:
        behind = sorted((name for name in found if name not in leaders), key=lambda name: -found[name])
        following = f", the next best, {_shown(behind[:1], found)}," if behind and not as_much else ""
        said = [f"{first}{following} at the same alarm budget: {{order}}"]
    elif reference in leaders:
        said = [f"{first}, {own}: the difference is within the noise, {label(ship)} is enough: {{order}}"]
        as_much = [name for name in as_much if name != reference]
    else:
        said = [f"{label(ship)} costs least of the candidates that find most: {{order}}"]
    if as_much:
        said.append(f"As much within the noise, at a higher cost: {_shown(as_much, found)}.")
    if ship == "var":
        said.append(_FOLLOWS)
    others = [name for name in beats if name != ship and name not in as_much]
    if others:
        said.append(f"More than {label(reference)} as well: {_shown(others, found)}.")
    return [one[0].upper() + one[1:] for one in said]


def percent(share: float) -> str:
    """A share as people write it."""
    return f"{100 * share:.0f} %"


def label(name: str) -> str:
    """A candidate in a sentence."""
    return f"the {name}" if name == "ensemble" else f"the {name.upper()}"


def _shown(names: Sequence[str], found: Mapping[str, float]) -> str:
    return ", ".join(f"{label(name)} {percent(found[name])}" for name in names)
