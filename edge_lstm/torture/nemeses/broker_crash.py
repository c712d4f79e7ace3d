"""``kill -9`` of the broker, which forgets the last of what it acknowledged, whatever its settings."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import msgspec

from edge_lstm.torture.broker import DOCUMENTED, STANDARD
from edge_lstm.torture.lane import Lane
from edge_lstm.torture.proxy import Proxy
from edge_lstm.torture.setup import Setup, share
from edge_lstm.torture.verdict import Verdict

__all__ = ["broker_crash", "broker_forgets"]

_LEAST_S, _MOST_S = 0.3, 1.5
_CAMPAIGN = 25
_RATE = 100.0


def broker_crash(setup: Setup) -> Verdict:
    """Kill the broker while readings and alerts flow; every other time the daemon too.

    Readings that the broker forgot are forgiven, if the daemon never acknowledged them;
    alerts are not, for the consumer asks for what it misses.
    """
    settings = STANDARD if setup.forgetful else DOCUMENTED
    # A reading that the broker forgot never comes: nobody waits for it long. And a broker that writes all
    # it has at every second change takes some hundred messages a second, from all lanes on one disk.
    setup = replace(setup, patience_s=min(setup.patience_s, 4.0), rate=min(setup.rate, _RATE))

    def campaign(number: int, crashes: int) -> Verdict:
        node = f"crash-{number}"
        chance = setup.chance(node)
        with setup.broker(f"broker-{number}", settings) as broker, closing(Proxy(broker.port)) as proxy:
            # Bare values cannot be told apart when the broker delivers them again unmarked.
            site = setup.site(node, proxy.port, number, tier="time")
            lane = setup.lane(site, broker.port)
            lane.begin()
            site.start()
            for trial in range(crashes):
                lane.run_for(chance.uniform(_LEAST_S, _MOST_S))
                lane.consumer.away = True  # what the broker keeps for it may be forgotten
                lane.run_for(chance.uniform(0.1, 0.4))
                broker.crash()
                lane.consumer.away = False
                if trial % 2:
                    site.kill()
                    site.start()
                lane.trials += 1
            lane.run_for(0.5)
            return lane.finish(lambda: acknowledged(lane, proxy))

    return share(setup, campaign, most=_CAMPAIGN)


def broker_forgets(setup: Setup) -> Verdict:
    """The same with a broker that keeps nothing: sessions, subscriptions and queues are gone."""
    return broker_crash(replace(setup, forgetful=True))


def acknowledged(lane: Lane, proxy: Proxy) -> dict[str, set[int]]:
    """Asset to the readings whose acknowledgement went past the proxy."""
    found: dict[str, set[int]] = {stream.asset: set() for stream in lane.streams}
    places = {
        (stream.asset, time_ns // 1_000_000): index
        for stream in lane.streams
        for index, time_ns in enumerate(stream.times_ns)
    }
    for topic, payload in proxy.acked:
        asset = topic.rsplit("/", 1)[-1]
        if asset in found and lane.site.topic.replace("{asset}", asset) == topic:
            found[asset].add(places[asset, msgspec.json.decode(payload)["time"]])
    return found
