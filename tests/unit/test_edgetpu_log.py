"""The compiler's log: real ones, as people put them into google-coral's issues, and what is read from them."""

from __future__ import annotations

import pytest

from firmware_tools.edgetpu_log import explain, parse_log

# google-coral/edgetpu #324
WHOLE = """\
Edge TPU Compiler version 15.0.340273435

Model compiled successfully in 128 ms.

Input model: tl_obj_experimental.tflite
Input size: 76.14KiB
Output model: tl_obj_experimental_edgetpu.tflite
Output size: 152.54KiB
On-chip memory used for caching model parameters: 85.75KiB
On-chip memory remaining for caching model parameters: 7.77MiB
Off-chip memory used for streaming uncached model parameters: 5.50KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 15
Operation log: tl_obj_experimental_edgetpu.log

Operator                       Count      Status

SOFTMAX                        1          Mapped to Edge TPU
FULLY_CONNECTED                2          Mapped to Edge TPU
ADD                            4          Mapped to Edge TPU
MUL                            4          Mapped to Edge TPU
CONV_2D                        4          Mapped to Edge TPU
"""
# google-coral/edgetpu #219; of the lines above the table only these are there
NOTHING = """\
Number of operations that will run on Edge TPU: 0
Number of operations that will run on CPU: 2

Operator                       Count      Status

MUL                            1          Operation is otherwise supported, but not mapped due to some unspecified limitation
SPLIT                          1          Operation is otherwise supported, but not mapped due to some unspecified limitation
"""  # noqa: E501 - as it is
# google-coral/edgetpu #317
MOST_ON_CPU = """\
Operator                       Count      Status

TRANSPOSE                      70         Operation not supported
PAD                            17         More than one subgraph is not supported
PAD                            1          Mapped to Edge TPU
FULLY_CONNECTED                1          More than one subgraph is not supported
"""
# rajansaini691/retinanet-model-tflite, tiny_yolo_edgetpu.log (the operators' log is a file of its own)
LOG_FILE = """\
Edge TPU Compiler version 14.1.317412892
Input: tiny_yolo.tflite
Output: tiny_yolo_edgetpu.tflite

Operator                       Count      Status

CONCATENATION                  1          More than one subgraph is not supported
MAX_POOL_2D                    6          Mapped to Edge TPU
RESIZE_NEAREST_NEIGHBOR        1          Operation version not supported
CONV_2D                        11         Mapped to Edge TPU
CONV_2D                        2          More than one subgraph is not supported
"""


def test_a_model_wholly_on_the_tpu() -> None:
    """Version, table, memory; nothing on the CPU and no error."""
    log = parse_log(WHOLE)
    assert (log.version, log.total, log.subgraphs) == ("15.0.340273435", 15, 1)
    assert [(row.operator, row.count) for row in log.rows] == [
        ("SOFTMAX", 1),
        ("FULLY_CONNECTED", 2),
        ("ADD", 4),
        ("MUL", 4),
        ("CONV_2D", 4),
    ]
    assert (log.on_tpu, log.on_cpu, log.errors) == (15, 0, ())
    assert log.memory == ("on-chip memory used: 85.75KiB", "off-chip memory used: 5.50KiB")


@pytest.mark.parametrize(
    ("text", "on_tpu", "on_cpu"), [(NOTHING, 0, 2), (MOST_ON_CPU, 1, 88), (LOG_FILE, 17, 4)]
)
def test_a_model_partly_on_the_cpu(text: str, on_tpu: int, on_cpu: int) -> None:
    """Every row counts on its side."""
    log = parse_log(text)
    assert (log.on_tpu, log.on_cpu) == (on_tpu, on_cpu)


def test_every_operator_is_told_with_where_and_why() -> None:
    """A row for people."""
    told = [str(row) for row in parse_log(MOST_ON_CPU).rows]
    assert told[0] == ("CPU   70 TRANSPOSE: Operation not supported (the Edge TPU has no such operator)")
    assert told[2] == "TPU    1 PAD"


def test_an_unknown_reason_is_told_as_it_is() -> None:
    """The compiler may say what nobody has seen yet."""
    assert explain("Something new") == "Something new"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        # google-coral/edgetpu #313
        (
            "Edge TPU Compiler version 15.0.340273435\nInvalid model: mobilenet_v2_1.0_224_quant.tflite\n"
            "Model not quantized\n",
            "Model not quantized",
        ),
        # google-coral/libedgetpu #71
        (
            "Edge TPU Compiler version 16.0.384591198\nERROR: Didn't find op for builtin opcode 'EXP' version '2'. "
            "An older version of this builtin might be supported. Are you using an old TFLite binary with a "
            "newer model?\n\nERROR: Registration failed.\n\nInvalid model: model_2.tflite\n"
            "Model could not be parsed\n",
            "Didn't find op for builtin opcode 'EXP' version '2'",
        ),
        # google-coral/edgetpu #654
        (
            "Edge TPU Compiler version 16.0.384591198\nStarted a compilation timeout timer of 180 seconds.\n"
            "ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has "
            "dynamic-sized tensors.\nCompilation failed: Model failed in Tflite interpreter. Please ensure model "
            "can be loaded/run in Tflite interpreter.\nCompilation child process completed within timeout "
            "period.\nCompilation failed! \n",
            "dynamic-sized tensors",
        ),
        # google-coral/edgetpu #189
        (
            "Edge TPU Compiler version 14.1.317412892\n\nInternal compiler error. Aborting! \n",
            "Internal compiler",
        ),
        # google-coral/edgetpu #811
        (
            "Edge TPU Compiler version 16.0.384591198\n/usr/bin/edgetpu_compiler: line 3:  7056 Segmentation fault"
            "      (core dumped) ${d}/edgetpu_compiler_bin/ld-linux-x86-64.so.2 --library-path "
            '${d}/edgetpu_compiler_bin ${d}/edgetpu_compiler_bin/edgetpu_compiler "$@"\n',
            "Segmentation fault",
        ),
        # google-coral/edgetpu #728
        (
            "Edge TPU Compiler version 16.0.384591198\nStarted a compilation timeout timer of 180 seconds.\n"
            "libc++abi: terminating with uncaught exception of type std::out_of_range: vector\n"
            "Compilation child process completed within timeout period.\nCompilation failed! \n",
            "std::out_of_range",
        ),
        # google-coral/edgetpu #800: without any reason
        (
            "Edge TPU Compiler version 16.0.384591198\nStarted a compilation timeout timer of 180 seconds.\n"
            "Compilation child process completed within timeout period.\nCompilation failed! \n",
            "Compilation failed!",
        ),
    ],
)
def test_failures_are_found(text: str, error: str) -> None:
    """By the lines that tell them; there is no table then."""
    log = parse_log(text)
    assert log.rows == ()
    assert any(error in line for line in log.errors)


def test_words_of_the_log_that_are_no_failure() -> None:
    """It says 'failed' and 'not all operations are supported' in more than one tone."""
    text = WHOLE + "Compilation child process completed within timeout period.\nCompilation succeeded! \n"
    assert parse_log(text).errors == ()


def test_a_table_that_does_not_add_up_is_refused() -> None:
    """A log that is cut off must not look like a smaller model."""
    with pytest.raises(ValueError, match="the table has 11 operators, the log says 15"):
        parse_log(WHOLE.replace("CONV_2D                        4          Mapped to Edge TPU\n", ""))


@pytest.mark.parametrize("text", ["", "hello\n", "Operator  Count  Status\n", "\x00\xff Operator"])
def test_other_texts_have_nothing(text: str) -> None:
    """No version, no table."""
    log = parse_log(text)
    assert (log.version, log.rows, log.total) == ("", (), None)
