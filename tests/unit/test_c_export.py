"""The C export without a compiler: names, folders, refusals."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edge_lstm.backends.program import FullyConnected, Program
from edge_lstm.contracts.manifest import Channel, Kind
from edge_lstm.errors import BundleError, ConfigError, OperatorError
from firmware_tools.c_arena import Arena, place
from firmware_tools.c_export import export
from firmware_tools.c_folder import MARK, write_folder
from firmware_tools.c_network import _Tables
from firmware_tools.c_scoring import rule_text
from firmware_tools.c_text import check_prefix, comment, fill, integers, string
from tests.integration.c_models import make_bundle

LINEAR: tuple[Kind, ...] = ("level", "var")


@pytest.mark.parametrize("text", ["edge_lstm", "a", "press3", "a_1"])
def test_prefix_is_taken(text: str) -> None:
    """What can begin a C name in both cases."""
    assert text == check_prefix(text)


@pytest.mark.parametrize("text", ["", "_a", "3a", "A", "a-b", "a b", "ä", "a_", "a" * 41, 'a"', "a\n"])
def test_prefix_is_refused(text: str) -> None:
    """Everything else."""
    with pytest.raises(ValueError, match="lower-case letter"):
        check_prefix(text)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("flow rate [l/min]", "flow rate [l{U+002F}min]"),
        ("*/", "{U+002A}{U+002F}"),
        ("??/\n", "{U+003F}{U+003F}{U+002F}{U+000A}"),
        ("\\@°", "{U+005C}{U+0040}{U+00B0}"),
    ],
)
def test_comment_keeps_harmless_characters_only(text: str, safe: str) -> None:
    """The others are named."""
    assert safe == comment(text)


def test_string_escapes_bytes() -> None:
    """Each with three digits, so that a digit behind it stays one."""
    assert r'"a\0421\012\077\303\244"' == string('a"1\n?ä')
    with pytest.raises(ValueError, match="too long"):
        string("x" * 1001)


def test_fill_looks_at_nothing_twice() -> None:
    """A name like a place stays a name; a place without a value is an error."""
    assert "@B@ 2" == fill("@A@ @B@", {"A": "@B@", "B": 2})
    with pytest.raises(KeyError):
        fill("@A@", {})


def test_least_integer_is_a_macro() -> None:
    """2147483648 does not fit an int."""
    assert "INT32_MIN, -1" == integers([-(2**31), -1])


def test_export_is_the_same_twice(tmp_path: Path) -> None:
    """The same bundle, the same bytes."""
    bundle = make_bundle(tmp_path / "b.elb", LINEAR)

    assert export(bundle) == export(bundle)


def test_prefix_is_everywhere_and_only_there(tmp_path: Path) -> None:
    """Two exports can live in one firmware; a channel's name is not renamed."""
    bundle = make_bundle(tmp_path / "b.elb", LINEAR, channels=(Channel("edge_lstm_step"), Channel("b")))
    files = export(bundle, prefix="press3").files
    source = files["press3_model.c"]

    assert "edge_lstm_model.c" not in files
    assert '"edge_lstm_step"' in source
    assert 1 == source.count("edge_lstm_") + source.count("EDGE_LSTM_")


def test_library_has_every_required_field(tmp_path: Path) -> None:
    """Arduino's library specification, rev. 2.2: all of these, and none of them empty."""
    bundle = make_bundle(tmp_path / "b.elb", LINEAR)
    text = export(bundle).files["arduino/edge_lstm_model/library.properties"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url"}

    assert required <= {name for name, value in found.items() if value}
    assert found["url"].startswith("https://")


def test_unknown_asset_is_refused(tmp_path: Path) -> None:
    """With the names that there are."""
    bundle = make_bundle(tmp_path / "b.elb", LINEAR)
    with pytest.raises(ConfigError, match=r"no asset 'x'.*expected none"):
        export(bundle, asset="x")


def test_endless_name_is_refused(tmp_path: Path) -> None:
    """C need not take strings beyond some length."""
    bundle = make_bundle(tmp_path / "b.elb", LINEAR, channels=(Channel("x" * 5000), Channel("b")))
    with pytest.raises(BundleError, match="too long for C"):
        export(bundle)


def _dense(rows: int, columns: int, bias: int = 0) -> FullyConnected:
    ones = np.ones(1, np.int64)
    weights = np.full((rows, columns), 127, np.int8)
    return FullyConnected(0, 1, weights, np.full(rows, bias, np.int32), -128, 0, 2**30 * ones, 0 * ones)


@pytest.mark.parametrize("layer", [_dense(1, 20_000, 2**31 - 1), _dense(1, 33_000), _dense(33_000, 1)])
def test_sums_that_could_overflow_are_refused(layer: FullyConnected) -> None:
    """At export, not as undefined behaviour on the board."""
    program = cast("Program", SimpleNamespace(constants={}))
    tables = _Tables(program, Arena(0, {0: 0, 1: 0}, {}, {}))
    with pytest.raises(BundleError, match="too large for C"):
        tables._dense(0, layer)


def test_network_whose_output_is_its_input_is_refused() -> None:
    """A step would overwrite what it reads."""
    program: Any = SimpleNamespace(graph=SimpleNamespace(inputs=(0,), outputs=(0,)))
    with pytest.raises(BundleError, match="one of its inputs"):
        place(program, {0: "frame"})


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("a > 5", "(values[0] > 5.0)"),
        ("5 <= a < 6 and not b == -1", "((values[0] >= 5.0) && (values[0] < 6.0) && (!(values[1] == -1.0)))"),
        ("a != 1 or 1 < 2 or b >= 0", "((values[0] != 1.0) || 1 || (values[1] >= 0.0))"),
    ],
)
def test_rule_becomes_an_expression(rule: str, text: str) -> None:
    """Read by the one reader of rules."""
    manifest: Any = SimpleNamespace(score_when=rule, channels=(Channel("a"), Channel("b")))

    assert text in rule_text(manifest)


def test_folder_of_an_export_is_replaced(tmp_path: Path) -> None:
    """Its own files, those that are gone included; what else lies there stays."""
    out = tmp_path / "out"
    write_folder(out, {"a.c": "1", "lib/b.c": "2"}, bundle="x")
    (out / "mine.txt").write_text("mine", "utf-8")
    write_folder(out, {"a.c": "3"}, bundle="y")

    assert {"a.c", MARK, "mine.txt"} == {path.name for path in out.iterdir() if path.is_file()}
    assert "3" == (out / "a.c").read_text("utf-8")
    assert not (out / "lib" / "b.c").exists()


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    """A folder with something else, a file, a file in the way, a mark that lies."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.c").write_text("mine", "utf-8")
    with pytest.raises(OperatorError, match="not an export"):
        write_folder(out, {"a.c": "1"}, bundle="x")
    with pytest.raises(OperatorError, match="not a folder"):
        write_folder(out / "a.c", {"a.c": "1"}, bundle="x")
    (out / MARK).write_text('{"tool": "", "bundle": "", "files": ["../victim", "/etc/none"]}', "utf-8")
    (tmp_path / "victim").write_text("mine", "utf-8")
    with pytest.raises(OperatorError, match="not of an earlier export"):
        write_folder(out, {"a.c": "1"}, bundle="x")

    assert "mine" == (out / "a.c").read_text("utf-8")
    write_folder(out, {"b.c": "1"}, bundle="x")
    assert "mine" == (tmp_path / "victim").read_text("utf-8")


@pytest.mark.parametrize(
    "mark",
    [
        b'{"tool": "", "bundle": "", "files": ["a\\u0000b"]}',
        b'{"tool": "", "bundle": "", "files": ["\xff"]}',
        b'{"tool": "", "bundle": "", "files": ["\\ud800\\ud800"]}',
        b'{"tool": "", "bundle": "", "files": [], "x": ' + b"[" * 100_000,
    ],
    ids=["NUL", "not UTF-8", "surrogates", "deep"],
)
def test_a_forged_mark_is_not_an_export(tmp_path: Path, mark: bytes) -> None:
    """Names that no file can have; nothing is written."""
    (tmp_path / MARK).write_bytes(mark)
    with pytest.raises(OperatorError, match="not an export"):
        write_folder(tmp_path, {"a.c": "1"}, bundle="x")
    assert [MARK] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("link", ["a.c", "lib", MARK])
def test_nothing_is_written_or_removed_through_a_link(tmp_path: Path, link: str) -> None:
    """A file, a folder or the mark of an earlier export that now leads elsewhere."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    write_folder(out, {"a.c": "1", "lib/b.c": "2"}, bundle="x")
    (out / link).rename(elsewhere)
    (out / link).symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in (elsewhere, *elsewhere.glob("*")) if path.is_file()}

    with pytest.raises(OperatorError, match="is a symbolic link"):
        write_folder(out, {"a.c": "3"}, bundle="y")

    assert before
    assert before == {path: path.read_bytes() for path in before if path.exists()}
    assert "1" == (out / "a.c").read_text("utf-8")


def test_folder_that_cannot_be_made_is_an_operators_error(tmp_path: Path) -> None:
    """One line, no traceback."""
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(OperatorError, match="cannot write"):
        write_folder(tmp_path / "file" / "out", {"a.c": "1"}, bundle="x")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OperatorError):
        write_folder(tmp_path / "link", {"a.c": "1"}, bundle="x")
