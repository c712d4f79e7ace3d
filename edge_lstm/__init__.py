"""edge-lstm on the device: stateful int8 LSTM anomaly detection on a stream of readings."""

from importlib.metadata import version

__version__ = version("edge-lstm")
__all__ = ["__version__"]
