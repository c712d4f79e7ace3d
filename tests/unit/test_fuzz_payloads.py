"""A short run of the fuzzer; `python -m tests.fuzz.payloads 1000000 1` is the long one."""

from __future__ import annotations

import pytest

from tests.fuzz.payloads import main


def test_fuzzed_payloads_are_readings_or_rejects() -> None:
    """20,000 messages: no exception, nothing above 50 ms, nothing kept, and every outcome is met."""
    outcome = main(20_000, 1)

    assert [] == outcome.faults
    assert outcome.kept_blocks < 1_000
    assert outcome.readings > 2_000
    assert outcome.wishes > 0
    met = {"undecodable", "too_large", "bad_time", "bad_topic", "bad_asset", "not_born", "not_data"}
    assert met | {"schema_unsupported", "stale_retained"} == set(outcome.rejects)


def test_fuzzer_gives_the_same_for_the_same_seed() -> None:
    """A fault can be looked for again."""
    one, other, third = main(2_000, 7), main(2_000, 7), main(2_000, 8)

    assert (one.readings, one.rejects) == (other.readings, other.rejects)
    assert one.rejects != third.rejects


def test_fuzzer_finds_a_planted_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of assets that nobody checks come out as readings of nobody."""
    monkeypatch.setattr("edge_lstm.codecs.fields.check_name", lambda _: None)

    assert main(5_000, 1).faults
