"""A daemon in miniature on a real store: chains of hashes instead of states, so that any loss shows.

``store_model.py FOLDER COUNT [LOSS_WINDOW_S]`` goes on where the folder's last process ended,
takes COUNT more messages, and prints what it was told is complete: ``taken 7``, ``sent 3``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import msgspec

from edge_lstm.io.rows import OutboxRow, Recovered, Weakness
from edge_lstm.io.store import Store

BUNDLE = "5e" * 32
ASSETS = 3
CHECKPOINT_EVERY = 5
SEGMENT_BYTES = 12 * 1024


def message(number: int) -> bytes:
    """The message of this number, counted from 1; long enough that segments fill up."""
    return f"{number}:".encode() + sha256(str(number).encode()).digest() * 40


@dataclass
class Model:
    """States that are a function of the messages, in order."""

    taken: int = 0
    seq: int = 0
    alerts: int = 0
    chains: dict[str, bytes] = field(default_factory=dict)

    def take(self, block: bytes) -> list[OutboxRow]:
        """Advance by one message; the rows it makes."""
        self.taken += 1
        if not block.startswith(f"{self.taken}:".encode()):
            raise AssertionError(f"message {self.taken} was expected, got {block[:8]!r}")
        asset = f"asset-{self.taken % ASSETS}"
        self.chains[asset] = sha256(self.chains.get(asset, b"") + block).digest()
        if self.taken % 2:
            return []
        self.seq += 1
        alert = self.seq % 2 == 0
        self.alerts += alert
        return [
            OutboxRow(self.seq, f"t/{asset}", self.chains[asset], alert_seq=self.alerts if alert else None)
        ]

    def meta(self) -> bytes:
        """The part that is not of an asset."""
        return msgspec.msgpack.encode((self.taken, self.seq, self.alerts))


def uninterrupted(count: int) -> tuple[Model, list[OutboxRow]]:
    """What it is after so many messages without a crash, and the rows that were made."""
    model, rows = Model(), []
    for number in range(1, count + 1):
        rows += model.take(message(number))
    return model, rows


def restore(found: Recovered) -> Model:
    """The model as it was, from a checkpoint and the blocks after it."""
    model = Model()
    if found.meta is not None:
        model.taken, model.seq, model.alerts = msgspec.msgpack.decode(found.meta)
        model.chains = dict(found.streams())
    return model


def wait(store: Store, ticket: int) -> None:
    """Until a ticket is complete."""
    while store.completed < ticket:
        time.sleep(0.0005)


def say(what: str, number: int) -> None:
    """Tell the test; a line that is out is out, whatever happens to us."""
    sys.stdout.write(f"{what} {number}\n")
    sys.stdout.flush()


def work(
    path: Path, count: int, *, loss_window_s: float = 0.0, weaken: AbstractSet[Weakness] = frozenset()
) -> None:
    """Recover, then take messages as the daemon does: journal, outbox, acknowledge, checkpoint."""
    store = Store(
        path,
        mode="batched" if loss_window_s else "strict",
        loss_window_s=loss_window_s,
        wake=lambda: None,
        weaken=weaken,
        segment_bytes=SEGMENT_BYTES,
    )
    found = store.recover(BUNDLE)
    model = restore(found)
    again = [row for block in found.blocks for row in model.take(block)]
    store.start()
    wait(store, store.post(again))
    for number in range(model.taken + 1, model.taken + count + 1):
        ticket = store.append(message(number))
        rows = model.take(message(number))
        if rows:
            store.post(rows)
        wait(store, ticket)
        say("taken", number)
        deliver(store, rows)
        if number % CHECKPOINT_EVERY == 0:
            store.checkpoint(model.meta(), list(model.chains.items()), bundle_sha256=BUNDLE)
    store.close(10.0)


def deliver(store: Store, rows: Sequence[OutboxRow]) -> None:
    """Every other row is taken by the broker."""
    for row in rows:
        if row.seq % 2:
            wait(store, store.post([]))
            say("sent", row.seq)
            store.delivered([row.seq])


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), loss_window_s=float((*sys.argv, "0")[3]))
