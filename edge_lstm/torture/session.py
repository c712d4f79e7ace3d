"""One call of ``edge-lstm torture``: which nemeses, how often, until when."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_lstm.bundle import open_bundle
from edge_lstm.errors import TortureError
from edge_lstm.torture.broker import find_mosquitto
from edge_lstm.torture.disk import need_root
from edge_lstm.torture.process import Forks
from edge_lstm.torture.proof import Row, prove
from edge_lstm.torture.registry import NEMESES, Nemesis
from edge_lstm.torture.setup import Setup
from edge_lstm.torture.truth import Subject

__all__ = ["Session", "chosen"]


def chosen(only: str | None) -> tuple[str, ...]:
    """Names of nemeses from a text with commas; all of them without one.

    Raises:
        TortureError: There is no such nemesis.
    """
    if only is None:
        return tuple(NEMESES)
    names = tuple(part.strip() for part in only.split(",") if part.strip())
    for name in names:
        if name not in NEMESES:
            raise TortureError(f"there is no nemesis '{name}'", expected=", ".join(NEMESES))
    return names


class Session:
    """Runs nemeses one after the other.

    Args:
        folder: Where to work; what is in it stays.
        seed: Where all choices come from.
        bundle: A real bundle to torture; ``None`` is the witness.
        tell: Takes lines about how far it is.

    Attributes:
        what: What is under torture, for people.

    Raises:
        TortureError: There is no Mosquitto.
        BundleError: The bundle cannot be used.
    """

    def __init__(self, *, folder: Path, seed: str, bundle: Path | None, tell: Callable[[str], None]) -> None:
        find_mosquitto()
        self._folder, self._seed, self._tell = folder, seed, tell
        self._bundle = None if bundle is None else bundle.absolute()
        self._forks = Forks(interpreter=bundle is not None)
        if bundle is None:
            self._subject, self.what = Subject.of_witness(), "the witness: a hash chain for a model"
        else:
            opened = open_bundle(bundle)
            self._subject = Subject.of_bundle(opened)
            self.what = f"{opened.manifest.id}/{opened.manifest.version}, {opened.sha256[:16]}"

    def close(self) -> None:
        """End what makes daemons."""
        self._forks.close()

    def run(
        self, names: Sequence[str], *, size: str, trials: int | None, controls: bool, minutes: float
    ) -> list[Row]:
        """One row a nemesis, in order.

        Args:
            names: Keys of `NEMESES`.
            size: ``quick``, ``usual`` or ``long``.
            trials: Faults of each, in place of those of the size.
            controls: Whether to run the controls, the first time.
            minutes: Go on with other choices until so much time has passed.

        Raises:
            TortureError: Something that a nemesis needs is not there.
        """
        for name in names:  # better now than after half an hour
            if NEMESES[name].root:
                need_root(name)
        end = time.monotonic() + minutes * 60
        rows = [self._one(name, size, trials, 0, controls=controls) for name in names]
        turn = 1
        while time.monotonic() < end:
            for i, name in enumerate(names):
                rows[i] = rows[i].plus(self._one(name, size, trials, turn, controls=False))
            turn += 1
        return rows

    def _one(self, name: str, size: str, trials: int | None, turn: int, *, controls: bool) -> Row:
        setup = Setup(
            folder=self._folder / f"turn-{turn}",
            seed=f"{self._seed}/{turn}",
            subject=self._subject,
            forks=self._forks,
            bundle=self._bundle,
            trials=trials or _trials(NEMESES[name], size),
            tell=lambda line: self._tell(f"{name}: {line}"),
        )
        return prove(name, setup, controls=controls)


def _trials(nemesis: Nemesis, size: str) -> int:
    return {"quick": nemesis.quick, "usual": nemesis.usual, "long": nemesis.long}[size]
