"""``kill -9`` at random moments and at every crash point of the store."""

from __future__ import annotations

from edge_lstm.io.crash import STORE_POINTS
from edge_lstm.torture.setup import Setup, share
from edge_lstm.torture.verdict import Verdict

__all__ = ["crash_points", "kill"]

_LEAST_S, _MOST_S = 0.05, 0.6
_CAMPAIGN = 50
_HITS = 3
_REACH_S = 4.0
"""Kills of one daemon before its end is looked at, and a new one begins with nothing."""


def kill(setup: Setup) -> Verdict:
    """Kill daemons at moments between 0.05 and 0.6 s after their start."""
    with setup.broker() as broker:

        def campaign(number: int, kills: int) -> Verdict:
            node = f"kill-{number}"
            chance = setup.chance(node)
            site = setup.site(node, broker.port, number)
            lane = setup.lane(site, broker.port)
            lane.begin()
            for _ in range(kills):
                site.start()
                lane.run_for(chance.uniform(_LEAST_S, _MOST_S))
                site.kill()
                lane.trials += 1
            return lane.finish()

        return share(setup, campaign, most=_CAMPAIGN)


def crash_points(setup: Setup) -> Verdict:
    """End daemons at every point of `edge_lstm.io.crash`, met the first, second and third time."""
    points = [f"{name}:{hit}" for hit in range(1, _HITS + 1) for name in STORE_POINTS]
    with setup.broker() as broker:

        def campaign(number: int, trials: int) -> Verdict:
            node = f"points-{number}"
            site = setup.site(node, broker.port, number)
            lane = setup.lane(site, broker.port)
            lane.begin()
            for trial in range(trials):
                point = points[(number + trial * setup.lanes) % len(points)]
                site.start(crash_at=point)
                reached = lane.run_until(lambda: site.ended() is not None, _REACH_S)
                site.kill(may_have_ended=True)
                if not reached and point.endswith(":1"):
                    site.faults.append(f"no daemon comes to the crash point {point}")
                lane.trials += 1
            return lane.finish()

        return share(setup, campaign, most=-(-setup.trials // setup.lanes))
