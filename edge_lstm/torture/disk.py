"""Small file systems in files, and power cuts: the daemon's disk as it was, without what was never flushed.

The recipe (needs root, for loop mounts; nothing of the device mapper): the state folder is
an ext4 in a file. A cut stops the daemon, copies the file, kills the daemon, and goes on with
the copy. The file holds what has reached the "device"; what only the page cache of the inner
file system knew is not in it, as after a loss of power. It is the kind of crash that loses
the last writes, not one that tears a sector or reorders within a drive.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge_lstm.errors import TortureError

__all__ = ["Disk", "need_root"]

_SIZE_MB = 24
_FILL = 64 * 1024


def need_root(what: str) -> None:
    """Say clearly that loop mounts are root's.

    Raises:
        TortureError: We are not root, or the programs are not there.
    """
    if os.geteuid() != 0:
        raise TortureError(f"{what} mounts file systems", do="run it as root, or leave it out with --only")
    for program in ("mkfs.ext4", "mount", "umount", "cp"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            raise TortureError(f"{what} needs {program}", do="install it: apt install e2fsprogs mount")


def _run(*command: str) -> None:
    environ = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)  # noqa: S603 - fixed programs
    if done.returncode:
        raise TortureError(f"{' '.join(command[:2])} fails", got=done.stderr.strip()[:200])


class Disk:
    """An ext4 in a file, mounted.

    Args:
        folder: For the file and the place where it is mounted; neither is left behind.
        size_mb: Its size, MiB.

    Attributes:
        root: Where it is mounted; the same after every cut.
    """

    def __init__(self, folder: Path, *, size_mb: int = _SIZE_MB) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.root = folder / "disk"
        self.root.mkdir()
        self._images = (folder / "disk.0", folder / "disk.1")
        with self._images[0].open("wb") as file:
            file.truncate(size_mb * 2**20)
        _run("mkfs.ext4", "-q", "-F", "-J", "size=4", "-m", "0", str(self._images[0]))
        self._mount(self._images[0])

    @property
    def state(self) -> Path:
        """The state folder on it."""
        return self.root / "state"

    def snapshot(self) -> None:
        """Copy what is on the device now, beside it."""
        _run("cp", "--sparse=always", str(self._images[0]), str(self._images[1]))

    def cut(self) -> None:
        """Go on with the copy, as after a loss of power; whoever wrote to the disk must be gone."""
        # Lazily: what is flushed to the old file from here on, nobody will see.
        _run("umount", "-l", str(self.root))
        old, new = self._images
        old.unlink()
        self._images = (new, old)
        self._mount(new)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Not a byte is free within this block."""
        filler = self.root / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (_FILL, 4096, 512):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)
        try:
            yield
        finally:
            filler.unlink()

    def close(self) -> None:
        """Unmount and remove it."""
        with contextlib.suppress(TortureError):
            _run("umount", "-l", str(self.root))
        for image in self._images:
            image.unlink(missing_ok=True)

    def _mount(self, image: Path) -> None:
        _run("mount", "-o", "loop,noatime", str(image), str(self.root))
