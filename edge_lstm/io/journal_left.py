"""What the journal of an earlier process holds: sound records, a torn end, or damage."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge_lstm.io.folder import StateFolder
from edge_lstm.io.journal import segment_files
from edge_lstm.io.segment import PAGE, Segment
from edge_lstm.logs import event

__all__ = ["Left", "read_journal"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Left:
    """What is there after the checkpoint.

    Attributes:
        position: Number of the last record that the checkpoint covers.
        next_segment: Number that no segment has had.
        last: Number of the last sound record; ``position`` when there is none after it.
        segments: Segments to read, in order; their data is read when it is needed.
        bundles: Bundles that ran when they were made.
        problem: What was set aside, and why; empty when nothing was.
    """

    position: int
    next_segment: int
    last: int
    segments: list[tuple[Path, Segment]] = field(default_factory=list)
    bundles: set[str] = field(default_factory=set)
    problem: str = ""

    def blocks(self) -> Iterator[bytes]:
        """The blocks after the checkpoint, in order."""
        for path, segment in self.segments:
            yield from segment.blocks(self.position, path.read_bytes())


def read_journal(folder: StateFolder, position: int) -> Left:
    """Read what is there; cut a torn end; set aside what cannot be used.

    After damage nothing more is used: states that have not seen every reading would be
    wrong without anybody knowing.

    Args:
        folder: The state folder.
        position: Number of the last record that the checkpoint covers.

    Raises:
        OSError: The disk does not let us.
    """
    paths = segment_files(folder.path)
    left = Left(position, max(paths, default=0) + 1, position)
    found = [(path, _open(path, number)) for number, path in paths.items()]
    for at, (path, segment) in enumerate(found):
        following = next((later.first for _, later in found[at + 1 :] if isinstance(later, Segment)), None)
        if following is not None and following <= position + 1:
            continue  # the checkpoint covers it
        if isinstance(segment, Segment) and not left.problem and segment.first > left.last + 1:
            left.problem = f"records {left.last + 1} to {segment.first - 1} of the journal are missing"
        if isinstance(segment, str):
            left.problem = left.problem or segment
        if left.problem or isinstance(segment, str):
            path.replace(path.with_suffix(".bad"))
        else:
            _use(segment, path, left, following)
    if left.problem:
        log.error(event("journal.damaged", detail=left.problem, last=left.last))
    folder.flush()
    return left


def _open(path: Path, number: int) -> Segment | str:
    """The segment, or why it cannot be used."""
    try:
        with path.open("rb") as file:
            segment = Segment(file.read(PAGE))
    except ValueError as error:
        return f"{path.name} of the journal is damaged: {error}"
    if segment.number != number:
        return f"{path.name} of the journal says that it is number {segment.number}"
    return segment


def _use(segment: Segment, path: Path, left: Left, following: int | None) -> None:
    """Take the sound records of a segment, and see what its end is like."""
    data = path.read_bytes()
    segment.scan(data, following, needed=left.position + 1)
    left.segments.append((path, segment))
    if segment.after - 1 > left.position:
        left.bundles.add(segment.bundle_sha256)
    left.last = max(left.last, segment.after - 1)
    if segment.after != following and segment.damaged(data):
        left.problem = f"record {segment.after} of the journal is damaged, in {path.name}"
        with contextlib.suppress(OSError):  # a copy for whoever wants to look; a full disk has no room for it
            path.with_suffix(".bad").write_bytes(data[segment.end :])
    if following is None or left.problem:
        _cut(segment, path, data)


def _cut(segment: Segment, path: Path, data: bytes) -> None:
    """Take off the end that was being written when the last process ended."""
    if any(data[segment.end : segment.end + PAGE]):
        log.info(event("journal.cut", segment=segment.number, last=segment.after - 1))
    with path.open("r+b") as file:
        file.truncate(segment.end)
        os.fsync(file.fileno())
