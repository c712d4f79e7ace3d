"""One run of the harness: where it works, from which seed, how hard; and how lanes run beside each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge_lstm.torture.broker import STEADY, Broker
from edge_lstm.torture.lane import Lane
from edge_lstm.torture.process import Forks
from edge_lstm.torture.site import Site
from edge_lstm.torture.truth import Subject, Tier
from edge_lstm.torture.verdict import Verdict

__all__ = ["Job", "Setup", "share"]

_TIERS: tuple[Tier, ...] = ("time", "bare", "seq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a nemesis is to work.

    Attributes:
        folder: For everything; one below it for each nemesis.
        seed: Everything that is chosen follows from it.
        subject: What the daemons run.
        forks: Makes daemons.
        bundle: The file of a real bundle; ``None`` is the witness.
        trials: Faults to do.
        lanes: Daemons at a time.
        rate: Readings a second of each.
        streams: Machines of each.
        patience_s: Without any progress for so long, waiting is given up.
        weakness: The safeguard left out in a control; ``None`` is nothing.
        quiet: Whether nothing is alarming, so that no alert is written down among the readings.
        bare: Whether all readings are bare values.
        replay: Whether consumers ask for alerts that they missed.
        forgetful: Whether brokers have their standard settings.
        tell: Takes a line about how far it is.
    """

    folder: Path
    seed: str
    subject: Subject
    forks: Forks
    bundle: Path | None = None
    trials: int
    lanes: int = 4
    rate: float = 600.0
    streams: int = 16
    patience_s: float = 15.0
    weakness: str | None = None
    quiet: bool = False
    bare: bool = False
    replay: bool = True
    forgetful: bool = False
    tell: Callable[[str], None] = lambda _line: None

    def below(self, name: str) -> Setup:
        """The same in a folder below, with choices of its own."""
        return replace(self, folder=self.folder / name, seed=f"{self.seed}/{name}")

    def chance(self, name: str) -> random.Random:
        """Choices of one lane, to be made again from the seed."""
        return random.Random(f"{self.seed}/{name}")  # noqa: S311 - a test's choices

    def tier(self, number: int) -> Tier:
        """Lanes differ: readings with a time, with a count too, and with nothing to tell them apart."""
        return "bare" if self.bare else _TIERS[number % len(_TIERS)]

    def site(
        self, node: str, port: int, number: int, *, tier: Tier | None = None, state: Path | None = None
    ) -> Site:
        """The daemon of one lane; its readings and settings follow from the lane's number."""
        return Site(
            self.folder / node,
            node,
            port,
            forks=self.forks,
            tier=tier or self.tier(number),
            variant=number,
            state=state,
            bundle=self.bundle,
            weakness=self.weakness,
            quiet=self.quiet,
        )

    def lane(self, site: Site, port: int) -> Lane:
        """Its sensors and consumer."""
        return Lane(
            site,
            port,
            self.subject,
            self.seed,
            streams=self.streams,
            rate=self.rate,
            patience_s=self.patience_s,
            replay=self.replay,
        )

    @contextmanager
    def broker(self, name: str = "broker", settings: Sequence[str] = STEADY) -> Iterator[Broker]:
        """A broker for as long as the block lasts."""
        with Broker(self.folder / name, settings) as broker:
            yield broker


Job = Callable[[int, int], Verdict]
"""A campaign: its number and its trials to what became of it."""


def share(setup: Setup, job: Job, *, most: int) -> Verdict:
    """Do the trials in campaigns of at most ``most``, some of them at a time, and add up."""
    count = max(1, -(-setup.trials // most), min(setup.lanes, setup.trials))
    sizes = [setup.trials // count + (i < setup.trials % count) for i in range(count)]
    total = Verdict()
    with ThreadPoolExecutor(setup.lanes, thread_name_prefix="lane") as pool:
        for done in pool.map(job, range(count), sizes):
            total += done
            setup.tell(f"{total.trials} of {setup.trials} trials, {total.readings} readings")
    return total
