"""``kill -9`` at random moments and at every crash point of the store."""

from __future__ import annotations

from edge_lstm.torture.setup import Setup, share
from edge_lstm.torture.verdict import Verdict

__all__ = ["kill"]

_LEAST_S, _MOST_S = 0.05, 0.6
_CAMPAIGN = 50
"""Kills of one daemon before its end is looked at, and a new one begins with nothing."""


def kill(setup: Setup) -> Verdict:
    """Kill daemons at moments between 0.05 and 0.6 s after their start."""
    with setup.broker() as broker:

        def campaign(number: int, kills: int) -> Verdict:
            node = f"kill-{number}"
            chance = setup.chance(node)
            site = setup.site(node, broker.port, tier=setup.tier(number))
            lane = setup.lane(site, broker.port)
            lane.begin()
            for _ in range(kills):
                site.start()
                lane.run_for(chance.uniform(_LEAST_S, _MOST_S))
                site.kill()
                lane.trials += 1
            return lane.finish()

        return share(setup, campaign, most=_CAMPAIGN)
