"""A trained model as one step of TFLite: named tensors, whole int8, equal scales for each state.

The converter's traps that this works around are measured in docs/explain-quantization.md.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import State, Tensor
from edge_lstm.quiet import quiet_stderr
from trainer.flatbuffer import describe, finish
from trainer.model import Autoencoder, Said
from trainer.rounding import BARE, EXACT, Rounding

__all__ = ["Converted", "convert"]

Floats = NDArray[np.float32]
FRAME = "frame"


@dataclass(frozen=True, slots=True)
class Converted:
    """One step of the model as a file, with the facts of its tensors.

    Attributes:
        content: The ``.tflite`` file.
        inputs: Inputs by name.
        outputs: Outputs by name.
        states: State tensors, input beside output.
    """

    content: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Representative:
    """What sets the int8 ranges: readings with the states the model has when it meets them.

    Attributes:
        frames: Readings in model units, (samples, channels).
        states: Every state before each of them, each (samples, width).
    """

    frames: Floats
    states: tuple[Floats, ...]


def convert(model: Autoencoder, representative: Representative | None) -> Converted:
    """Convert one step of a model.

    Args:
        model: A trained model.
        representative: Sets the int8 ranges; without it the result stays float32.

    Raises:
        ConversionError: The result is not wholly int8.
    """
    states = model.shape.states
    with tempfile.TemporaryDirectory() as folder, _quiet():
        tf.saved_model.save(
            _Step(model), folder, signatures=_signature(model, EXACT if representative is None else BARE)
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if representative is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: _samples(representative, states)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
            # Per channel would emit FULLY_CONNECTED version 12, which tflite-runtime 2.14 refuses.
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
        content = finish(bytes(converter.convert()), FRAME, states, whole_int8=representative is not None)
    inputs, outputs = describe(content)
    return Converted(content, inputs, outputs, states)


class _Step(tf.Module):
    """What the SavedModel holds: the model's variables."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model


def _signature(model: Autoencoder, q: Rounding) -> Any:
    """The single step with every input and output named."""
    shape, names = model.shape, [state.input for state in model.shape.states]
    specs = {FRAME: tf.TensorSpec((1, shape.channels), tf.float32, FRAME)}
    specs |= {
        n: tf.TensorSpec((1, width), tf.float32, n) for n, width in zip(names, shape.widths, strict=True)
    }

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(**inputs: tf.Tensor) -> Said:
        said, after = model(inputs[FRAME], [inputs[name] for name in names], q)
        return said | {state.output: value for state, value in zip(shape.states, after, strict=True)}

    return {"serving_default": step.get_concrete_function(**specs)}


def _samples(representative: Representative, states: Sequence[State]) -> Iterator[tuple[str, Any]]:
    # By signature and name: a plain list is paired in another order, silently.
    for i, frame in enumerate(representative.frames):
        before = {s.input: v[i][None] for s, v in zip(states, representative.states, strict=True)}
        yield "serving_default", {FRAME: frame[None], **before}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converter's notes are not for our users; its errors are exceptions."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with quiet_stderr(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
