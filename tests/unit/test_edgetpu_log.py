"""The compiler's log: real ones, from google-coral's issues, and what is read from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_tools.edgetpu_log import explain, parse_log

LOGS = Path(__file__).parents[1] / "edgetpu" / "logs"


def text_of(name: str) -> str:
    """A log as it was published."""
    return (LOGS / f"{name}.txt").read_text("utf-8")


def test_a_model_wholly_on_the_tpu() -> None:
    """Version, table, memory; nothing on the CPU and no error."""
    log = parse_log(text_of("edgetpu-324"))
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
    ("name", "on_tpu", "on_cpu"),
    [("edgetpu-219", 0, 2), ("edgetpu-317", 1, 88), ("retinanet-model-tflite", 17, 4)],
)
def test_a_model_partly_on_the_cpu(name: str, on_tpu: int, on_cpu: int) -> None:
    """Every row counts on its side."""
    log = parse_log(text_of(name))
    assert (log.on_tpu, log.on_cpu) == (on_tpu, on_cpu)


def test_every_operator_is_told_with_where_and_why() -> None:
    """A row for people."""
    told = [str(row) for row in parse_log(text_of("edgetpu-317")).rows]
    assert told[0] == "CPU   70 TRANSPOSE: Operation not supported (the Edge TPU has no such operator)"
    assert told[2] == "TPU    1 PAD"


def test_an_unknown_reason_is_told_as_it_is() -> None:
    """The compiler may say what nobody has seen yet."""
    assert explain("Something new") == "Something new"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("edgetpu-313", "Model not quantized"),
        ("libedgetpu-71", "Didn't find op for builtin opcode 'EXP' version '2'"),
        ("edgetpu-654", "dynamic-sized tensors"),
        ("edgetpu-189", "Internal compiler error"),
        ("edgetpu-811", "Segmentation fault"),
        ("edgetpu-728", "std::out_of_range"),
        ("edgetpu-800", "Compilation failed!"),
    ],
)
def test_failures_are_found(name: str, error: str) -> None:
    """By the lines that tell them; there is no table then."""
    log = parse_log(text_of(name))
    assert log.version
    assert log.rows == ()
    assert any(error in line for line in log.errors)


def test_words_of_the_log_that_are_no_failure() -> None:
    """It says 'completed within timeout period' whether it went well or not."""
    text = text_of("edgetpu-324")
    text += "Compilation child process completed within timeout period.\nCompilation succeeded! \n"
    assert parse_log(text).errors == ()


def test_a_table_that_does_not_add_up_is_refused() -> None:
    """A log that is cut off must not look like a smaller model."""
    lines = text_of("edgetpu-324").splitlines()
    with pytest.raises(ValueError, match="the table has 11 operators, the log says 15"):
        parse_log("\n".join(lines[:-1]))


@pytest.mark.parametrize("text", ["", "hello\n", "Operator  Count  Status\n", "\x00\xff Operator"])
def test_other_texts_have_nothing(text: str) -> None:
    """No version, no table."""
    log = parse_log(text)
    assert (log.version, log.rows, log.total) == ("", (), None)
