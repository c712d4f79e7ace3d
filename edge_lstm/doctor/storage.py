"""The folder of the states: does what is written there survive a power cut, and is there room."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from edge_lstm.doctor.board import MIB
from edge_lstm.doctor.finding import Finding, fail, ok, warn
from edge_lstm.doctor.read import below, read_text

__all__ = ["Mount", "mount_of", "storage"]

_FORGETS = frozenset({"tmpfs", "ramfs", "overlay", "rootfs", "squashfs"})
"""Lost with the power, or lying over a system that is never written (overlayroot, containers)."""

_LITTLE_MIB = 100
_LONG = 200
"""Characters of a path that are shown."""


class Mount(NamedTuple):
    """A line of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)).

    Attributes:
        point: Where it is mounted.
        kind: Kind of the file system.
        source: Device, or what stands for one.
        writable: False when mounted ``ro``.
    """

    point: str
    kind: str
    source: str
    writable: bool


def mount_of(root: Path, path: Path) -> Mount | None:
    """The file system of an absolute path, or ``None`` when the system does not say."""
    best = None
    for line in (read_text(below(root, "proc/self/mountinfo")) or "").splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) < 6 or len(right) < 3:
            continue
        point = left[4].replace("\\040", " ")
        options = {*left[5].split(","), *right[2].split(",")}
        covers = path == Path(point) or Path(point) in path.parents
        if covers and (best is None or len(point) >= len(best.point)):
            best = Mount(point, right[0], right[1], writable="ro" not in options)
    return best


def storage(root: Path, state_dir: Path) -> list[Finding]:
    """File system, room and rights of the folder for the states.

    Args:
        root: Where the board's files are.
        state_dir: The folder, absolute, as the board sees it; may not exist yet.
    """
    found = [_file_system(root, state_dir)]
    here = below(root, state_dir)
    there, wrong = _nearest(here)
    if wrong:
        name = str(state_dir) if len(str(state_dir)) <= _LONG else f"{str(state_dir)[:_LONG]}…"
        fix = "give state_dir a path where a folder is or can be made"
        return [*found, fail("state-dir", f"{name} cannot be a folder: {wrong}", fix)]
    free = _free_mib(there)
    if free is not None and free < _LITTLE_MIB:
        found.append(fail("disk", f"{free} MiB free at {state_dir}", "make room: states need a few MiB"))
    elif free is not None:
        found.append(ok("disk", f"{free} MiB free at {state_dir}"))
    if there != here:
        found.append(ok("state-dir", f"{state_dir} does not exist yet: the service makes it"))
    elif not os.access(here, os.W_OK | os.X_OK):
        fix = "run doctor as the daemon's user, or give that user the folder (chown)"
        found.append(warn("state-dir", f"{state_dir} cannot be written by this user", fix))
    else:
        found.append(ok("state-dir", f"{state_dir} can be written"))
    return found


def _nearest(here: Path) -> tuple[Path, str]:
    """The folder, or what exists of the path to it, and why no folder can be there (else empty)."""
    for place in (here, *here.parents):
        try:
            mode = place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if place.is_symlink():
                return place, f"{place} is a symbolic link to nothing"
            continue
        except PermissionError:  # there may be a folder, which another user can see
            return place, ""
        except OSError as error:
            return place, error.strerror or type(error).__name__
        except ValueError as error:  # a NUL
            return place, str(error)
        return place, "" if stat.S_ISDIR(mode) else f"{place} is not a folder"
    return here, "nothing of its path exists"


def _file_system(root: Path, state_dir: Path) -> Finding:
    mount = mount_of(root, state_dir)
    if mount is None:
        return warn("file-system", "unknown: no /proc/self/mountinfo", "check that it survives a restart")
    fact = f"{mount.kind} on {mount.source}, mounted at {mount.point}"
    disk = "put state_dir on a disk that is written: a partition of its own, mounted rw"
    if mount.kind in _FORGETS:
        return warn("file-system", f"{fact}: forgets the states when the power goes", disk)
    if not mount.writable:
        return fail("file-system", f"{fact}, read-only", disk)
    if "mmcblk" in mount.source:
        return ok("file-system", f"{fact} (flash: snapshot.interval_s sets the wear)")
    return ok("file-system", fact)


def _free_mib(folder: Path) -> int | None:
    """Room for a user that is not root, MiB."""
    try:
        said = os.statvfs(folder)
    except (OSError, AttributeError):  # Windows has none
        return None
    return said.f_bavail * said.f_frsize // MIB
