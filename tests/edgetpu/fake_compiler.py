"""Stands in for ``edgetpu_compiler``: options, log and files of the real one, and faults on demand.

It replaces a model's operators by one ``edgetpu-custom-op``, as the real compiler does, without
any code in it. ``FAKE_TPU`` says what goes wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
LEFT = "More than one subgraph is not supported"
MAPPED = "Mapped to Edge TPU"


def options(args: list[str]) -> tuple[dict[str, str], Path]:
    """Long options with a value, and the model."""
    known = {"--out_dir", "--timeout_sec", "--min_runtime_version"}
    said: dict[str, str] = {}
    rest = []
    while args:
        arg = args.pop(0)
        if arg in known:
            said[arg] = args.pop(0)
        elif arg == "--show_operations":
            said[arg] = ""
        elif arg.startswith("-"):
            sys.exit(f"Unknown option: {arg}")
        else:
            rest.append(arg)
    return said, Path(rest[0])


def fold(content: bytes, fault: str) -> tuple[bytes, Counter[tuple[str, str]]]:
    """The compiled file, and how many operators have which status."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    codes = [NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    names = [codes[operator.opcodeIndex] for operator in graph.operators]
    kept = {"partly": 2, "nothing": len(names)}.get(fault, 0)
    counted = Counter((name, LEFT if i >= len(names) - kept else MAPPED) for i, name in enumerate(names))
    if fault == "other_model":
        counted["TANH", MAPPED] += 1
    if kept < len(names) and fault != "not_replaced":
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode, code.version = b"edgetpu-custom-op", 1
        model.operatorCodes.append(code)
        custom = schema.OperatorT()
        custom.opcodeIndex = len(model.operatorCodes) - 1
        taken, left = graph.operators[: len(names) - kept], graph.operators[len(names) - kept :]
        custom.inputs = list(graph.inputs)
        # What is left reads of what was taken, like the rest of the graph.
        custom.outputs = [i for operator in taken for i in operator.outputs]
        custom.customOptions = [1, 2, 3]
        graph.operators = [custom, *left]
    if fault == "renamed":
        graph.tensors[graph.inputs[0]].name = b"something_else"
    if fault == "rescaled":
        graph.tensors[graph.outputs[0]].quantization.scale = [0.123]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), counted


def table(counted: Counter[tuple[str, str]]) -> str:
    """As the real one prints it."""
    rows = [f"{name:<30} {count:<10} {status}" for (name, status), count in counted.items()]
    return "\n".join([f"{'Operator':<30} {'Count':<10} Status", "", *rows, ""])


def main() -> int:
    """Compile, or fail as told."""
    fault = os.environ.get("FAKE_TPU", "")
    said, path = options(sys.argv[1:])
    version = {"old": "15.0.340273435", "nobody": ""}.get(fault, "16.0.384591198")
    print(f"Edge TPU Compiler version {version}" if version else "hello", flush=True)
    if (least := os.environ.get("FAKE_TPU_LEAST")) is not None and said.get("--min_runtime_version") != least:
        return 1
    print(f"Started a compilation timeout timer of {said['--timeout_sec']} seconds.")
    if fault == "fails":
        print("Compilation child process completed within timeout period.\nCompilation failed! ")
        return 1
    if fault == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "hangs":
        time.sleep(600)
    content, counted = fold(path.read_bytes(), fault)
    target = Path(said["--out_dir"]) / f"{path.stem}_edgetpu.tflite"
    if fault != "no_file":
        target.write_bytes(b"damaged" if fault == "damaged" else content)
    target.with_suffix(".log").write_text(f"Edge TPU Compiler version {version}\n\n{table(counted)}")
    print(f"\nModel compiled successfully in 37 ms.\n\nOperation log: {target.with_suffix('.log').name}")
    print(f"Number of Edge TPU subgraphs: 1\nTotal number of operations: {sum(counted.values())}\n")
    if fault not in ("no_table", "table_in_file"):
        rows = table(counted)
        print(rows[: rows.rindex("\n", 0, -1)] if fault == "cut_off" else rows)
    if fault == "no_table":
        target.with_suffix(".log").write_text("")
    print("Compilation child process completed within timeout period.\nCompilation succeeded! ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
