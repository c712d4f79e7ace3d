"""A power cut costs nothing that was told; leaving out a safeguard does, or the test would prove nothing.

The store works on a file system in a file. What is in that file when the process stands still
is what the disk has: the pages that were never flushed are not in it. A copy of it, mounted,
is what the next start finds.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_lstm.io.store import Store

ROOT = Path(__file__).parents[2]
BUNDLE = "ab" * 32
LOOPS = os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None

pytestmark = pytest.mark.skipif(not LOOPS, reason="needs root, loop devices and mkfs.ext4")

WORKER = """
import os, sys, time
from pathlib import Path
from edge_lstm.io.rows import OutboxRow
from edge_lstm.io.store import Store

path, weaken, end = Path(sys.argv[1]), frozenset(filter(None, [sys.argv[2]])), sys.argv[3]
store = Store(path, wake=lambda: None, segment_bytes=65536, weaken=weaken)
store.recover("ab" * 32)
store.start()
count = 0

def wait(ticket):
    while store.completed < ticket:
        time.sleep(0)

def append():
    global count
    count += 1
    wait(store.append(b"%d:" % count + os.urandom(3000)))

def fill_segment():
    files = store._files.journal
    before = files._number
    while files._number == before:
        append()

for _ in range(3):  # from now on segments are files that were written before
    fill_segment()
    wait(store.checkpoint(b"%d" % count, [], bundle_sha256="ab" * 32))
if end == "row":
    wait(store.post([OutboxRow(count, "t", b"row")]))
else:
    fill_segment()
    for _ in range(5):
        append()
print(count, flush=True)
time.sleep(60)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system in a file ``disk``, mounted on ``at``; both are parents of nothing else."""
    image, at = tmp_path / "disk", tmp_path / "at"
    at.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    # commit: the file system must not flush by itself just when a control is to lose something.
    command = ["mount", "-o", "loop,commit=300", str(image), str(at)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a loop device cannot be mounted here: {mounted.stderr.decode()}")
    yield tmp_path
    subprocess.run(["umount", "-l", str(at)], check=True)


def cut(disk: Path, weaken: str, end: str) -> tuple[int, int, int]:
    """Work, cut the power, start anew: messages told, messages that are there, rows that are there."""
    command = [sys.executable, "-c", WORKER, str(disk / "at" / "state"), weaken, end]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as worker:
        assert worker.stdout is not None
        told = int(worker.stdout.readline())
        worker.send_signal(signal.SIGSTOP)
        subprocess.run(["cp", "--sparse=always", str(disk / "disk"), str(disk / "copy")], check=True)
        worker.kill()
    subprocess.run(["umount", "-l", str(disk / "at")], check=True)
    subprocess.run(["mount", "-o", "loop", str(disk / "copy"), str(disk / "at")], check=True)
    store = Store(disk / "at" / "state", wake=lambda: None)
    found = store.recover(BUNDLE)
    numbers = [int(block.split(b":")[0]) for block in found.blocks]
    store.close(1.0)
    kept = max(numbers, default=int(found.meta or 0))
    assert [*range(int(found.meta or 0) + 1, kept + 1)] == numbers
    return told, kept, len(found.outbox)


@pytest.mark.parametrize("end", ["row", "segment"])
def test_a_power_cut_costs_nothing_that_was_told(disk: Path, end: str) -> None:
    """Every message is there, and the row, and the name of the file they are in."""
    told, kept, rows = cut(disk, "", end)
    assert (told, int(end == "row")) == (kept, rows)


@pytest.mark.parametrize(
    ("weaken", "end"), [("no_fdatasync", "segment"), ("sqlite_normal", "row"), ("no_dir_fsync", "segment")]
)
def test_each_safeguard_is_needed(disk: Path, weaken: str, end: str) -> None:
    """Without it the same cut loses something: the test can fail."""
    told, kept, rows = cut(disk, weaken, end)
    assert (told, int(end == "row")) != (kept, rows)
