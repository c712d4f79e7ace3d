"""A board: a root, a processor and an installation, in which programs are run under qemu-user."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.boards.machines import ROOTS, Board
from tests.boards.paths import CACHE, clean_environ, reference_requirements, run
from tests.boards.roots import cpuinfo, root_of

__all__ = ["Emulated"]

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Emulated:
    """An emulated board with edge-lstm installed by the pip of its own system.

    pip runs under the emulator, so the markers of pyproject.toml are judged by what the
    board says of itself, and the wheels are those that a real one would get.

    Args:
        name: A key of `tests.boards.machines.BOARDS`, and the folder of the installation.
        board: What to emulate.
        built: The wheel of this checkout.
    """

    def __init__(self, name: str, board: Board, built: Path) -> None:
        self.name, self.board, self.system = name, board, ROOTS[board.root]
        self.root = root_of(board.root)
        self.site = CACHE / "sites" / name
        self._install(built)

    def _install(self, built: Path) -> None:
        extra = "[history]" if self.board.polars else ""
        ours = f"edge-lstm{extra} @ file://{built}"
        if self.site.exists():
            shutil.rmtree(self.site)
        if self.board.interpreter and not self.board.packages:
            self._pip(ours)
            return
        # Not the file itself: pip cannot build PyYAML here, for want of a second interpreter (no binfmt).
        self._pip(*reference_requirements(), *self.board.packages)
        self._pip("--no-deps", str(built))

    def _pip(self, *arguments: str) -> None:
        (pip,) = (self.root / "usr/share/python-wheels").glob("pip-*.whl")
        options = ["--quiet", "--no-compile", "--prefix", str(self.site), "--only-binary", ":all:"]
        done = self.run([str(pip / "pip"), "--cert", _CERTIFICATES, "install", *options, *arguments])
        if done.returncode:
            raise RuntimeError(f"{self.name}: pip install {' '.join(arguments)}:\n{done.stderr}")

    @property
    def paths(self) -> list[Path]:
        """Where pip has put the packages, by the scheme of the system."""
        return sorted(p for kind in ("site", "dist") for p in self.site.glob(f"**/{kind}-packages"))

    def command(self, arguments: Sequence[str | Path]) -> tuple[list[str], dict[str, str]]:
        """A command of the board's Python, and the environment for it."""
        python = self.root / f"usr/bin/python{self.system.python}"
        line = [self.system.emulator, "-L", self.root, python, *arguments]
        environ = {"QEMU_CPU": self.board.cpu, "PYTHONPATH": ":".join(str(path) for path in self.paths)}
        cpuinfo(self.root, self.board.cpu)
        return [str(part) for part in line], environ

    def run(
        self, arguments: Sequence[str | Path], *, folder: Path = CACHE
    ) -> subprocess.CompletedProcess[str]:
        """Run the board's Python to its end."""
        line, environ = self.command(arguments)
        return run(line, environ=environ, folder=folder, check=False)

    def start(self, arguments: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
        """Start the board's Python and go on; its standard error goes into a file."""
        line, environ = self.command(arguments)
        with log.open("wb") as file:
            return subprocess.Popen(line, env=clean_environ(environ), cwd=CACHE, stderr=file)
