"""Which edge-lstm a device gets: a wheel file, or what pip finds for a requirement."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edge_lstm import __version__
from edge_lstm.errors import DeployError

__all__ = ["Runtime", "checkout", "choose_runtime", "from_requirement", "from_wheel"]

_WHEEL = re.compile(r"edge_lstm-([A-Za-z0-9.+!]+)-[A-Za-z0-9._-]+\.whl")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What is to be installed.

    Attributes:
        name: Name of its folder on the device, without the Python version: the same for the same content.
        requirement: For pip; for a wheel the file's name.
        wheel: The wheel file here, or ``None``.
        sha256: Digest of the wheel file, or the empty string.
    """

    name: str
    requirement: str
    wheel: Path | None = None
    sha256: str = ""


def from_wheel(path: Path) -> Runtime:
    """A wheel file of edge-lstm.

    Raises:
        DeployError: It is not one, or cannot be read.
    """
    match = _WHEEL.fullmatch(path.name)
    if match is None:
        name = "edge_lstm-VERSION-py3-none-any.whl"
        raise DeployError(f"{path} is not a wheel of edge-lstm", expected=name)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DeployError(f"cannot read {path}: {error.strerror}", do="check --wheel") from error
    return Runtime(f"{match[1]}-{digest[:12]}", path.name, path, digest)


def from_requirement(text: str) -> Runtime:
    """What pip finds for ``edge-lstm==X``, or for any other requirement.

    Raises:
        DeployError: It is not a requirement of edge-lstm.
    """
    wanted = text.strip()
    ours = re.match(r"edge[-_.]lstm\s*($|[\[=<>~!@;])", wanted, re.IGNORECASE)
    if ours is None or not wanted.isprintable():
        raise DeployError("not a requirement of edge-lstm", expected="edge-lstm==VERSION", got=repr(text))
    pinned = re.fullmatch(r"edge[-_.]lstm\s*==\s*([A-Za-z0-9.+!]+)", wanted, re.IGNORECASE)
    return Runtime(pinned[1] if pinned else f"req-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}", wanted)


def checkout() -> Path | None:
    """The source tree that this very installation runs from, when pip installed it as editable."""
    try:
        text = distribution("edge-lstm").read_text("direct_url.json")
    except PackageNotFoundError:  # pragma: no cover - the version above came from the same place
        return None
    origin = json.loads(text) if text else {}
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(origin["url"]).path))


def choose_runtime(wheel: Path | None, requirement: str | None, *, folder: Path) -> Runtime:
    """The runtime that the options ask for; with neither, the one that runs here.

    Args:
        wheel: A wheel file, or ``None``.
        requirement: A requirement, or ``None``.
        folder: Where a wheel may be built.

    Raises:
        DeployError: It cannot be had.
    """
    if wheel is not None:
        return from_wheel(wheel)
    if requirement is not None:
        return from_requirement(requirement)
    tree = checkout()
    if tree is not None:
        return from_wheel(_build(tree, folder))
    return from_requirement(f"edge-lstm=={__version__}")


def _build(tree: Path, folder: Path) -> Path:
    """A wheel of the source tree; the same tree gives the same bytes."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own paths
    found = sorted(folder.glob("edge_lstm-*.whl"))
    if done.returncode != 0 or not found:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise DeployError(
            f"cannot build a wheel of {tree}",
            got=said[-1] if said else None,
            do="give a wheel with --wheel FILE",
        )
    return found[0]
