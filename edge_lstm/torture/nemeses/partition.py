"""Bad networks between daemon and broker."""

from __future__ import annotations

from contextlib import closing
from typing import get_args

from edge_lstm.torture.proxy import Fault, Proxy
from edge_lstm.torture.setup import Setup, share
from edge_lstm.torture.verdict import Verdict

__all__ = ["partition"]

_CAMPAIGN = 12
_KINDS: tuple[str, ...] = ("blackhole", "reset", "delay", "slices", "refuse", "half_open")
_HALF_OPEN_S = 8.0
"""Longer than one and a half times the keep-alive of `edge_lstm.torture.site`."""


def partition(setup: Setup) -> Verdict:
    """Let the network swallow, reset, delay, slice, refuse, or end on one side only."""

    def campaign(number: int, cuts: int) -> Verdict:
        node = f"partition-{number}"
        chance = setup.chance(node)
        with setup.broker(f"broker-{number}") as broker, closing(Proxy(broker.port)) as proxy:
            site = setup.site(node, proxy.port, number)
            lane = setup.lane(site, broker.port)
            lane.begin()
            site.start()
            for trial in range(cuts):
                lane.run_for(chance.uniform(0.2, 0.6))
                kind = _KINDS[(trial + number) % len(_KINDS)]
                for fault in get_args(Fault):
                    if fault == kind:
                        proxy.begin(fault)
                lane.run_for(_HALF_OPEN_S if kind == "half_open" else chance.uniform(0.2, 1.5))
                if kind != "slices":
                    proxy.reset()
                proxy.heal()
                lane.trials += 1
            lane.run_for(0.5)
            return lane.finish()

    return share(setup, campaign, most=_CAMPAIGN)
