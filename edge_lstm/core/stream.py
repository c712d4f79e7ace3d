"""What one asset carries."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_lstm.contracts.state import AlarmMemory, AlignMemory, CommissionMemory, ResetReason

__all__ = ["Stream"]


@dataclass(slots=True)
class Stream:
    """What one asset carries besides its row in the table.

    Attributes:
        asset: The machine.
        row: Its row in the table.
        align: Memory of the aligner.
        commission: Memory of its commissioning; ``None`` when it needs none.
        alarm: Memory of the threshold.
        faults: Active faults of the input.
        reset_ns: Time of the first frame since the state was last reset.
        reset_reason: Why it was reset.
        queued: Frames of the batch at hand that wait to be scored.
        used: Number of the batch that had its newest reading.
    """

    asset: str
    row: int
    align: AlignMemory
    commission: CommissionMemory | None = None
    alarm: AlarmMemory = field(default_factory=AlarmMemory)
    faults: set[str] = field(default_factory=set)
    reset_ns: int = 0
    reset_reason: ResetReason = "start"
    queued: int = 0
    used: int = 0

    def restart(self, reason: ResetReason) -> None:
        """Forget hidden and cell state with the next frame."""
        self.align.tick, self.reset_reason = 0, reason
