"""Progress in the terminal: rich where a person looks on, plain lines where a log does."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["PlainWatcher", "RichWatcher", "Watcher", "Within", "watcher"]


class Watcher:
    """Told what is going on; this one keeps it to itself."""

    def stage(self, title: str) -> None:
        """A step begins."""

    def advance(self, done: float, text: str = "") -> None:
        """The step is done to this share, 0 to 1."""

    def say(self, text: str) -> None:
        """A line to keep."""


class Within(Watcher):
    """Tells of a training that is one of many, as a part of the step they are.

    Args:
        outer: Told of it.
        done: Share of the step that was done before this training.
        title: What to call the training.
    """

    def __init__(self, outer: Watcher, done: float, title: str) -> None:
        self._outer, self._done, self._of, self._stage = outer, done, title, ""

    def stage(self, title: str) -> None:
        """A step of the training begins."""
        self._stage = title
        self._outer.advance(self._done, f"{self._of}: {title}")

    def advance(self, done: float, text: str = "") -> None:
        """The step of the training is done to this share."""
        self._outer.advance(self._done, f"{self._of}: {self._stage} {done:.0%} {text}".rstrip())


class PlainWatcher(Watcher):
    """One line a step and one every few seconds within it, on standard error."""

    EVERY_S = 5.0

    def __init__(self) -> None:
        self._title, self._begun, self._said = "", 0.0, 0.0

    def __enter__(self) -> Self:
        """Nothing to set up."""
        return self

    def __exit__(self, *_: object) -> None:
        """Say how long the last step took, unless it failed."""
        if _[0] is None:
            self._finish()

    def stage(self, title: str) -> None:
        """Say that a step begins, and how long the one before took."""
        self._finish()
        self._title, self._begun = title, time.monotonic()
        self._said = self._begun
        click.echo(f"{title} ...", err=True)

    def advance(self, done: float, text: str = "") -> None:
        """Say how far it is, now and then."""
        now = time.monotonic()
        if now - self._said >= self.EVERY_S:
            self._said = now
            click.echo(f"{self._title}: {done:.0%} {text}".rstrip(), err=True)

    def say(self, text: str) -> None:
        """Print the line, at once."""
        click.echo(text, err=True)

    def _finish(self) -> None:
        if self._title:
            click.echo(f"{self._title}: done in {time.monotonic() - self._begun:.1f} s", err=True)
            self._title = ""


class RichWatcher(Watcher):
    """A bar a step."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
        )
        self._progress = Progress(*columns, console=console)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing; the last bar is full only if nothing failed."""
        if kind is None:
            self._finish()
        self._progress.stop()

    def stage(self, title: str) -> None:
        """Begin a bar."""
        self._finish()
        self._task = self._progress.add_task(title, total=1.0, text="")

    def advance(self, done: float, text: str = "") -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, text=text)

    def say(self, text: str) -> None:
        """Print the line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=1.0)


def watcher() -> PlainWatcher | RichWatcher:
    """The form that fits where standard error goes."""
    console = Console(stderr=True)
    return RichWatcher(console) if console.is_terminal else PlainWatcher()
