"""What a site says about the streams of readings: silence, clocks, stuck sensors, new machines."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["StreamsConfig"]

Silence = Annotated[float, Meta(ge=0, le=31_536_000)]
Tolerance = Annotated[float, Meta(ge=0, le=86_400)]
Repeats = Annotated[int, Meta(ge=2, le=1_000_000_000)]
PerMinute = Annotated[int, Meta(ge=0, le=1_000_000)]


class StreamsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is held to be a fault of a stream of readings (docs/explain-streams.md).

    Attributes:
        silent_after_s: Time without a reading after which a machine is called silent, seconds; auto is ten
            times what is usual for it, 0 is never.
        clock_tolerance_s: A source's clock that falls back by no more than this was not set, its readings
            are late, seconds; null is the bundle's period.
        flatline: Channel to readings in a row with one and the same value after which it is called stuck.
            Channels that are not listed are never called so: many rest at one value for days.
        new_assets_per_minute: New machines that are taken in a minute; 0 is no limit but max_assets.
    """

    silent_after_s: Silence | Literal["auto"] = "auto"
    clock_tolerance_s: Tolerance | None = None
    flatline: dict[str, Repeats] = {}
    new_assets_per_minute: PerMinute = 0
