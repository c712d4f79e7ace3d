"""The witness and the checker: whatever is wrong with states or alerts must be seen."""

from __future__ import annotations

from itertools import islice

import msgspec
import numpy as np
import pytest

from edge_lstm.torture.alerts import Consumer
from edge_lstm.torture.proof import Row, table
from edge_lstm.torture.truth import Subject
from edge_lstm.torture.verdict import Verdict, delivered
from edge_lstm.torture.wire import frames, published
from edge_lstm.torture.witness import SEEN, Sample, WitnessBackend, chain, samples


def _run(order: list[Sample]) -> tuple[bytes, list[int]]:
    backend, links, seen = WitnessBackend(), np.zeros(16, np.int8), np.zeros(SEEN, np.int8)
    for one in order:
        backend.step(np.frombuffer(one.frame, np.int8), [links, seen])
    return links.tobytes(), seen.tolist()


def test_witness_is_the_chain() -> None:
    """The backend's state is the chain as it is computed elsewhere, and it has counted every reading once."""
    order = list(islice(samples("a"), 200))
    links, seen = _run(order)

    assert chain([one.frame for one in order]) == links
    assert [1] * 200 + [0] * (SEEN - 200) == seen


@pytest.mark.parametrize("fault", ["lost", "double", "swapped"])
def test_witness_sees_a_fault_anywhere(fault: str) -> None:
    """One reading lost, doubled or swapped with the next gives another chain for good."""
    order = list(islice(samples("b"), 40))
    right, _ = _run(order)
    for i in range(39):
        wrong = order.copy()
        if fault == "lost":
            del wrong[i]
        elif fault == "double":
            wrong.insert(i, wrong[i])
        else:
            wrong[i], wrong[i + 1] = wrong[i + 1], wrong[i]
        assert right != _run(wrong)[0]


def test_witness_batch_equals_streams_alone() -> None:
    """Streams in a batch end as they do alone."""
    orders = [list(islice(samples(name), 30)) for name in ("c", "d", "e")]
    backend, links, seen = WitnessBackend(), np.zeros((3, 16), np.int8), np.zeros((3, SEEN), np.int8)
    for step in zip(*orders, strict=True):
        backend.step(np.array([one.values for one in step], np.int8), [links, seen])

    assert [_run(order)[0] for order in orders] == [row.tobytes() for row in links]


def test_readings_of_a_seed_are_the_same_again() -> None:
    """Sources follow from their seed alone."""
    source = Subject.of_witness().source

    assert list(islice(source("x"), 50)) == list(islice(source("x"), 50))
    assert list(islice(source("x"), 50)) != list(islice(source("y"), 50))


def _alert(**changes: object) -> bytes:
    model = {"id": "witness", "version": "1", "sha256": "0", "backend": "witness"}
    said = {
        "schema": "edge-lstm.alert/1",
        "id": "1",
        "type": "open",
        "kind": "anomaly",
        "severity": "major",
        "text": "",
        "time": "t",
        "started": "t",
        "node": "n",
        "asset": "a",
        "score": 1.0,
        "threshold": 1.0,
        "ratio": 1.0,
        "peak": 1.0,
        "contributors": [],
        "model": model,
        "state": {"age_s": 0.0, "reset_reason": "start"},
    }
    return msgspec.json.encode({**said, **changes})


def test_repeated_alert_counts_once() -> None:
    """The same alert again is a repeat and no fault."""
    heard, repeated, faults = delivered([_alert(), _alert(), _alert(type="close")], "time")

    assert (2, 1, []) == (heard.total(), repeated, faults)


def test_alert_with_two_contents_is_a_fault() -> None:
    """An id, type and time must not say two things."""
    _, _, faults = delivered([_alert(), _alert(score=2.0)], "time")

    assert len(faults) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"lost": 1},
        {"double": 1},
        {"exact": 1},
        {"heard": 4},
        {"spurious": 1},
        {"faults": ["it ended with 1"]},
        {"lost": 2, "forgiven": 1},
        {"once": 0, "lost": 9, "forgiven": 9},
    ],
)
def test_verdict_does_not_hold_with_anything_wrong(broken: dict[str, object]) -> None:
    """Each count alone is enough."""
    good = {"trials": 1, "readings": 9, "once": 9, "streams": 2, "exact": 2, "due": 5, "heard": 5}

    assert Verdict(**good).holds  # type: ignore[arg-type]  # counts by name
    wrong = Verdict(**{**good, **broken})  # type: ignore[arg-type]  # counts by name
    assert not wrong.holds
    assert wrong.complaint()


def test_control_without_a_fault_is_no_proof() -> None:
    """A harness that finds nothing in a weakened daemon proves nothing."""
    good, bad = Verdict(trials=3, once=9), Verdict(trials=3, once=9, lost=1)
    idle = Row(name="kill", verdict=good, controls={"x": good}, seconds=1.0)
    sharp = Row(name="kill", verdict=good, controls={"x": bad}, seconds=1.0)

    assert (False, True) == (idle.proven, sharp.proven)
    assert ["kill: the control 'x' found no fault"] == idle.complaints()
    assert "1 of 1 failed" in table([sharp])


def test_consumer_asks_from_the_first_missing_number() -> None:
    """A gap in the numbers is asked for; numbers in a row are not."""
    consumer = Consumer(1, "edge-lstm/n")  # nobody listens on port 1: what it says waits
    for seq in (1, 2, 3):
        consumer.take("edge-lstm/n/a/alert", _alert(seq=seq))
    consumer.poll(0.0)
    in_order = consumer.asked
    consumer.take("edge-lstm/n/a/alert", _alert(seq=5))
    consumer.poll(0.0)

    assert (0, 1, 1) == (in_order, consumer.asked, consumer.peer.pending)
    assert consumer.next_seq == 4
    consumer.take("edge-lstm/n/alerts/replayed", _alert(seq=4))
    assert consumer.next_seq == 6


@pytest.mark.parametrize("version", [4, 5])
def test_published_of_both_protocols(version: int) -> None:
    """Topic, payload and identifier are read with and without properties."""
    properties = b"\x02\x01\x01" if version == 5 else b""
    raw = b"\x32" + bytes([7 + len(properties) + 2]) + b"\x00\x03a/b\x00\x07" + properties + b"{}"

    assert ("a/b", b"{}", 7) == published(raw, version)
    assert ("a", b"", None) == published(b"\x30\x03\x00\x01a", 4)


def test_frames_of_a_stream_of_bytes() -> None:
    """Packets are found whole, wherever the bytes are cut."""
    one, other = b"\x40\x02\x00\x05", b"\x30\x80\x01" + bytes(128)
    whole = one + other

    assert [(0, 4), (4, len(whole))] == frames(whole)
    assert [(0, 4)] == frames(whole[:-1])
    assert [] == frames(one[:3])
