"""Loss of power: the daemon goes on with the disk as it was, without what was never flushed."""

from __future__ import annotations

import signal
from contextlib import closing

from edge_lstm.torture.disk import Disk, need_root
from edge_lstm.torture.setup import Setup, share
from edge_lstm.torture.verdict import Verdict

__all__ = ["power_cut"]

_SOON_S, _LATE_S = (0.1, 0.8), (1.0, 2.5)
"""After the first start of a process files are new, and flushing one takes much of the others along; later
they are written over, and only what is flushed itself is safe."""

_CAMPAIGN = 50


def power_cut(setup: Setup) -> Verdict:
    """Stop the daemon, copy its disk, kill it, and go on with the copy and the same broker session."""
    need_root("power-cut")
    with setup.broker() as broker:

        def campaign(number: int, cuts: int) -> Verdict:
            node = f"power-{number}"
            chance = setup.chance(node)
            with closing(Disk(setup.folder / node)) as disk:
                site = setup.site(node, broker.port, number, state=disk.state)
                lane = setup.lane(site, broker.port)
                lane.begin()
                for cut in range(cuts):
                    site.start()
                    lane.run_for(chance.uniform(*(_LATE_S if cut % 3 == 2 else _SOON_S)))
                    site.signal(signal.SIGSTOP)
                    disk.snapshot()
                    site.kill()
                    disk.cut()
                    lane.trials += 1
                return lane.finish()

        return share(setup, campaign, most=_CAMPAIGN)
