"""The exception tree, split by who must act.

    EdgeLstmError
    ├── OperatorError            somebody at the keyboard can put it right: one line, exit code 1
    │   ├── ConfigError          a key of the site's configuration (path, line, key)
    │   ├── HistoryError         a file of sensor history (path, row, column)
    │   ├── BundleError          a bundle that must not run (path)
    │   │   └── SelfTestError    the golden vectors do not come out on this board
    │   ├── BackendError         no interpreter, or one that cannot run this model
    │   ├── BrokerError          the MQTT broker refused us or cannot be reached
    │   │   └── TakenOverError   another client uses our name there
    │   ├── SnapshotError        saved states that cannot be written or read
    │   ├── DeployError          a host that could not be brought to the wanted state
    │   ├── CompileError         the Edge TPU's compiler is absent, fails, or maps a part only
    │   ├── TortureError         what edge-lstm torture needs is not there, or does not work
    │   └── MissingExtraError    a command whose packages are not installed
    └── StateError               a bug of ours: stages called out of order

Bad *data* on a running stream is never an exception: it is a counted
`edge_lstm.contracts.reading.Reject`.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "BackendError",
    "BrokerError",
    "BundleError",
    "CompileError",
    "ConfigError",
    "DeployError",
    "EdgeLstmError",
    "HistoryError",
    "MissingExtraError",
    "OperatorError",
    "SelfTestError",
    "SnapshotError",
    "StateError",
    "TakenOverError",
    "TortureError",
]


class EdgeLstmError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        what: What happened, without a full stop.
        expected: What would have been right.
        got: What was there instead.
        do: What the reader can do about it.
    """

    def __init__(
        self, what: str, *, expected: str | None = None, got: str | None = None, do: str | None = None
    ) -> None:
        self.what, self.expected, self.got, self.do = what, expected, got, do
        super().__init__(what, expected, got, do)

    def where(self) -> str:
        """The place of the fault, ready to stand in front of the message."""
        return ""

    def __str__(self) -> str:
        """One line: where, what, expected, got, what to do."""
        facts = [f"expected {self.expected}"] if self.expected else []
        facts += [f"got {self.got}"] if self.got else []
        head = f"{self.where()}{self.what}"
        body = f"{head}: {', '.join(facts)}" if facts else head
        return " ".join(f"{body}; {self.do}".split()) if self.do else " ".join(body.split())


class OperatorError(EdgeLstmError):
    """Something an operator can put right; shown as one line, never as a traceback.

    Attributes:
        exit_code: What the command ends with.
    """

    exit_code = 1


class ConfigError(OperatorError):
    """A key of the configuration is wrong.

    Args:
        path: The configuration file, where there is one.
        line: Line in the file, counted from 1.
        key: Dotted path of the key.
    """

    def __init__(
        self,
        what: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        do: str | None = None,
    ) -> None:
        self.path, self.line, self.key = path, line, key
        super().__init__(what, expected=expected, got=got, do=do)

    def where(self) -> str:
        """``file:line: key:`` with what is known of it."""
        place = f"{self.path}" if self.path is not None else ""
        place += f":{self.line}" if self.line is not None else ""
        return "".join(f"{part}: " for part in (place, self.key) if part)


class HistoryError(OperatorError):
    """Sensor history that cannot be used as it is.

    Args:
        path: The file.
        row: Row of data, counted from 1 (the header does not count).
        column: Name of the column.
    """

    def __init__(
        self,
        what: str,
        *,
        path: Path | str | None = None,
        row: int | None = None,
        column: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        do: str | None = None,
    ) -> None:
        self.path, self.row, self.column = path, row, column
        super().__init__(what, expected=expected, got=got, do=do)

    def where(self) -> str:
        """``file: row 3, column 'flow':`` with what is known of it."""
        place = [f"row {self.row}"] if self.row is not None else []
        place += [f"column '{self.column}'"] if self.column is not None else []
        return "".join(f"{part}: " for part in (str(self.path or ""), ", ".join(place)) if part)


class BundleError(OperatorError):
    """A bundle that must not run.

    Args:
        path: The bundle.
    """

    def __init__(
        self,
        what: str,
        *,
        path: Path | str | None = None,
        expected: str | None = None,
        got: str | None = None,
        do: str | None = None,
    ) -> None:
        self.path = path
        super().__init__(what, expected=expected, got=got, do=do)

    def where(self) -> str:
        """The bundle's path, where it is known."""
        return f"{self.path}: " if self.path is not None else ""


class SelfTestError(BundleError):
    """The golden vectors do not come out on this board."""


class BackendError(OperatorError):
    """No interpreter on this board, or one that cannot run this model."""


class BrokerError(OperatorError):
    """The MQTT broker refused the connection or cannot be reached."""


class TakenOverError(BrokerError):
    """Another client uses our name at the broker: to come back would start a fight without end.

    Attributes:
        exit_code: 75 (EX_TEMPFAIL of sysexits.h), on which the service unit does not restart.
    """

    exit_code = 75


class SnapshotError(OperatorError):
    """Saved states that cannot be written or read."""


class DeployError(OperatorError):
    """A host that could not be brought to the wanted state."""


class CompileError(OperatorError):
    """The Edge TPU's compiler is absent, fails, or maps a part of the model only."""


class TortureError(OperatorError):
    """What ``edge-lstm torture`` needs is not there, or does not work."""


class MissingExtraError(OperatorError):
    """A command whose packages are not installed."""


class StateError(EdgeLstmError):
    """Stages called out of order: a bug of ours, shown with its traceback."""
