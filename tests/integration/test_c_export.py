"""The C export on the host: bit for bit the reference kernel, verdict for verdict the detector."""

from __future__ import annotations

import math
import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.bundle import Bundle, open_bundle
from edge_lstm.contracts.manifest import Channel, Kind
from edge_lstm.contracts.score import Score
from edge_lstm.core.backend import Backend, TensorArray
from firmware_tools.c_golden import STATUS, scores
from tests.integration.c_models import backend_of, make_bundle, readings
from tests.integration.c_tools import SOURCES, Target, compiled, drive, exported, need_programs, run

pytestmark = [pytest.mark.compilers, pytest.mark.timeout(280)]

STEPS = 100_000
SANITIZERS = {
    "gcc": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "clang": ("-O1", "-fsanitize=undefined", "-fsanitize-trap=all"),  # needs no library of the sanitizer
}
HARNESS = SOURCES / "harness.c"


class Recorder:
    """The reference kernel, with all it says written down."""

    def __init__(self, inner: Backend, heads: Sequence[str]) -> None:
        self.name, self._inner, self._heads = inner.name, inner, heads
        self.said: list[bytes] = []
        self.states: list[bytes] = []

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """As the kernel's."""
        said = self._inner.step(frame, state)
        self.said.append(b"".join(said[name].tobytes() for name in self._heads if name in said))
        self.states.append(b"".join(array.tobytes() for array in state))
        return said


@dataclass(frozen=True)
class Reference:
    """What the Python package says to readings.

    Attributes:
        values: The readings, (steps, channels).
        found: A score a reading.
        said: What the heads of the network say, (steps, heads * channels).
        states: The network's state after each, (steps, width).
    """

    values: NDArray[np.float64]
    found: list[Score]
    said: NDArray[np.int8]
    states: NDArray[np.int8]

    @property
    def statuses(self) -> NDArray[np.uint8]:
        """As the C enumeration has them."""
        return np.array([STATUS.index(score.status) for score in self.found], np.uint8)


def reference(bundle: Bundle, steps: int, *, asset: str = "asset") -> Reference:
    """Run the detector on the reference kernel."""
    values = readings(bundle.manifest, steps)
    recorder = Recorder(backend_of(bundle), [head.output for head in bundle.manifest.scoring.heads])
    found = scores(bundle, asset, recorder, values)
    said, states = (np.frombuffer(b"".join(rows), np.int8) for rows in (recorder.said, recorder.states))
    return Reference(values, found, said.reshape(steps, -1), states.reshape(steps, -1))


def check(got: Target, wanted: Reference, *, tolerance: float = 1e-9) -> None:
    """Integers and verdicts are the same, real numbers within a rounding error."""
    assert np.array_equal(got.state, wanted.states)
    assert np.array_equal(got.network, wanted.states)
    assert np.array_equal(got.said, wanted.said)
    assert np.array_equal(got.status, wanted.statuses)
    for name in ("score", "shares", "expected"):
        real = np.array([getattr(score, name) for score in wanted.found])
        np.testing.assert_allclose(getattr(got, name), real, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------ the trained model, 100,000 steps


@pytest.fixture(scope="module")
def trained(tiny_bundle: Path) -> Bundle:
    """A bundle of the trainer with its default members."""
    return open_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def long(trained: Bundle) -> Reference:
    """100,000 readings and what the Python package says to them."""
    return reference(trained, STEPS)


@pytest.fixture(scope="module")
def folder(trained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export."""
    return exported(trained, tmp_path_factory.mktemp("c") / "out")


@pytest.mark.train
def test_readings_open_and_close_episodes(long: Reference) -> None:
    """What follows is held against something: every status but paused, and hundreds of changes."""
    changes = np.count_nonzero(np.diff(long.statuses.astype(int)))

    assert {0, 1, 2} == {*long.statuses.tolist()}
    assert changes > 100


@pytest.mark.train
@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_hundred_thousand_steps(
    compiler: str, level: str, trained: Bundle, folder: Path, long: Reference, tmp_path: Path
) -> None:
    """Outputs and states of the network bit for bit, and every verdict, with no warning."""
    program = compiled(compiler, folder, tmp_path / "harness", level, main=HARNESS)

    check(drive(trained, [program], long.values), long)


@pytest.mark.train
@pytest.mark.parametrize("compiler", SANITIZERS)
def test_hundred_thousand_steps_under_sanitizers(
    compiler: str, trained: Bundle, folder: Path, long: Reference, tmp_path: Path
) -> None:
    """No undefined behaviour and no access out of bounds on the way."""
    program = compiled(compiler, folder, tmp_path / "harness", *SANITIZERS[compiler], main=HARNESS)

    check(drive(trained, [program], long.values), long)


@pytest.mark.train
def test_single_precision_moves_scores_and_no_integer(
    trained: Bundle, folder: Path, long: Reference, tmp_path: Path
) -> None:
    """With float scores the network is the same; verdicts differ where a score touches the level."""
    program = compiled("gcc", folder, tmp_path / "harness", "-O2", "-DEDGE_LSTM_REAL_FLOAT", main=HARNESS)
    got = drive(trained, [program], long.values)
    real = np.array([score.score for score in long.found])

    assert np.array_equal(got.state, long.states)
    assert np.array_equal(got.said, long.said)
    np.testing.assert_allclose(got.score, real, rtol=1e-4, atol=1e-5)
    assert np.count_nonzero(got.status != long.statuses) <= STEPS // 10_000


@pytest.mark.train
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_golden_vectors_and_cmake(compiler: str, folder: Path, tmp_path: Path) -> None:
    """The CMake example builds as it stands, and its test replays the golden vectors."""
    need_programs("cmake", compiler)
    run("cmake", "-S", folder, "-B", tmp_path, f"-DCMAKE_C_COMPILER={compiler}", "-DCMAKE_C_FLAGS=-Werror")
    run("cmake", "--build", tmp_path)

    assert b"pass: 256 steps, 0 differences" in run(tmp_path / "selftest")


@pytest.mark.train
def test_header_is_also_cpp(folder: Path, tmp_path: Path) -> None:
    """A C++ program links to it."""
    need_programs("g++", "gcc")
    (tmp_path / "main.cpp").write_text(
        '#include "edge_lstm_model.h"\nstatic edge_lstm_state s;\n'
        "int main() { edge_lstm_init(&s); return s.open; }\n",
        encoding="utf-8",
    )
    run("gcc", "-std=c99", "-c", folder / "edge_lstm_model.c", "-o", tmp_path / "model.o")
    run(
        "g++",
        "-Wall",
        "-Werror",
        f"-I{folder}",
        tmp_path / "main.cpp",
        tmp_path / "model.o",
        "-o",
        tmp_path / "m",
    )
    run(tmp_path / "m")


@pytest.mark.train
def test_sketch_compiles(folder: Path, tmp_path: Path) -> None:
    """The Arduino example and the program of PlatformIO are C++ as those boards' compilers take it."""
    need_programs("g++")
    (tmp_path / "Arduino.h").write_text(
        "#pragma once\nenum { A0 = 14 };\nunsigned long millis();\nint analogRead(int pin);\n"
        "struct Port { void begin(long); void print(const char *);\n"
        "void print(double, int); void println(); };\n"
        "extern Port Serial;\n",
        encoding="utf-8",
    )
    for path in ("platformio/src/main.cpp", "arduino/edge_lstm_model/examples/score/score.ino"):
        strict = ("-std=gnu++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only")
        run("g++", *strict, f"-I{tmp_path}", f"-I{folder}", "-x", "c++", folder / path)


@pytest.mark.train
def test_selftest_fails_on_another_model(folder: Path, tmp_path: Path) -> None:
    """A changed bias of an output is found."""
    source = (folder / "edge_lstm_model.c").read_text("utf-8")
    start = source.index("{\n    ", source.rindex("int32_t bias_")) + 6
    first = source[start:].split(",", 1)[0]
    changed = tmp_path / "other_model.c"
    changed.write_text(source[:start] + str(int(first) + 5000) + source[start + len(first) :], "utf-8")
    run("gcc", f"-I{folder}", changed, folder / "selftest.c", "-o", tmp_path / "selftest")

    assert b"FAIL" in run(tmp_path / "selftest", code=1)


# ------------------------------------------------------------------------------------- every form of bundle

CHANNELS = tuple(Channel(f"c{i}", "V") for i in range(5))
RANGED = (
    Channel("a", "V", -3.0, 3.0),
    Channel("b", "V", None, 2.5),
    Channel("load", "%", role="context"),
    Channel("state 1", "", 0.0),
)
FORMS: dict[str, tuple[tuple[Kind, ...], dict[str, Any]]] = {
    "gru, attention, two layers": (
        ("reconstruction", "forecast"),
        {"shape": {"cell": "gru", "attention": 3, "layers": 2}},
    ),
    "peephole, forecast, linear": (
        ("forecast", "var"),
        {"shape": {"cell": "peephole", "mode": "forecast", "linear": True}},
    ),
    "cifg, reconstruction, attention": (
        ("reconstruction",),
        {"shape": {"cell": "cifg", "mode": "reconstruction", "attention": 2}},
    ),
    "lstm, linear, all members": (
        ("reconstruction", "forecast", "level", "pca_q", "pca_t2", "var"),
        {"shape": {"linear": True, "layers": 2, "units": 6, "code": 2}},
    ),
    "ranges, context, rule": (
        ("reconstruction", "forecast", "var"),
        {"channels": RANGED, "score_when": "load > -1 and not (`state 1` >= 4 or 1 <= a < 1.01)"},
    ),
    "no network": (("level", "pca_q", "pca_t2", "var"), {}),
    "lags alone": (("var",), {"memory": ()}),
    "averages alone": (("var",), {"lags": ()}),
    "level alone": (("level",), {}),
    "pca alone": (("pca_q", "pca_t2"), {}),
}


@pytest.mark.train
@pytest.mark.parametrize("form", FORMS)
def test_every_form(form: str, tmp_path: Path) -> None:
    """Every cell, mode, head, role, range and rule: the same integers and verdicts as in Python."""
    kinds, changes = FORMS[form]
    bundle = make_bundle(tmp_path / "b.elb", kinds, **{"channels": CHANNELS, **changes})
    wanted = reference(bundle, 3000)
    out = exported(bundle, tmp_path / "out")
    program = compiled("gcc", out, tmp_path / "harness", *SANITIZERS["gcc"], main=HARNESS)
    golden = compiled("clang", out, tmp_path / "selftest", "-O2", main=out / "selftest.c")

    assert len({*wanted.statuses.tolist()}) > 2
    check(drive(bundle, [program], wanted.values), wanted)
    assert b"pass" in run(golden)


def test_restart_is_a_gap(tmp_path: Path) -> None:
    """After edge_lstm_restart the state is new, and an open episode and the values last seen are kept."""
    bundle = make_bundle(tmp_path / "b.elb", ("level", "var"), channels=CHANNELS)
    need_programs("gcc")
    values = readings(bundle.manifest, 1200)
    at = 530  # in the midst of a fault
    values[at, 0] = np.nan
    silence = np.full((1, len(CHANNELS)), 1e300)
    out = exported(bundle, tmp_path / "out")
    program = compiled("gcc", out, tmp_path / "harness", main=HARNESS)
    got = drive(bundle, [program], np.concatenate([values[:at], silence, values[at:]]))
    from edge_lstm.contracts.reading import Reading
    from edge_lstm.core.detector import Detector
    from edge_lstm.times import NS

    detector = Detector(bundle.manifest, backend_of(bundle), sha256="", node="", weights=bundle.weights())
    wanted: list[Score] = []
    for tick, row in enumerate(values.tolist()):
        time_ns = (tick + (100 if tick >= at else 0)) * NS
        named = {f"c{i}": value if math.isfinite(value) else None for i, value in enumerate(row)}
        wanted += [e for e in detector.push(Reading("asset", time_ns, named)) if isinstance(e, Score)]

    assert 2 == got.status[at - 1] == got.status[at]
    assert [STATUS.index(score.status) for score in wanted] == got.status.tolist()
    np.testing.assert_allclose(got.score, [score.score for score in wanted], rtol=1e-9)


def test_asset_has_its_own_scaling(tmp_path: Path) -> None:
    """With --asset the export scores that machine as the daemon does."""
    from edge_lstm.contracts.manifest import AssetScaling

    own = AssetScaling(tuple(range(5)), (2.0,) * 5)
    bundle = make_bundle(tmp_path / "b.elb", ("level", "var"), channels=CHANNELS, assets={"press 3": own})
    wanted = reference(bundle, 1500, asset="press 3")
    out = exported(bundle, tmp_path / "out", asset="press 3", prefix="press3")
    (out / "edge_lstm_model.h").write_text(_aliases(out / "press3_model.h"), "utf-8")
    program = compiled("gcc", out, tmp_path / "harness", main=HARNESS)

    check(drive(bundle, [program], wanted.values), wanted)
    assert wanted.found != reference(bundle, 1500).found


def _aliases(header: Path) -> str:
    """The harness's names for those of another prefix."""
    import re

    names = sorted({*re.findall(r"\b(?:press3|PRESS3)_\w+", header.read_text("utf-8"))})
    lines = [
        f"#define {name.replace('press3', 'edge_lstm').replace('PRESS3', 'EDGE_LSTM')} {name}"
        for name in names
    ]
    return "\n".join(['#include "press3_model.h"', *lines, ""])


# ------------------------------------------------------------------------------------------- odd names

HOSTILE = (
    'x"; int main(void){return 0;} //',
    "*/ #error stop /*",
    "line\nbreak\\",
    "??/\n??' trigraph",
    "Тепло °C \U0001f525",
    "\\file @mainpage %n %s",
    "a\0b",
    "@CENTRE@ edge_lstm_step",
)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_hostile_names_stay_names(compiler: str, tmp_path: Path) -> None:
    """Names, units, versions and machines of strangers end no comment and no string."""
    from edge_lstm.contracts.manifest import AssetScaling

    channels = tuple(Channel(name, unit) for name, unit in zip(HOSTILE, reversed(HOSTILE), strict=True))
    assets = {'*/ "p"\n': AssetScaling((0.0,) * 8, (1.0,) * 8)}
    bundle = make_bundle(
        tmp_path / "b.elb",
        ("level", "var"),
        channels=channels,
        version="1 */ ??/\n\\",
        assets=assets,
        score_when=f"`{HOSTILE[1]}` > -100",
    )
    out = exported(bundle, tmp_path / "out", asset='*/ "p"\n')
    printer = tmp_path / "names.c"
    printer.write_text(
        '#include <stdio.h>\n#include "edge_lstm_model.h"\n'
        "int main(void) { int i; for (i = 0; i < EDGE_LSTM_CHANNELS; i++) "
        "{ (void)fputs(edge_lstm_channel_names[i], stdout); (void)putchar(1); } return 0; }\n",
        "utf-8",
    )
    shown = run(compiled(compiler, out, tmp_path / "names", main=printer)).decode().split("\1")[:-1]
    golden = compiled(compiler, out, tmp_path / "selftest", "-trigraphs", main=out / "selftest.c")
    compiled(compiler, out, tmp_path / "csv", "-trigraphs", main=out / "example_csv.c")

    assert [name.split("\0")[0] for name in HOSTILE] == shown
    assert b"pass" in run(golden)


# ------------------------------------------------------------------------------------------ the CSV example


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CSV example of a small model, under sanitizers."""
    folder = tmp_path_factory.mktemp("csv")
    bundle = make_bundle(
        folder / "b.elb", ("level", "var"), channels=(Channel("flow"), Channel('p "1"')), level=1.5
    )
    out = exported(bundle, folder / "out")
    return compiled("gcc", out, folder / "example", *SANITIZERS["gcc"], main=out / "example_csv.c")


def test_csv_with_a_header_finds_its_columns(csv: Path, tmp_path: Path) -> None:
    """Columns may stand in any order, among others, quoted; without a header they are the channels."""
    named = b'\xef\xbb\xbftime;"p ""1""";note;flow\r\n2026-01-01;2.5;"a;b";1.5\r\n;-1;x;0.5\r\n'
    plain = b"1.5,2.5\n0.5,-1\n"
    (tmp_path / "plain.csv").write_bytes(plain)
    got = run(csv, stdin=named)

    assert got == run(csv, stdin=plain) == run(csv, tmp_path / "plain.csv")
    assert b"score,status,transition,channel" == got.splitlines()[0]
    assert 3 == len(got.splitlines())
    assert b"warming" in got.splitlines()[1]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (b"flow\n1\n\n\n2\n", 2),  # a channel that is never there
        (b"1,2\nnan,\n,3\nNA,x,\n1,2,3,4\n" + b"9" * 70_000 + b"\n1,2", 4),
        (b"1,2\n1e999,-1e999\ninf,nan\n0x10,1\n", 2),
        (b"1\t2\n3\t4\n", 2),
        (b'1,2\n\xff\xfe\x00,2\n"1,2\n', 1),
    ],
)
def test_csv_takes_bad_lines(csv: Path, text: bytes, rows: int) -> None:
    """Lines without any number are left out, missing fields are missing values, nothing breaks."""
    assert rows + 1 == len(run(csv, stdin=text).splitlines())


@pytest.mark.parametrize("text", [b"", b"\n\n", b"time,temperature\n1,2\n"])
def test_csv_without_channels_is_refused(csv: Path, text: bytes) -> None:
    """An empty file, or a header of another machine, is an error."""
    run(csv, stdin=text, code=2)


def _told(csv: Path, text: bytes) -> list[str]:
    done = subprocess.run([csv], input=text, capture_output=True, check=True, timeout=60)
    return done.stderr.decode().splitlines()


def test_csv_tells_what_a_header_lacks(csv: Path) -> None:
    """Once: channels that never have a value, columns that nobody reads; nothing when all fits."""
    lacking, strange = _told(csv, b"time,flow,flow\n1,2,3\n4,5,6\n")

    assert lacking.startswith("warning: ")
    assert lacking.endswith(': "p ""1"""')
    assert strange.startswith("note: ")
    assert strange.endswith(': "time", "flow"')
    assert [] == _told(csv, b'"p ""1""",flow\n1,2\n')
    assert [] == _told(csv, b"1,2\n3,4\n")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_csv_says_how_it_is_used(csv: Path, option: str) -> None:
    """With the channels of this model."""
    said = run(csv, option)

    assert said.startswith(b"usage: ")
    assert said.endswith(b'"flow", "p ""1"""\n')


def test_csv_does_not_wait_for_a_person_to_type(csv: Path) -> None:
    """Without a file and with a terminal on standard input: how it is used, and the end."""
    terminal, ours = pty.openpty()
    try:
        done = subprocess.run([csv], stdin=ours, capture_output=True, check=False, timeout=60)
    finally:
        os.close(terminal)
        os.close(ours)

    assert (2, b"") == (done.returncode, done.stdout)
    assert done.stderr.startswith(b"usage: ")


def test_csv_that_is_not_there_is_refused(csv: Path, tmp_path: Path) -> None:
    """As is a missing file."""
    run(csv, tmp_path / "none.csv", code=2)


# ------------------------------------------------------------------------------------------------ log1p


def test_own_logarithm(tmp_path: Path) -> None:
    """Within four units in the last place of NumPy's, over the whole range, in both precisions."""
    bundle = make_bundle(tmp_path / "b.elb", ("level",), level=1.0)
    out = exported(bundle, tmp_path / "out")
    main = tmp_path / "log.c"
    main.write_text(
        '#include "edge_lstm_model.c"\n#include <stdio.h>\n'
        "int main(void) { double x; while (fread(&x, 8, 1, stdin) == 1) "
        "{ const double y = (double)log_1_plus((real)x); (void)fwrite(&y, 8, 1, stdout); } return 0; }\n",
        "utf-8",
    )
    rng = np.random.default_rng(1)
    x = np.concatenate([[0.0], 10.0 ** rng.uniform(-30, 30, 200_000), rng.uniform(0, 4, 200_000)])
    for option, real in (("-O2", np.float64), ("-DEDGE_LSTM_REAL_FLOAT", np.float32)):
        need_programs("gcc")
        run("gcc", "-std=c99", "-ffp-contract=off", option, f"-I{out}", main, "-o", tmp_path / "log")
        given = x.astype(real)
        got = np.frombuffer(run(tmp_path / "log", stdin=x.astype("<f8").tobytes()), "<f8")
        right = np.log1p(given.astype(np.longdouble))
        units = np.abs(got - right) / np.spacing(right.astype(real)).astype(np.longdouble)

        assert units.max() < 4


@pytest.mark.train
def test_command(tiny_bundle: Path, tmp_path: Path) -> None:
    """The command writes the folder, twice the same, and says the sizes; a foreign folder is left alone."""
    one, two, mine = (tmp_path / name for name in ("one", "two", "mine"))
    mine.mkdir()
    (mine / "main.c").write_text("int x;", "utf-8")
    first, _, again, refused = (_export(tiny_bundle, out) for out in (one, two, one, mine))
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]

    assert (0, "", 0) == (first.returncode, first.stderr, again.returncode)
    assert "bytes of RAM" in first.stdout
    assert len(files) > 15
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)
    assert (1, 1) == (refused.returncode, refused.stderr.count("\n"))
    assert ["main.c"] == [path.name for path in mine.iterdir()]


def _export(bundle: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_lstm", "export", "c", str(bundle), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
