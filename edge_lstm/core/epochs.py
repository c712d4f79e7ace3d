"""Whether a source's clock was set: its readings leave the order, and go on at our clock's pace.

One reading from far ahead, or a late one, proves nothing. Three in a row whose times are
as far apart as they arrived do: what was held up on its way arrives in a heap, what a
set clock stamps arrives at the pace of its times.
"""

from __future__ import annotations

from edge_lstm.contracts.state import AlignMemory

__all__ = ["AGREEING", "keeps_pace"]

AGREEING = 3
"""Readings with different times that must agree with our clock's pace."""


def keeps_pace(memory: AlignMemory, time_ns: int, arrived_ns: int, *, period_ns: int) -> bool:
    """Take one reading that is out of order; whether the run that it ends proves a set clock.

    The run must have `AGREEING` different times and span half a period for each, and its
    span in the source's time must be that of arrival within half of it.

    Args:
        memory: ``run`` is updated in place.
        time_ns: Time of the reading.
        arrived_ns: Its time of arrival; 0 is not known and proves nothing.
        period_ns: The bundle's period.
    """
    if not arrived_ns:
        return False
    run = memory.run
    if run is None or time_ns < run[3]:
        memory.run = (1, time_ns, arrived_ns, time_ns)
        return False
    number, first_ns, first_arrived_ns, newest_ns = run
    number += time_ns > newest_ns
    memory.run = (number, first_ns, first_arrived_ns, time_ns)
    span_ns = time_ns - first_ns
    if number < AGREEING or 2 * span_ns < (AGREEING - 1) * period_ns:
        return False
    if 2 * abs(span_ns - (arrived_ns - first_arrived_ns)) <= span_ns:
        memory.run = None
        return True
    memory.run = (1, time_ns, arrived_ns, time_ns)
    return False
