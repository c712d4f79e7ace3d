"""The journal gives back what was appended, in order, or says from where on it cannot."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_lstm.io.folder import StateFolder
from edge_lstm.io.journal import Journal, segment_files
from edge_lstm.io.journal_left import Left, read_journal
from edge_lstm.io.segment import PAGE, Segment, encode_record, header_page, place

BUNDLE = "ab" * 32
SMALL = 4 * PAGE


@pytest.fixture
def folder(quick_folder: Path) -> Iterator[StateFolder]:
    """A locked state folder."""
    made = StateFolder(quick_folder / "state")
    yield made
    made.close()


def begin(folder: StateFolder, left: Left | None = None, *, segment_bytes: int = SMALL) -> Journal:
    """A journal that goes on after what was left."""
    last, number = (left.last, left.next_segment) if left else (0, 1)
    return Journal(folder, last=last, next_segment=number, bundle_sha256=BUNDLE, segment_bytes=segment_bytes)


def fill(journal: Journal, count: int, *, size: int = 700, seed: int = 0) -> list[bytes]:
    """Append records of one block each, durable one by one."""
    noise = random.Random(seed)  # noqa: S311 - the same on every run
    blocks = [noise.randbytes(noise.randrange(1, size)) for _ in range(count)]
    for block in blocks:
        journal.write([block], compress=False)
        journal.sync()
    return blocks


def test_blocks_come_back_in_order_over_segments(folder: StateFolder) -> None:
    """Segments fill up and follow each other; a checkpoint's position leaves out what it covers."""
    journal = begin(folder)
    blocks = fill(journal, 100)
    journal.close()
    assert len(segment_files(folder.path)) > 2
    for position in (0, 1, 37, 99, 100):
        left = read_journal(folder, position)
        assert (blocks[position:], 100, "") == (list(left.blocks()), left.last, left.problem)


def test_a_record_of_several_blocks_is_compressed_when_that_helps(folder: StateFolder) -> None:
    """Text gets smaller, noise stays as it is; blocks keep their borders, empty ones too."""
    journal = begin(folder, segment_bytes=1 << 20)
    noise = os.urandom(5000)
    for blocks in ([b"reading " * 500, b"", b"x"], [noise, b"y"]):
        before = journal.written_bytes
        journal.write(blocks, compress=True)
        assert journal.written_bytes - before < sum(map(len, blocks)) + 60
    assert journal.written_bytes < 5000 + 600
    journal.sync()
    left = read_journal(folder, 0)
    assert [b"reading " * 500, b"", b"x", noise, b"y"] == list(left.blocks())


def test_a_block_larger_than_a_segment_gets_a_segment_of_its_own(folder: StateFolder) -> None:
    """Nothing is too large to be kept."""
    journal = begin(folder)
    large = os.urandom(3 * SMALL)
    for block in (b"before", large, b"after"):
        journal.write([block], compress=False)
        journal.sync()
    assert [b"before", large, b"after"] == list(read_journal(folder, 0).blocks())


def test_torn_end_is_cut_at_every_length(folder: StateFolder) -> None:
    """A file that ends anywhere, or whose end was never written, gives every whole record before."""
    journal = begin(folder)
    blocks = fill(journal, 6, size=90)
    journal.close()
    path = segment_files(folder.path)[1]
    whole = path.read_bytes()
    segment = Segment(whole)
    segment.scan(whole, None)
    got = list[bytes]()
    for length in range(PAGE, segment.end + 1):
        for torn in (whole[:length], whole[:length].ljust(len(whole), b"\0")):
            path.write_bytes(torn)
            left = read_journal(folder, 0)
            got = list(left.blocks())
            assert not left.problem
            assert blocks[: len(got)] == got
            assert len(got) == left.last
            assert path.stat().st_size <= max(length, PAGE)
    assert blocks == got


def test_every_flipped_byte_is_found_or_without_meaning(folder: StateFolder) -> None:
    """Bytes between records mean nothing; any other ends the journal there, and the damage is told."""
    journal = begin(folder)
    blocks = fill(journal, 5, size=60)
    journal.close()
    path = segment_files(folder.path)[1]
    whole = path.read_bytes()
    told = 0
    for at in [*range(80), *range(PAGE, PAGE + 400), *range(2 * PAGE, 2 * PAGE + 16)]:
        for bit in (1, 128):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            left = read_journal(folder, 0)
            got = list(left.blocks())
            assert blocks[: len(got)] == got
            # The last record alone cannot be told from one that was being written.
            assert left.problem or len(got) >= len(blocks) - 1
            told += bool(left.problem)
            for made in folder.path.glob("*.bad"):
                made.unlink()
    assert told > 400


def test_damage_before_the_checkpoint_does_no_harm(folder: StateFolder) -> None:
    """Records that a checkpoint covers are passed over, whatever they look like."""
    journal = begin(folder, segment_bytes=1 << 20)
    blocks = fill(journal, 20)
    journal.close()
    path = segment_files(folder.path)[1]
    whole = bytearray(path.read_bytes())
    whole[PAGE + 50 : PAGE + 700] = bytes(650)
    path.write_bytes(whole)
    left = read_journal(folder, 10)
    assert (blocks[10:], "") == (list(left.blocks()), left.problem)


def test_damage_in_the_middle_stops_there_and_is_kept_aside(folder: StateFolder) -> None:
    """What follows damage is not used: it is set aside, told, and the numbers go on."""
    journal = begin(folder)
    blocks = fill(journal, 60)
    journal.close()
    paths = segment_files(folder.path)
    second = Segment(paths[2].read_bytes())
    damaged = bytearray(paths[2].read_bytes())
    damaged[PAGE + 40] ^= 4
    paths[2].write_bytes(damaged)
    left = read_journal(folder, 0)
    assert blocks[: second.first - 1] == list(left.blocks())
    assert f"record {second.first} of the journal is damaged" in left.problem
    assert {"journal-0000000000000003.bad", "journal-0000000000000002.bad"} <= {
        path.name for path in folder.path.glob("*.bad")
    }

    journal = begin(folder, left)
    more = fill(journal, 5, seed=9)
    again = read_journal(folder, 0)
    assert ([*blocks[: second.first - 1], *more], "") == (list(again.blocks()), again.problem)


def test_a_missing_segment_is_told(folder: StateFolder) -> None:
    """A gap in the numbers is found, wherever the file went."""
    journal = begin(folder)
    blocks = fill(journal, 60)
    journal.close()
    paths = segment_files(folder.path)
    kept = Segment(paths[2].read_bytes()).first - 1
    paths[2].unlink()
    left = read_journal(folder, 0)
    assert blocks[:kept] == list(left.blocks())
    assert "are missing" in left.problem


def test_after_a_failed_flush_everything_is_written_again_elsewhere(folder: StateFolder) -> None:
    """A pipe in place of the file makes fdatasync fail for real; what was written there is not trusted."""
    journal = begin(folder)
    blocks = fill(journal, 3)
    journal.write([b"first"], compress=False)
    journal.write([b"second"], compress=False)
    reader, writer = os.pipe()
    os.dup2(writer, journal._file)
    with pytest.raises(OSError, match="Invalid argument"):
        journal.sync()
    assert 3 == journal.durable
    journal.write([b"third"], compress=False)
    journal.sync()
    assert 6 == journal.durable
    left = read_journal(folder, 0)
    assert ([*blocks, b"first", b"second", b"third"], 6, "") == (
        list(left.blocks()),
        left.last,
        left.problem,
    )
    os.close(reader)
    os.close(writer)


def test_segments_that_a_checkpoint_covers_are_used_again(folder: StateFolder, tmp_path: Path) -> None:
    """Old files become new ones, and nothing of what they held passes for new."""
    journal, expected, checked = begin(folder), list[bytes](), 0
    for life in range(8):
        blocks = fill(journal, 40, seed=life)
        expected += blocks
        copy = StateFolder(Path(shutil.copytree(folder.path, tmp_path / f"{life}")))
        left = read_journal(copy, checked)
        copy.close()
        assert (expected[checked:], "") == (list(left.blocks()), left.problem)
        checked = journal.last
        journal.drop_through(checked)
        assert len(segment_files(folder.path)) == 1
        assert (folder.path / "journal.spare").stat().st_size == SMALL


def test_a_segment_with_one_record_after_the_checkpoint_stays(folder: StateFolder) -> None:
    """Only what is covered to the last record is given up."""
    journal = begin(folder)
    blocks = fill(journal, 60)
    firsts = [Segment(path.read_bytes()).first for path in segment_files(folder.path).values()]
    for gone, first in enumerate(firsts[1:]):
        journal.drop_through(first - 2)
        assert len(firsts) - gone == journal.segments
        journal.drop_through(first - 1)
        assert len(firsts) - gone - 1 == journal.segments
    assert blocks[firsts[-1] - 1 :] == list(read_journal(folder, firsts[-1] - 1).blocks())


def test_records_of_another_segment_never_read_as_valid() -> None:
    """The very same bytes under another segment's header are stale."""
    record = encode_record(7, 3, [b"block"], durable=2, compress=False)
    for number, count in ((7, 1), (8, 0)):
        data = header_page(number, 3, BUNDLE) + record + bytes(100)
        segment = Segment(data)
        segment.scan(data, None)
        assert count == len(list(segment.blocks(0, data)))


@pytest.mark.parametrize(
    ("offset", "length", "at"),
    [
        (4096, 10, 4096),
        (4106, 4086, 4106),
        (4106, 4087, 8192),
        (4106, 4096, 8192),
        (4106, 8000, 4106),
        (4106, 8190, 8192),
        (4106, 8192, 8192),
        (4097, 8191, 4097),
        (8192, 9000, 8192),
    ],
)
def test_place_touches_as_few_pages_as_can_be(offset: int, length: int, at: int) -> None:
    """A record moves to the next page only when that spares one."""
    assert at == place(offset, length)
