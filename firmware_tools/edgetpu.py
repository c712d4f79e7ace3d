"""A bundle's network for the Edge TPU: finds and drives the vendor's compiler, and believes nothing it says.

The compiler is closed, for x86-64 alone, and nobody works on it any more. It ends well with half of the
model left on the CPU, and some of its failures have no text. So its log is read, its output is opened,
and only a model that is wholly on the TPU, with the very tensors of the bundle, gets into the bundle.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_lstm.bundle import EDGETPU_MODEL, MANIFEST, MODEL, Bundle, write_bundle
from edge_lstm.contracts.manifest import EdgeTpu, Tensor
from edge_lstm.errors import BundleError, CompileError
from edge_lstm.files import read_at_most
from edge_lstm.model_file import Graph, read_model
from firmware_tools.edgetpu_log import CompilerLog, parse_log
from firmware_tools.edgetpu_run import ADVICE, last_lines, run, why

__all__ = [
    "COMPILER",
    "CUSTOM",
    "HOW_TO_GET",
    "Compiled",
    "add_to_bundle",
    "compile_model",
    "find_compiler",
    "network",
]

COMPILER = "edgetpu_compiler"
CUSTOM = "CUSTOM:edgetpu-custom-op"
"""What the compiler puts in the place of all that it maps."""

HOW_TO_GET = (
    "it comes from its vendor's own apt source, for Debian and Ubuntu on x86-64: put \"deb"
    ' https://packages.cloud.google.com/apt coral-edgetpu-stable main" into'
    " /etc/apt/sources.list.d/coral-edgetpu.list with the key"
    " https://packages.cloud.google.com/apt/doc/apt-key.gpg, then apt-get install edgetpu-compiler"
    " (coral.ai/docs/edgetpu/compiler)"
)

_MOST = 64 << 20
"""Bytes of a file that the compiler wrote."""
_OLDEST = 16
"""The only one whose operator versions are known: docs/adr/0012."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came out.

    Attributes:
        content: The compiled model.
        log: What the compiler said.
        facts: What the manifest says of it.
    """

    content: bytes
    log: CompilerLog
    facts: EdgeTpu


def network(bundle: Bundle) -> Graph:
    """The network of a bundle.

    Raises:
        BundleError: It has none, or none that can be read.
    """
    if not bundle.manifest.input:
        raise BundleError(
            "the bundle has no network",
            path=bundle.path,
            do="its members run on the CPU; there is nothing for the Edge TPU",
        )
    try:
        return read_model(bundle.read(MODEL))
    except ValueError as error:
        raise BundleError(str(error), path=bundle.path, do="build the bundle again") from error


def find_compiler(given: Path | None) -> Path:
    """The compiler on this machine: as given, else what the PATH has.

    Raises:
        CompileError: There is none, or it cannot be run.
    """
    if given is not None:
        if not os.access(given, os.X_OK) or given.is_dir():
            raise CompileError(
                f"{given} is not a program that can be run", do=f"name the compiler; {HOW_TO_GET}"
            )
        return given.absolute()
    found = shutil.which(COMPILER)
    if found is None:
        machine = platform.machine()
        here = (
            "" if machine in ("x86_64", "AMD64") else f" (this machine is {machine}: compile on another one)"
        )
        raise CompileError(f"the Edge TPU compiler is not installed{here}", do=HOW_TO_GET)
    return Path(found)


def compile_model(
    bundle: Bundle,
    compiler: Path,
    *,
    allow_cpu: bool = False,
    min_runtime_version: int | None = None,
    timeout_s: float = 180.0,
) -> Compiled:
    """Compile a bundle's network.

    Args:
        bundle: With a network.
        compiler: The vendor's program.
        allow_cpu: Take a model of which some operators stay on the CPU.
        min_runtime_version: Oldest Edge TPU runtime that shall run it; the compiler's own choice without.
        timeout_s: Longest time for the compiler.

    Raises:
        CompileError: The compiler cannot be run, is another version, fails, maps a part only,
            or its output is not this network.
        BundleError: The bundle has no network.
    """
    graph = network(bundle)
    with tempfile.TemporaryDirectory(prefix="elstm-tpu-") as folder:
        place = Path(folder)
        (place / "model.tflite").write_bytes(bundle.read(MODEL))
        args = ["--show_operations", "--out_dir", folder, "--timeout_sec", str(round(timeout_s))]
        if min_runtime_version is not None:
            args += ["--min_runtime_version", str(min_runtime_version)]
        said = run([str(compiler), *args, str(place / "model.tflite")], place, timeout_s)
        content = _read(place / "model_edgetpu.tflite")
        log = _log(said, _read(place / "model_edgetpu.log"))
    _check_log(log, said, graph, content)
    _check_mapped(log, allow_cpu=allow_cpu)
    _check_output(content, bundle, log)
    source = bundle.manifest.files[MODEL].sha256
    return Compiled(content, log, EdgeTpu(log.version, source, log.on_tpu, log.on_cpu))


def add_to_bundle(bundle: Bundle, compiled: Compiled, path: Path) -> str:
    """Write the bundle with the compiled model in it; everything else stays as it is.

    Returns:
        SHA-256 of the new file, hexadecimal.

    Raises:
        BundleError: The place cannot be written to.
    """
    members = {name: raw for name, raw in bundle.members.items() if name != MANIFEST}
    manifest = msgspec.structs.replace(bundle.manifest, edgetpu=compiled.facts)
    return write_bundle(path, manifest, {**members, EDGETPU_MODEL: compiled.content})


def _read(path: Path) -> bytes:
    content = read_at_most(path, _MOST) if path.is_file() else b""
    if len(content) > _MOST:
        raise CompileError(f"the compiler's {path.name} is too large", expected=f"at most {_MOST >> 20} MiB")
    return content


# ------------------------------------------------------------------------------ what came out of it


def _log(said: str, file: bytes) -> CompilerLog:
    """What it printed; the table from its log file, where it printed none."""
    try:
        log = parse_log(said)
        return log if log.rows else parse_log(f"{said}\n{file.decode(errors='replace')}")
    except ValueError as error:
        raise CompileError(f"the compiler's log cannot be read: {error}", got=last_lines(said)) from error


def _check_log(log: CompilerLog, said: str, graph: Graph, content: bytes) -> None:
    if not log.version:
        raise CompileError(
            "this is not the Edge TPU compiler",
            expected="'Edge TPU Compiler version …'",
            got=last_lines(said),
        )
    major = re.match(r"\d+", log.version)
    if major is None or int(major[0]) < _OLDEST:
        raise CompileError(
            "the Edge TPU compiler is too old",
            expected=f"version {_OLDEST}",
            got=log.version,
            do="apt-get install edgetpu-compiler",
        )
    if not content:
        raise CompileError("the compiler wrote no model", got=why(said), do=ADVICE)
    if not log.rows:
        raise CompileError("the compiler's log has no table of operators", got=last_lines(said))
    counted = sum(row.count for row in log.rows)
    if counted != len(graph.operators):
        raise CompileError(
            "the compiler compiled another model",
            expected=f"{len(graph.operators)} operators",
            got=f"{counted}",
        )


def _check_mapped(log: CompilerLog, *, allow_cpu: bool) -> None:
    if not log.on_tpu:
        raise CompileError(
            "nothing of the model is on the Edge TPU", got="; ".join(str(row) for row in log.rows), do=ADVICE
        )
    if log.on_cpu and not allow_cpu:
        left = "; ".join(str(row) for row in log.rows if not row.on_tpu)
        raise CompileError(
            "a part of the model stays on the CPU",
            expected="all of it on the Edge TPU",
            got=left,
            do="--allow-cpu takes it all the same; every step then goes to the TPU and back",
        )


def _check_output(content: bytes, bundle: Bundle, log: CompilerLog) -> None:
    """The compiled file must have the bundle's tensors, and what the log says is mapped.

    Raises:
        CompileError: It has not.
    """
    try:
        graph = read_model(content)
    except ValueError as error:
        raise CompileError(f"the compiler's output cannot be read: {error}") from error
    customs = [operator.name for operator in graph.operators if operator.name == CUSTOM]
    if not customs or (not log.on_cpu and len(graph.operators) != len(customs)):
        raise CompileError(
            "the compiler's output is not what its log says",
            expected=f"{CUSTOM}{'' if log.on_cpu else ' alone'}",
            got=", ".join(operator.name for operator in graph.operators) or "no operators",
        )
    said: Mapping[str, tuple[Tensor, ...]] = {
        "input": bundle.manifest.inputs,
        "output": bundle.manifest.outputs,
    }
    for what, indices in (("input", graph.inputs), ("output", graph.outputs)):
        found = {_tensor(graph, i) for i in indices}
        if found != set(said[what]):
            odd = sorted(tensor.name for tensor in found ^ set(said[what]))
            raise CompileError(
                f"the compiler changed the model's {what} tensors",
                got=", ".join(dict.fromkeys(odd)),
                do="report this with the bundle",
            )


def _tensor(graph: Graph, index: int) -> Tensor:
    tensor = graph.tensors[index]
    return Tensor(tensor.name, tensor.shape, tensor.dtype, tensor.scale, tensor.zero_point)
