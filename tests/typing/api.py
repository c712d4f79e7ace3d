"""The public interface as a user writes it: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import assert_type

from edge_lstm.backends import load_backend
from edge_lstm.bundle import Bundle, open_bundle, write_bundle
from edge_lstm.cli import run_main
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert, Contributor
from edge_lstm.contracts.commission import ChannelScaling, Commission
from edge_lstm.contracts.frame import QualityEvent
from edge_lstm.contracts.manifest import Channel, Manifest
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.contracts.state import DetectorSnapshot
from edge_lstm.core.backend import Backend
from edge_lstm.core.detector import Detector
from edge_lstm.errors import BundleError, EdgeLstmError, OperatorError
from edge_lstm.selftest import SelfTestResult, verify
from edge_lstm.times import format_time, parse_time

__all__: list[str] = []


def score_one_reading(path: Path) -> list[Score | Alert | QualityEvent | Commission | Reject]:
    bundle = open_bundle(path)
    assert_type(bundle, Bundle)
    assert_type(bundle.manifest, Manifest)
    assert_type(bundle.manifest.channels, tuple[Channel, ...])
    assert_type(bundle.members, Mapping[str, bytes])
    backend = load_backend(bundle)
    assert_type(backend, Backend)
    assert_type(verify(bundle, backend), SelfTestResult)

    detector = Detector(
        bundle.manifest, backend, sha256=bundle.sha256, node="gateway", alarm=AlarmOverrides(open_after=3)
    )
    snapshot = detector.snapshot()
    assert_type(snapshot, DetectorSnapshot)
    detector.restore(snapshot)
    assert_type(detector.open_alerts(), list[Alert])
    reading = Reading("pump-1", parse_time("2026-03-01T12:00:00Z"), {"pressure": 4.2, "flow": None})
    return detector.push(reading)


def tell_apart(event: Score | Alert | QualityEvent | Commission | Reject) -> str:
    match event:
        case Score(score=value, status=status):
            assert_type(value, float)
            assert_type(status, StreamStatus)
            return f"{value} {status}"
        case Alert(contributors=contributors, time=time):
            assert_type(contributors, list[Contributor])
            return time
        case QualityEvent(time_ns=time_ns):
            return format_time(time_ns)
        case Commission(channels=channels, reason=why):
            assert_type(channels, list[ChannelScaling])
            return why
        case Reject(reason=reason):
            assert_type(reason, RejectReason)
            return reason


def pack(path: Path, manifest: Manifest) -> str:
    return write_bundle(path, manifest, {"card.md": b"# pump"})


def run() -> int:
    try:
        return run_main(["inspect", "model.elb"])
    except BundleError as error:
        assert_type(error.path, Path | str | None)
        raise OperatorError("cannot go on", do="copy the bundle again") from error
    except EdgeLstmError as error:
        assert_type(error.what, str)
        return 1
