"""One bundle in more detail: what surrounds the invoke, and the reference kernel beside LiteRT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_lstm.backends.choice import step_us
from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.backends.reference import ReferenceBackend
from edge_lstm.bundle import Bundle, open_bundle
from edge_lstm.quiet import quiet_stderr
from tests.benchmark.detection.cases import Case
from tests.benchmark.detection.members import history_of
from tests.benchmark.int8.work import LONG_STEPS
from tests.benchmark.step import measure_step
from tests.verdicts import Compared, changed_verdicts, tiled
from trainer.build import build, wake_tensorflow
from trainer.describe import card
from trainer.pack import pack
from trainer.progress import Watcher
from trainer.settings import TrainSettings

__all__ = ["Kernels", "measure_kernels"]


@dataclass(frozen=True, slots=True)
class Kernels:
    """What was measured on one bundle.

    Attributes:
        speed: Of `tests.benchmark.step.measure_step`.
        reference_us: A step of the reference kernel, microseconds.
        compared: Reference kernel and LiteRT on the same readings, each with its own states.
    """

    speed: dict[str, float]
    reference_us: float
    compared: Compared

    @property
    def rows(self) -> list[list[str]]:
        """What to show, a row each."""
        speed, said = self.speed, self.compared
        return [
            ["bare invoke, one stream", f"{speed['invoke_us']:.2f} µs"],
            [
                "whole step, one stream, from reals to reals",
                f"{speed['step_us']:.2f} µs",
            ],
            ["around the invoke over the invoke, one stream", f"{speed['around']:.2f}"],
            ["a stream in a batch of 256 over a bare batched invoke", f"{speed['batch_to_batch']:.2f}"],
            [
                "the same over a bare invoke of one stream",
                f"{speed['batch_to_single']:.2f}",
            ],
            ["a reading through the whole detector, all members", f"{speed['reading_us']:.0f} µs"],
            ["a step of the reference kernel, one stream", f"{self.reference_us:.0f} µs"],
            [
                f"reference kernel beside LiteRT, {said.readings:,} readings, each with its own states",
                (
                    f"{said.changed} verdicts changed, {said.unequal} readings with any difference, "
                    f"at most {said.greatest} quantization steps"
                ),
            ],
        ]


def measure_kernels(case: Case, folder: Path) -> Kernels:
    """Train the default on a simulated pump and measure its bundle.

    Args:
        case: The pump.
        folder: For its files.
    """
    with quiet_stderr():
        wake_tensorflow()
    (folder / "whole").mkdir()
    built = build(history_of(case, folder / "whole"), TrainSettings(), name="pump", watcher=Watcher())
    path = folder / "pump.elb"
    pack(built, path, card=card(built.manifest), report="")
    bundle = open_bundle(path)
    return _measured(bundle, case)


def _measured(bundle: Bundle, case: Case) -> Kernels:
    litert, reference = LiteRtBackend(bundle), ReferenceBackend(bundle)
    values = tiled(case.tests[0].values, LONG_STEPS)
    return Kernels(
        measure_step(bundle), step_us(bundle, reference), changed_verdicts(bundle, reference, litert, values)
    )
