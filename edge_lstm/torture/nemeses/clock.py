"""Clocks that lie: the source's, which steps and dreams of the future, and the daemon's own."""

from __future__ import annotations

import random

import msgspec

from edge_lstm.torture.setup import Setup, share
from edge_lstm.torture.truth import Stream
from edge_lstm.torture.verdict import Verdict
from edge_lstm.torture.wire import Peer

__all__ = ["clock"]

_CAMPAIGN = 12
_DAY_MS = 86_400_000


def clock(setup: Setup) -> Verdict:
    """Readings from far in the future, source clocks that jump ahead, and a daemon whose own clock jumps."""
    with setup.broker() as broker:

        def campaign(number: int, trials: int) -> Verdict:
            node = f"clock-{number}"
            chance = setup.chance(node)
            site = setup.site(node, broker.port, number, tier="bare" if number % 2 else "time")
            lane = setup.lane(site, broker.port)

            def disturb(sensor: Peer, stream: Stream) -> None:
                if site.tier == "time" and chance.random() < 0.05:
                    topic = site.topic.replace("{asset}", stream.asset)
                    sensor.publish(topic, _future(chance, stream))

            lane.begin()
            site.set_clock(0.0)
            site.start()
            lane.disturb = disturb
            for trial in range(trials):
                lane.run_for(chance.uniform(0.2, 0.6))
                # Within a day of the truth: a clock further off makes honest readings look forged.
                site.set_clock(chance.uniform(-40_000.0, 40_000.0))
                for stream in lane.streams:
                    stream.step(chance.randint(1, 600_000))
                if trial % 3 == 2:
                    site.kill()
                    site.start()
                lane.trials += 1
            lane.run_for(0.5)
            return lane.finish()

        return share(setup, campaign, most=_CAMPAIGN)


def _future(chance: random.Random, stream: Stream) -> bytes:
    """A reading whose time no honest clock shows for years."""
    newest_ms = stream.times_ns[-1] // 1_000_000
    ahead_ms = newest_ms + chance.randint(400, 40_000) * _DAY_MS
    return msgspec.json.encode({"time": ahead_ms, "low": 1, "high": 1, "salt": 1, "pepper": 1})
