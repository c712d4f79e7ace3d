"""The nemeses by name, how often each strikes, and what must make it find fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edge_lstm.io.crash import STORE_POINTS
from edge_lstm.torture.nemeses.broker_crash import broker_crash, broker_forgets
from edge_lstm.torture.nemeses.clock import clock
from edge_lstm.torture.nemeses.disk_full import disk_full
from edge_lstm.torture.nemeses.kill import crash_points, kill
from edge_lstm.torture.nemeses.partition import partition
from edge_lstm.torture.nemeses.poison import poison
from edge_lstm.torture.nemeses.power import power_cut
from edge_lstm.torture.setup import Setup
from edge_lstm.torture.verdict import Verdict

__all__ = ["NEMESES", "Control", "Nemesis"]


class Control(NamedTuple):
    """A way to do it wrongly that the harness must notice.

    Attributes:
        name: What is left out.
        weakness: Which of `edge_lstm.torture.weaken`; ``None`` when it is the consumer's part.
        replay: Whether the consumer asks for alerts that it missed.
        trials: Faults it is given.
        forgetful: Whether brokers have their standard settings.
        bare: Whether all readings are bare values.
        quiet: Whether nothing is alarming.
    """

    name: str
    weakness: str | None
    replay: bool = True
    trials: int = 12
    forgetful: bool = False
    bare: bool = False
    quiet: bool = False


class Nemesis(NamedTuple):
    """One kind of harm.

    Attributes:
        run: Does it.
        quick: Faults with ``--quick``.
        usual: Faults otherwise.
        long: Faults of ``make torture``.
        controls: What must make it find fault.
        root: Whether it needs to mount file systems.
    """

    run: Callable[[Setup], Verdict]
    quick: int
    usual: int
    long: int
    controls: tuple[Control, ...]
    root: bool = False


AUTO_ACK = Control("acknowledged before the journal has it", "auto_ack")
NO_DEDUPE = Control("nothing remembered of what was seen", "no_dedupe", trials=16, bare=True)
NO_REPLAY = Control("no replay of alerts, and Mosquitto as it comes", None, replay=False, forgetful=True)

NEMESES: Mapping[str, Nemesis] = {
    "kill": Nemesis(kill, 8, 100, 2000, (AUTO_ACK, NO_DEDUPE)),
    "crash-points": Nemesis(crash_points, 4, 13, 3 * len(STORE_POINTS), (NO_DEDUPE,)),
    "power-cut": Nemesis(
        power_cut,
        2,
        20,
        300,
        (
            Control("no fdatasync", "no_fdatasync"),
            Control("SQLite synchronous=NORMAL", "sqlite_normal"),
            Control("no fsync of the folder", "no_dir_fsync", quiet=True, trials=24),
        ),
        root=True,
    ),
    "broker-crash": Nemesis(broker_crash, 2, 10, 100, (NO_REPLAY,)),
    "broker-forgets": Nemesis(broker_forgets, 2, 6, 24, (NO_REPLAY,)),
    "partition": Nemesis(partition, 2, 12, 24, (NO_DEDUPE,)),
    "disk-full": Nemesis(disk_full, 3, 6, 24, (AUTO_ACK,), root=True),
    "poison": Nemesis(poison, 4, 12, 50, (Control("poison is not acknowledged", "poison_stays"),)),
    "clock": Nemesis(clock, 4, 8, 24, (Control("arrival by the machine's clock", "plain_clock"),)),
}
