"""Packing, opening and refusing bundles."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edge_lstm.bundle import MANIFEST, MODEL, open_bundle, write_bundle
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.errors import BundleError
from edge_lstm.testing import fake_manifest

MEMBERS = {MODEL: b"model", "card.md": b"# card"}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A bundle that opens."""
    path = tmp_path / "m.elb"
    write_bundle(path, fake_manifest(), MEMBERS)
    return path


def test_bundle_round_trip(packed: Path) -> None:
    """What was packed is what is read, with its digest."""
    bundle = open_bundle(packed)

    assert b"model" == bundle.read(MODEL)
    assert {"card.md", MODEL} == set(bundle.manifest.files)
    assert fake_manifest().channels == bundle.manifest.channels


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """No clock, no order of insertion, no platform is in the file."""
    first = write_bundle(tmp_path / "a.elb", fake_manifest(), MEMBERS)
    second = write_bundle(tmp_path / "b.elb", fake_manifest(), dict(reversed(MEMBERS.items())))

    assert first == second
    assert (tmp_path / "a.elb").read_bytes() == (tmp_path / "b.elb").read_bytes()


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """A bundle is there whole or not at all."""
    with pytest.raises(BundleError, match="cannot write"):
        write_bundle(tmp_path / "no" / "m.elb", fake_manifest(), MEMBERS)

    assert [] == list(tmp_path.iterdir())


def repack(
    path: Path, change: Callable[[dict[str, bytes]], None], *, compression: int = zipfile.ZIP_STORED
) -> None:
    """Write the zip again with its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)


def _manifest(**fields: object) -> Callable[[dict[str, bytes]], None]:
    """Set fields of the manifest."""

    def change(members: dict[str, bytes]) -> None:
        facts = msgspec.json.decode(members[MANIFEST])
        members[MANIFEST] = msgspec.json.encode(facts | fields)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update({MODEL: b"other"}), "not the one that was packed"),
        (lambda m: m.update({"extra.bin": b"x"}), "do not agree on: extra.bin"),
        (lambda m: m.pop("card.md"), "do not agree on: card.md"),
        (lambda m: m.pop(MANIFEST), "no manifest.json"),
        (lambda m: m.update({"../evil": b"x"}), "has no place in a bundle"),
        (lambda m: m.update({MANIFEST: b"{"}), "manifest is not valid"),
        (_manifest(format=0), "no such format: got 0"),
        (_manifest(format=-1), "no such format: got -1"),
        (_manifest(format=2), "newer than this edge-lstm"),
        (_manifest(min_runtime="99.0"), "pip install 'edge-lstm>=99.0'"),
        (_manifest(channels="none"), "manifest is not valid"),
    ],
)
def test_spoiled_bundle_is_refused_with_its_reason(
    packed: Path, change: Callable[[dict[str, bytes]], None], says: str
) -> None:
    """Each kind of damage has its own sentence."""
    repack(packed, change)

    with pytest.raises(BundleError, match=says) as caught:
        open_bundle(packed)
    assert str(packed) in str(caught.value)


def test_compressed_member_is_refused(packed: Path) -> None:
    """Members are stored: a small file cannot unfold into a large one."""
    repack(packed, lambda m: m.update({"card.md": b"0" * 10_000}), compression=zipfile.ZIP_DEFLATED)

    with pytest.raises(BundleError, match="has no place"):
        open_bundle(packed)


@pytest.mark.parametrize("length", [0, 1, 100, 400])
def test_truncated_bundle_is_refused(packed: Path, length: int) -> None:
    """A copy that was cut short is an error of one line."""
    packed.write_bytes(packed.read_bytes()[:length])

    with pytest.raises(BundleError, match="cut short"):
        open_bundle(packed)


def test_missing_bundle_is_one_line(tmp_path: Path) -> None:
    """No such file: said with the path."""
    with pytest.raises(BundleError, match="No such file"):
        open_bundle(tmp_path / "none.elb")


def test_every_flipped_byte_is_noticed(packed: Path) -> None:
    """No single byte of a bundle can change its meaning unnoticed."""
    raw = packed.read_bytes()
    whole = open_bundle(packed)
    for at in range(0, len(raw), 7):
        packed.write_bytes(raw[:at] + bytes([raw[at] ^ 0x41]) + raw[at + 1 :])
        try:
            same: Manifest | None = open_bundle(packed).manifest
        except BundleError:
            continue
        assert same is not None
        assert same.files == whole.manifest.files


def test_unknown_fields_of_the_manifest_are_accepted(packed: Path) -> None:
    """A newer minor version may say more; it is not refused for that."""
    repack(packed, _manifest(colour="green"))

    assert "fake" == open_bundle(packed).manifest.id


def test_bundle_is_a_plain_zip(packed: Path) -> None:
    """Anybody can look inside with common tools."""
    with zipfile.ZipFile(io.BytesIO(packed.read_bytes())) as archive:
        assert sorted([MANIFEST, *MEMBERS]) == sorted(archive.namelist())


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe", b"[" * 100_000, b'{"format": 1, "min_runtime": "' + b"9" * 5000 + b'"}']
)
def test_hostile_manifest_is_one_line(packed: Path, raw: bytes) -> None:
    """Not text, endlessly deep, endlessly long: refused like any other damage."""
    repack(packed, lambda m: m.update({MANIFEST: raw}))

    with pytest.raises(BundleError):
        open_bundle(packed)
