"""A full disk: nothing may be acknowledged, nothing forgotten, and work goes on once there is room."""

from __future__ import annotations

from contextlib import closing

from edge_lstm.torture.disk import Disk, need_root
from edge_lstm.torture.setup import Setup, share
from edge_lstm.torture.verdict import Verdict

__all__ = ["disk_full"]

_CAMPAIGN = 8
_WAYS = ("stays", "killed while full", "started while full")


def disk_full(setup: Setup) -> Verdict:
    """Fill the daemon's disk to the last byte, let readings come, and empty it again."""
    need_root("disk-full")
    with setup.broker() as broker:

        def campaign(number: int, trials: int) -> Verdict:
            node = f"full-{number}"
            chance = setup.chance(node)
            with closing(Disk(setup.folder / node)) as disk:
                site = setup.site(node, broker.port, number, state=disk.state)
                lane = setup.lane(site, broker.port)
                lane.begin()
                site.start()
                for trial in range(trials):
                    way = _WAYS[(trial + number) % len(_WAYS)]
                    lane.run_for(chance.uniform(0.3, 0.6))
                    if way == "started while full":
                        site.kill()
                    with disk.full():
                        if way == "started while full":
                            site.start()
                        lane.run_for(chance.uniform(0.8, 1.5))
                        if way != "stays":
                            site.kill(may_have_ended=True)
                    if way != "stays":
                        site.start()
                    lane.trials += 1
                lane.run_for(0.5)
                return lane.finish()

        return share(setup, campaign, most=_CAMPAIGN)
