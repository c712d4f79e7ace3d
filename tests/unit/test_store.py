"""The store does what it was asked in order, says how far it is, and gets over a disk that will not write."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_lstm.errors import SnapshotError
from edge_lstm.io.database import DATABASE
from edge_lstm.io.journal import segment_files
from edge_lstm.io.rows import OutboxRow, Recovered
from edge_lstm.io.store import Store

BUNDLE, OTHER = "ab" * 32, "cd" * 32


def until(holds: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.001)


def done(store: Store, ticket: int) -> None:
    """Wait for a ticket."""
    until(lambda: store.completed >= ticket)


def left(path: Path, bundle: str = BUNDLE) -> tuple[Recovered, list[bytes], dict[str, bytes]]:
    """What a process finds that begins now: facts, blocks, streams."""
    store = Store(path, wake=lambda: None)
    found = store.recover(bundle)
    blocks, streams = list(found.blocks), dict(found.streams())
    store.close(1.0)
    return found, blocks, streams


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state folder that is not there yet."""
    return tmp_path / "state"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A store at work."""
    made = Store(path, wake=lambda: None)
    made.recover(BUNDLE)
    made.start()
    yield made
    made.close(5.0)


def test_tickets_rise_and_wake_whoever_waits(path: Path) -> None:
    """Each request has the next number; somebody is woken when it is complete."""
    woken = threading.Event()
    store = Store(path, wake=woken.set)
    store.recover(BUNDLE)
    assert [1, 2, 3] == [store.append(b"a"), store.post([]), store.append(b"b")]
    assert 0 == store.completed
    store.start()
    assert woken.wait(10)
    done(store, 3)
    assert store.close(5.0)
    assert [b"a", b"b"] == left(path)[1]


def test_checkpoint_covers_what_was_appended_before_it(store: Store, path: Path) -> None:
    """And nothing else: later blocks come back."""
    for n in range(20):
        store.append(b"before-%d" % n)
    store.checkpoint(b"meta", [("a", b"1"), ("b", b"2")], bundle_sha256=BUNDLE)
    done(store, store.append(b"after"))
    assert store.close(5.0)
    found, blocks, streams = left(path)
    assert (b"meta", [b"after"], {"a": b"1", "b": b"2"}, 2) == (found.meta, blocks, streams, found.assets)
    assert not found.other_bundle
    assert found.saved_ns > 10**18


def test_a_checkpoint_takes_its_streams_when_it_is_asked(store: Store) -> None:
    """States go on while it waits in the line."""
    state = bytearray(b"old")
    done(store, store.checkpoint(b"", ((name, bytes(state)) for name in ("a",)), bundle_sha256=BUNDLE))
    state[:] = b"new"
    assert b"old" == store.load_stream("a")
    assert store.load_stream("never seen") is None


def test_another_bundle_is_told(store: Store, path: Path) -> None:
    """By the checkpoint, and by blocks alone."""
    done(store, store.append(b"x"))
    store.close(5.0)
    for _ in range(2):
        found, blocks, _ = left(path, OTHER)
        assert (True, BUNDLE, [b"x"]) == (found.other_bundle, found.bundle_sha256, blocks)
    assert not left(path)[0].other_bundle


def test_a_new_bundle_is_not_another_one_after_its_checkpoint(store: Store, path: Path) -> None:
    """A daemon that changed its bundle while it ran, and was then killed, goes on with the new one."""
    done(store, store.append(b"under the old one"))
    done(store, store.checkpoint(b"", [("a", b"1")], bundle_sha256=OTHER))
    store.close(5.0)
    for blocks in ([], [b"under the new one"]):
        again = Store(path, wake=lambda: None)
        found = again.recover(OTHER)
        assert (False, OTHER) == (found.other_bundle, found.bundle_sha256)
        assert blocks == list(found.blocks)
        again.start()
        done(again, again.append(b"under the new one"))
        again.close(5.0)


def test_rows_are_kept_until_they_are_delivered(store: Store, path: Path) -> None:
    """What was posted before is left out, also by the next process."""
    rows = [OutboxRow(n, f"t/{n}", b"p", alert_seq=n) for n in range(1, 6)]
    done(store, store.post(rows))
    store.delivered([1, 3])
    store.close(5.0)
    again = Store(path, wake=lambda: None)
    found = again.recover(BUNDLE)
    assert ([rows[1], rows[3], rows[4]], 3, 5, 5) == (
        found.outbox,
        found.outbox_waiting,
        found.outbox_last,
        found.alert_last,
    )
    again.start()
    done(again, again.post([*rows, OutboxRow(6, "t/6", b"")]))
    assert [2, 4, 5, 6] == [row.seq for row in again.waiting(0, 10)]
    assert [3, 4] == [alert.alert_seq for alert in again.alerts(3, 2)]
    assert 4 == again.facts.outbox_waiting
    again.delivered([2])
    done(again, again.checkpoint(b"", [], bundle_sha256=BUNDLE))
    assert [4, 5, 6] == [row.seq for row in again.waiting(0, 10)]
    assert again.close(5.0)


def test_delivered_rows_leave_without_another_request(store: Store) -> None:
    """After about a second, when nothing else is written."""
    done(store, store.post([OutboxRow(1, "t", b"")]))
    store.delivered([1])
    until(lambda: not store.waiting(0, 10))


def test_batched_blocks_are_flushed_within_the_window(path: Path) -> None:
    """A ticket is complete before the flush; the flush comes by itself, and before any row."""
    store = Store(path, wake=lambda: None, mode="batched", loss_window_s=0.2)
    store.recover(BUNDLE)
    store.start()
    done(store, store.append(b"x"))
    journal = store._files.journal
    until(lambda: journal.durable == 1)
    store.append(b"y")
    done(store, store.post([OutboxRow(1, "t", b"")]))
    assert 2 == journal.durable
    store.close(5.0)


@pytest.mark.usefixtures("store")
def test_a_second_daemon_is_refused(path: Path) -> None:
    """One folder, one daemon."""
    with pytest.raises(SnapshotError, match="used by another daemon"):
        Store(path, wake=lambda: None)


def test_the_old_snapshot_is_set_aside(path: Path) -> None:
    """Version 0.1's file is neither read nor lost."""
    path.mkdir()
    (path / "state.snapshot").write_bytes(b"old")
    assert left(path)[0].meta is None
    assert b"old" == (path / "state.old").read_bytes()


def test_a_damaged_database_is_told_and_nothing_completes_before_a_full_checkpoint(path: Path) -> None:
    """Without a base, blocks would be worth nothing after the next crash."""
    store = Store(path, wake=lambda: None)
    store.recover(BUNDLE)
    store.start()
    store.append(b"one")
    done(store, store.checkpoint(b"meta", [("a", b"1")], bundle_sha256=BUNDLE))
    done(store, store.post([OutboxRow(7, "t", b"", alert_seq=3)]))
    store.close(5.0)
    with (path / DATABASE).open("r+b") as file:
        file.seek(4096)
        file.write(bytes(2000))
    store = Store(path, wake=lambda: None)
    found = store.recover(BUNDLE)
    assert found.meta is None
    assert "set aside" in found.problem
    assert (True, True) == (store.needs_full, store.alive is False)
    store.start()
    first = store.append(b"two")
    done_partly = store.checkpoint(b"partial", [], bundle_sha256=BUNDLE)
    until(lambda: store._writer._done >= done_partly)
    assert store.completed < first < done_partly
    done(store, store.checkpoint(b"full", [("a", b"2")], bundle_sha256=BUNDLE, full=True))
    assert (store.needs_full, store.problem) == (False, "")
    done(store, store.append(b"three"))
    store.close(5.0)
    found, blocks, streams = left(path)
    assert (b"full", [b"three"], {"a": b"2"}, "") == (found.meta, blocks, streams, found.problem)


@pytest.mark.parametrize("moved", ["folder", "removed", "journal", "database"])
def test_files_that_vanish_are_noticed_and_made_anew(store: Store, path: Path, moved: str) -> None:
    """Nothing completes falsely; a full checkpoint puts everything right, rows in memory included."""
    row = OutboxRow(1, "t", b"row")
    store.append(b"lost with the folder")
    store.checkpoint(b"lost", [("a", b"0")], bundle_sha256=BUNDLE)
    store.append(b"in the journal")
    done(store, store.post([row]))
    if moved == "folder":
        path.rename(path.with_name("moved"))
    elif moved == "removed":
        shutil.rmtree(path)
    elif moved == "journal":
        for segment in segment_files(path).values():
            segment.unlink()
    else:
        (path / DATABASE).unlink()
    ticket = store.append(b"held")
    until(lambda: store.needs_full)
    until(lambda: store._writer._done >= ticket)
    assert "deleted or moved" in store.problem
    assert store.completed < ticket
    done(store, store.checkpoint(b"full", [("a", b"1")], bundle_sha256=BUNDLE, full=True, outbox=[row]))
    assert ("", False) == (store.problem, store.needs_full)
    done(store, store.append(b"after"))
    assert store.close(5.0)
    found, blocks, streams = left(path)
    assert (b"full", [b"after"], {"a": b"1"}, [row], "") == (
        found.meta,
        blocks,
        streams,
        found.outbox,
        found.problem,
    )


def test_a_database_that_is_damaged_while_running_is_set_aside(store: Store, path: Path) -> None:
    """Somebody writes over the files; the next work on them finds out, and asks for a full checkpoint."""
    streams = [(f"asset-{n}", os.urandom(3000)) for n in range(2000)]  # more than SQLite keeps in memory
    done(store, store.checkpoint(b"first", streams, bundle_sha256=BUNDLE))
    done(store, store.post([OutboxRow(5, "t", b"", alert_seq=2)]))
    for name in (DATABASE, f"{DATABASE}-wal"):
        with (path / name).open("r+b") as file:
            file.write(b"\x55" * (path / name).stat().st_size)
    ticket = store.checkpoint(b"partial", streams[:5], bundle_sha256=BUNDLE)
    until(lambda: store.needs_full)
    assert "set aside" in store.problem
    assert store.completed < ticket
    done(store, store.checkpoint(b"full", streams[:9], bundle_sha256=BUNDLE, full=True))
    assert "" == store.problem
    # Numbers do not come again although the rows are gone.
    done(store, store.post([OutboxRow(5, "again", b""), OutboxRow(6, "new", b"")]))
    assert [6] == [row.seq for row in store.waiting(0, 10)]
    assert store.close(5.0)
    found, _, kept = left(path)
    assert (b"full", dict(streams[:9]), 6, 2) == (found.meta, kept, found.outbox_last, found.alert_last)


def test_a_journal_that_cannot_be_made_stops_and_resumes(path: Path) -> None:
    """A folder stands where the next segment is to be made; nothing is told before it is gone."""
    store = Store(path, wake=lambda: None)
    store.recover(BUNDLE)
    (path / "journal.spare").mkdir()
    store.start()
    ticket = store.append(b"waits")
    until(lambda: store.problem)
    assert ("Is a directory" in store.problem, store.completed) == (True, 0)
    (path / "journal.spare").rmdir()
    done(store, ticket)
    assert "" == store.problem
    assert store.close(5.0)
    assert [b"waits"] == left(path)[1]


def mounted(at: Path, *options: str) -> bool:
    """Mount 4 MB of memory there; False where that may not be done."""
    at.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(["size=4m", *options]), "none", str(at)]
    return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0


def write_on(file: int) -> None:
    """Write until that fails."""
    while True:
        os.write(file, bytes(4096))


def fill(ballast: Path) -> None:
    """Take all the room there is."""
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        write_on(file)
    os.close(file)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB that can be filled, and made read-only."""
    at = tmp_path / "disk"
    if not mounted(at):
        pytest.skip("mounting a small file system needs root")
    yield at
    while subprocess.run(["umount", "-l", str(at)], check=False, capture_output=True).returncode == 0:
        pass  # a test may have left another one on top


def test_a_full_disk_stops_and_resumes(small_disk: Path) -> None:
    """Nothing is completed falsely, nothing is dropped, and no hand is needed when there is room again."""
    path, ballast = small_disk / "state", small_disk / "ballast"
    store = Store(path, wake=lambda: None, segment_bytes=256 * 1024)
    store.recover(BUNDLE)
    store.start()
    blocks = [os.urandom(60_000) for _ in range(30)]
    ticket = done_before = store.append(blocks[0])
    done(store, ticket)
    fill(ballast)
    for block in blocks[1:]:
        ticket = store.append(block)
    row = OutboxRow(1, "t", b"r" * 9000)
    last = store.post([row])
    until(lambda: store.problem)
    assert "No space left" in store.problem
    assert done_before <= store.completed < ticket
    assert b"" == (store.load_stream("answers are given meanwhile") or b"")
    ballast.unlink()
    done(store, last)
    assert "" == store.problem
    done(store, store.checkpoint(b"m", [("a", b"1")], bundle_sha256=BUNDLE))
    done(store, store.append(b"after"))
    assert store.close(5.0)
    found, left_blocks, _ = left(path)
    assert ([b"after"], [row], "") == (left_blocks, found.outbox, found.problem)


def test_blocks_written_around_a_full_disk_all_come_back(small_disk: Path) -> None:
    """The same without a checkpoint: every block is there once, in order."""
    path, ballast = small_disk / "state", small_disk / "ballast"
    store = Store(path, wake=lambda: None, segment_bytes=128 * 1024)
    store.recover(BUNDLE)
    store.start()
    blocks = [os.urandom(50_000) for _ in range(30)]
    for n, block in enumerate(blocks):
        ticket = store.append(block)
        if n % 10 == 5:
            fill(ballast)
        if n % 10 == 9:
            until(lambda: store.problem)
            ballast.unlink()
            done(store, ticket)
    assert store.close(5.0)
    assert blocks == left(path)[1]


def test_a_read_only_disk_stops_and_resumes(small_disk: Path) -> None:
    """As a card does that is worn out, or a file system after an error."""
    path = small_disk / "state"
    store = Store(path, wake=lambda: None, segment_bytes=8192)
    store.recover(BUNDLE)
    store.start()
    done(store, store.append(b"one"))
    # Files that are open stay writable, or the kernel would refuse; new ones cannot be made.
    subprocess.run(["mount", "--bind", str(small_disk), str(small_disk)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(small_disk)], check=True)
    large = os.urandom(5000)  # needs another segment
    ticket = store.append(large)
    row = OutboxRow(1, "t", b"")
    last = store.post([row])
    until(lambda: store.problem)
    assert store.completed < last
    assert ticket < last
    subprocess.run(["umount", "-l", str(small_disk)], check=True)
    done(store, last)
    assert store.close(5.0)
    found, blocks, _ = left(path)
    assert ([b"one", large], [row]) == (blocks, found.outbox)


def test_close_says_when_something_could_not_be_written(small_disk: Path) -> None:
    """It ends in time all the same, and what was complete is there."""
    path = small_disk / "state"
    store = Store(path, wake=lambda: None, segment_bytes=8192)
    store.recover(BUNDLE)
    store.start()
    done(store, store.append(b"kept"))
    fill(small_disk / "ballast")
    store.append(os.urandom(20_000))
    assert not store.close(0.3)
    (small_disk / "ballast").unlink()
    assert [b"kept"] == left(path)[1]
