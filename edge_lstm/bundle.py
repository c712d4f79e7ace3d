"""The bundle (``.elb``): one zip file, stored, flat, byte for byte reproducible.

The rulebook of opening one (docs/format-bundle.md), in this order:

- size limits, before anything is read into memory;
- member names: known form, no folders, no duplicates, none compressed;
- the manifest parses, and this runtime is new enough for its format;
- the manifest's names, lengths and numbers fit together (`edge_lstm.manifest_rules`);
- every member has the length and SHA-256 that the manifest says, and none is unlisted.

A model file is never parsed before that. Tensors and golden vectors are checked with the
real interpreter, by `edge_lstm.backends` and `edge_lstm.selftest`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_lstm import __version__
from edge_lstm.arrays import read_arrays
from edge_lstm.contracts.manifest import FORMAT, FileEntry, Manifest
from edge_lstm.errors import BundleError
from edge_lstm.files import read_at_most
from edge_lstm.manifest_rules import problems

__all__ = [
    "CARD",
    "EDGETPU_MODEL",
    "FLOAT",
    "GOLDEN",
    "MANIFEST",
    "MODEL",
    "REPORT",
    "SIGNATURE",
    "WEIGHTS",
    "Bundle",
    "open_bundle",
    "write_bundle",
]

MANIFEST = "manifest.json"
MODEL = "model.int8.tflite"
FLOAT = "model.float.tflite"
EDGETPU_MODEL = "model.edgetpu.tflite"
GOLDEN = "golden.npz"
WEIGHTS = "members.npz"
CARD = "card.md"
REPORT = "report.html"
SIGNATURE = "signature"

MAX_BUNDLE_BYTES = 64 * 2**20
MAX_MANIFEST_BYTES = 2 * 2**20
MAX_MEMBERS = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# What decoding a manifest can end in: a deep one in RecursionError.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# The zip format's earliest date: member times say nothing and would break reproducibility.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, wholly in memory: what was checked is what is run.

    Attributes:
        path: Where it was read from.
        sha256: Digest of the file, hexadecimal.
        manifest: Its facts.
        members: Member name to content, the manifest and signature included.
    """

    path: Path
    sha256: str
    manifest: Manifest
    members: Mapping[str, bytes]

    def read(self, name: str) -> bytes:
        """A member's content.

        Raises:
            BundleError: There is no such member.
        """
        try:
            return self.members[name]
        except KeyError:
            have = ", ".join(sorted(self.members))
            raise BundleError(f"no member '{name}' in the bundle", path=self.path, got=have) from None

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """Arrays of the linear members by name; none in a bundle without such.

        Raises:
            BundleError: They cannot be read.
        """
        if WEIGHTS not in self.members:
            return {}
        try:
            arrays = read_arrays(self.members[WEIGHTS])
        except ValueError as error:
            raise BundleError(
                f"{WEIGHTS} cannot be read: {error}", path=self.path, do="build the bundle again"
            ) from error
        return {name: np.asarray(array, np.float64) for name, array in arrays.items()}


def open_bundle(path: Path | str) -> Bundle:
    """Read and verify a bundle.

    Raises:
        BundleError: It is missing, damaged, too new, or not a bundle.
    """
    path = Path(path)
    raw = _read(path)
    members = _members(path, raw)
    manifest = _manifest(path, members)
    _verify(path, manifest, members)
    return Bundle(path, hashlib.sha256(raw).hexdigest(), manifest, members)


def _read(path: Path) -> bytes:
    try:
        raw = read_at_most(path, MAX_BUNDLE_BYTES)
    except OSError as error:
        raise BundleError(
            f"cannot read the bundle: {error.strerror}", path=path, do="check the path and its permissions"
        ) from error
    if len(raw) > MAX_BUNDLE_BYTES:
        raise BundleError(
            "file is too large to be a bundle", path=path, expected=f"at most {MAX_BUNDLE_BYTES} bytes"
        )
    return raw


def _members(path: Path, raw: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            _check_names(path, infos, names)
            return {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BundleError(
            f"not a bundle, or cut short ({error})",
            path=path,
            expected="a file written by 'edge-lstm train'",
            do="copy it again",
        ) from error


def _check_names(path: Path, infos: list[zipfile.ZipInfo], names: list[str]) -> None:
    if len(names) > MAX_MEMBERS or len(set(names)) != len(names):
        raise BundleError("bundle has duplicate or too many members", path=path, got=f"{len(names)} members")
    for info in infos:
        if not _NAME.fullmatch(info.filename) or info.compress_type != zipfile.ZIP_STORED:
            raise BundleError(
                f"member {info.filename!r} has no place in a bundle", path=path, expected="stored, flat names"
            )
    if MANIFEST not in names:
        raise BundleError(f"no {MANIFEST} in the file", path=path, expected="a bundle of 'edge-lstm train'")


def _manifest(path: Path, members: Mapping[str, bytes]) -> Manifest:
    raw = members[MANIFEST]
    if len(raw) > MAX_MANIFEST_BYTES:
        raise BundleError("manifest is too large", path=path, expected=f"at most {MAX_MANIFEST_BYTES} bytes")
    _check_version(path, raw)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except _UNREADABLE as error:
        raise BundleError(
            f"manifest is not valid: {error}", path=path, do="build the bundle again"
        ) from error
    for problem in problems(manifest):
        raise BundleError(f"manifest is not valid: {problem}", path=path, do="build the bundle again")
    return manifest


class _Version(msgspec.Struct):
    format: int
    min_runtime: str


def _check_version(path: Path, raw: bytes) -> None:
    try:
        version = msgspec.json.decode(raw, type=_Version)
    except _UNREADABLE as error:
        raise BundleError(
            f"manifest is not valid: {error}", path=path, do="build the bundle again"
        ) from error
    if version.format < 1:
        raise BundleError(
            "manifest is not valid: there is no such format", path=path, got=f"{version.format}"
        )
    if version.format > FORMAT or _numbers(version.min_runtime) > _numbers(__version__):
        raise BundleError(
            "bundle is newer than this edge-lstm",
            path=path,
            expected=f"format up to {FORMAT}, runtime {__version__}",
            got=f"format {version.format}, needs edge-lstm {version.min_runtime}",
            do=f"pip install 'edge-lstm>={version.min_runtime}'",
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The release numbers of a version: what stands before any suffix."""
    match = re.match(r"\d{1,9}(?:\.\d{1,9})*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else (0,)


def _verify(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    present = set(members) - {MANIFEST, SIGNATURE}
    if present != set(manifest.files):
        odd = ", ".join(sorted(present ^ set(manifest.files)))
        raise BundleError(
            f"members and manifest do not agree on: {odd}", path=path, do="build the bundle again"
        )
    for name, entry in manifest.files.items():
        if _entry(members[name]) != entry:
            raise BundleError(
                f"member {name} is not the one that was packed",
                path=path,
                expected=f"sha256 {entry.sha256[:16]} and {entry.length} bytes",
                got=f"{_entry(members[name]).sha256[:16]} and {len(members[name])}",
                do="copy or build the bundle again",
            )
    _check_compiled(path, manifest)


def _check_compiled(path: Path, manifest: Manifest) -> None:
    """The model for the Edge TPU must say of what it is, and that must be this bundle's network."""
    said, there = manifest.edgetpu, EDGETPU_MODEL in manifest.files
    network = manifest.files.get(MODEL)
    if (said is not None) != there or (
        said is not None and (network is None or said.source != network.sha256)
    ):
        raise BundleError(
            f"{EDGETPU_MODEL} is not this bundle's network",
            path=path,
            do="compile it again: edge-lstm compile",
        )


def _entry(raw: bytes) -> FileEntry:
    return FileEntry(hashlib.sha256(raw).hexdigest(), len(raw))


def write_bundle(path: Path | str, manifest: Manifest, members: Mapping[str, bytes]) -> str:
    """Pack a bundle: whole or not at all, and the same bytes for the same content.

    Args:
        path: Where to; an existing file is replaced in one step.
        manifest: Its facts; ``files`` is filled in here.
        members: Member name to content, without the manifest.

    Returns:
        SHA-256 of the file, hexadecimal.

    Raises:
        BundleError: The place cannot be written to.
    """
    path = Path(path)
    files = {name: _entry(raw) for name, raw in sorted(members.items()) if name != SIGNATURE}
    text = msgspec.json.encode(msgspec.structs.replace(manifest, files=files))
    whole = {MANIFEST: msgspec.json.format(text, indent=1), **dict(sorted(members.items()))}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, raw in whole.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, 0o644 << 16  # else it would tell the build's platform
            archive.writestr(info, raw)
    raw = buffer.getvalue()
    _write(path, raw)
    return hashlib.sha256(raw).hexdigest()


def _write(path: Path, raw: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the place that cannot be written to may not be readable either
            beside.unlink(missing_ok=True)
        raise BundleError(
            f"cannot write the bundle: {error.strerror}", path=path, do="check the folder and free space"
        ) from error
