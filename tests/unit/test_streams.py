"""Every row of docs/explain-streams.md that is decided for one stream of readings."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.state import AlignMemory
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.core.align import Aligner
from edge_lstm.core.quality import QualityGate
from edge_lstm.testing import fake_manifest
from edge_lstm.times import NS

NOW = 1_772_366_400 * NS
Q, R = QualityReason, RejectReason


class Stream:
    """One asset with channels a and b, period 1 s, gap after 10 s; what came of it is told in short.

    Args:
        config: What the site says.
        limits: Valid range of both channels.
    """

    def __init__(self, *, limits: tuple[float, float] | None = None, **config: Any) -> None:  # noqa: ANN401
        said = StreamsConfig(**config)
        manifest = fake_manifest(("a", "b"))
        channels = manifest.channels
        if limits is not None:
            channels = tuple(
                msgspec.structs.replace(c, valid_min=limits[0], valid_max=limits[1]) for c in channels
            )
        self.aligner = Aligner(channels, manifest.grid, centre=(5.0, 6.0), config=said)
        self.gate = QualityGate(channels, hold_frames=3, flatline=said.flatline)
        self.memory, self.faults = self.aligner.fresh(), set[str]()
        self.frames: list[Frame] = []
        self.events: list[QualityEvent] = []

    def __call__(
        self,
        time_s: float,
        value: float | None = None,
        *,
        at: float | None = None,
        seq: int | None = None,
        wait: float = 0.0,
        **values: float | None,
    ) -> list[str]:
        """Push a reading of both channels (or those named); it arrives 5 ms after its time, or at ``at``."""
        value = float(time_s) if value is None else value
        arrived_ns = NOW + round((time_s + 0.005 if at is None else at) * NS)
        values = values or {"a": value, "b": -value}
        time_ns = NOW + round(time_s * NS)
        reading = Reading("p", time_ns, values, seq, arrived_ns, round(wait * NS))
        return self.tell(self.aligner.push(self.memory, reading))

    def tick(self, now_s: float, since_s: float = 0) -> list[str]:
        """Let time pass without a reading."""
        now_ns, since_ns = NOW + round(now_s * NS), NOW + round(since_s * NS)
        return self.tell(self.aligner.tick(self.memory, "p", now_ns, since_ns))

    def tell(self, items: Any) -> list[str]:  # noqa: ANN401
        """Each item in a word: the second of a frame, the reason of a reject, ± and reason of an event."""
        said = []
        for item in items:
            if isinstance(item, Frame):
                self.frames.append(item)
                self.events += (found := list(self.gate.check(item, self.memory, self.faults)))
                said += [f"{(item.time_ns - NOW) / NS:g}{'*' if item.tick == 0 else ''}"]
                said += [f"{'+' if event.active else '-'}{event.reason}" for event in found]
            elif isinstance(item, Reject):
                said.append(item.reason.value)
            else:
                self.events.append(item)
                said.append(f"{'+' if item.active else '-'}{item.reason}")
        return said


@pytest.fixture
def stream() -> Stream:
    """A stream with nothing configured."""
    return Stream()


def steady(stream: Stream, until: int, *, seq: bool = False, start: int = 1) -> None:
    """Readings of one a second."""
    for t in range(start, until + 1):
        assert stream(t, seq=t if seq else None)[0].rstrip("*") == str(t)


# --------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), float("-inf")])
def test_no_value_is_held_and_masked_and_a_burst_of_them_is_told(stream: Stream, odd: float | None) -> None:
    """NaN, infinity and null are one thing: no value; the state never sees them."""
    steady(stream, 2)
    said = [stream(t, a=float(t), b=odd) for t in range(3, 8)]

    assert [["3"], ["4"], ["5"], ["6", "+missing"], ["7"]] == said
    assert (7.0, -2.0) == stream.frames[-1].values
    assert (False, True) == stream.frames[-1].masked
    assert ["8", "-missing"] == stream(8)


def test_value_out_of_its_range_is_masked_and_told() -> None:
    """Never clipped, never a step: the channel keeps its last possible value."""
    stream = Stream(limits=(-10.0, 10.0))
    steady(stream, 3)

    assert ["4", "+out_of_range"] == stream(4, a=11.0, b=0.0)
    assert ((3.0, 0.0), (True, False)) == (stream.frames[-1].values, stream.frames[-1].masked)
    assert ["5", "-out_of_range"] == stream(5)


def test_stuck_channel_is_told_where_the_site_watches_it() -> None:
    """After more frames with one value than allowed; another value ends it."""
    stream = Stream(flatline={"a": 3, "unknown": 2})
    said = [stream(t, a=1.0, b=1.0) for t in range(1, 6)]

    assert [["1*"], ["2"], ["3"], ["4", "+stuck"], ["5"]] == said
    assert ("a", "a reads 1 V for 4 frames") == (stream.events[-1].channel, stream.events[-1].detail)
    assert ["6", "-stuck"] == stream(6, a=2.0, b=1.0)


def test_frames_without_the_channel_neither_count_nor_end_a_stuck_one() -> None:
    """A value that was held is no value."""
    stream = Stream(flatline={"a": 2})
    said = [
        stream(t, a=value, b=float(t)) for t, value in enumerate([1.0, None, None, 1.0, None, 1.0], start=1)
    ]

    assert [["1*"], ["2"], ["3"], ["4"], ["5"], ["6", "+stuck"]] == said


def test_resting_channel_is_not_stuck_unasked(stream: Stream) -> None:
    """A switch, a set point, a pump that is off: nothing says how long they may rest."""
    for t in range(1, 500):
        stream(t, a=1.0, b=1.0)

    assert [] == stream.events


# -------------------------------------------------------------------------------------------- repeats


def test_repeat_does_nothing_wherever_it_comes(stream: Stream) -> None:
    """Redelivery of the newest, and of an older reading."""
    steady(stream, 20)
    before = msgspec.msgpack.encode(stream.memory)

    assert ["duplicate"] == stream(20, at=20.5)
    assert ["duplicate"] == stream(10, at=21)
    assert before == msgspec.msgpack.encode(stream.memory)


def test_repeat_of_a_part_does_not_close_the_frame(stream: Stream) -> None:
    """One value a topic: a channel that is delivered twice is no new frame."""
    said = [stream(1, a=1.0), stream(1, a=1.0), stream(1, b=2.0), stream(1, a=1.0), stream(1, b=2.0)]

    assert [[], ["duplicate"], ["1*"], ["duplicate"], ["duplicate"]] == said


def test_same_number_or_time_with_other_values_is_a_conflict(stream: Stream) -> None:
    """A second source under one name, or a forged reading: told once, until 60 readings were sound."""
    steady(stream, 5, seq=True)

    assert ["+seq_conflict", "seq_conflict"] == stream(5, 99.0, seq=5)
    assert ["seq_conflict"] == stream(6, 99.0, seq=5)
    said = [stream(t, seq=t) for t in range(6, 67)]
    assert [["65", "-seq_conflict"][::-1]] == [told for told in said if len(told) > 1]


def test_same_time_with_other_values_is_a_conflict_without_numbers(stream: Stream) -> None:
    """The time is the identity where there is no number."""
    steady(stream, 5)

    assert ["+seq_conflict", "seq_conflict"] == stream(5, 99.0)
    assert ["6"] == stream(6)


def test_channel_with_two_values_at_one_time_is_a_conflict(stream: Stream) -> None:
    """Also while the frame still waits for others."""
    stream(1, a=1.0)

    assert ["+seq_conflict", "seq_conflict"] == stream(1, a=2.0)
    assert ["1*"] == stream(1, b=2.0)
    assert 1.0 == stream.frames[0].values[0]


def test_clock_coarser_than_the_readings_is_no_conflict_with_numbers(stream: Stream) -> None:
    """Ten readings a second with times in whole seconds: the number says that they are new."""
    said = [stream(t // 4, float(t), at=t / 4, seq=t) for t in range(4, 12)]

    assert 8 == len(stream.frames)
    assert all(len(told) == 1 for told in said)
    assert [4.0, 5, 6, 7, 8, 9, 10, 11] == [frame.values[0] for frame in stream.frames]


# ---------------------------------------------------------------------------------------------- order


def test_readings_within_the_window_are_put_in_order(stream: Stream) -> None:
    """They step when nothing older can come any more, and what came late is counted."""
    said = [stream(t, wait=2, at=n) for n, t in enumerate([1, 3, 2, 4, 6, 5, 7, 9, 8])]

    assert [[], [], ["+reordered"], ["1*"]] == said[:4]
    assert ["1*", "2", "3", "4", "5", "6"] == [word for told in said for word in told if word[0] != "+"]
    assert ["7", "8", "9"] == stream.tell(stream.aligner.flush(stream.memory, "p"))


def test_readings_that_wait_are_released_by_time(stream: Stream) -> None:
    """A source that stops does not keep its last readings waiting for ever."""
    stream(1, wait=2, at=1)
    stream(2, wait=2, at=2)

    assert [] == stream.tick(2.9)
    assert ["1*"] == stream.tick(3.0)
    assert ["2"] == stream.tick(4.0)


def test_reading_beyond_the_window_is_late(stream: Stream) -> None:
    """Below the watermark nothing steps, although its place may still be free."""
    stream(1, wait=2)
    stream(10, wait=2, at=10)

    assert ["late"] == stream(7.9, wait=2, at=10.1)
    assert [] != stream(8.0, wait=2, at=10.2)


def test_number_far_back_within_the_window_is_no_new_count(stream: Stream) -> None:
    """More than 64 numbers late, and not too late: it is put in order, and the count goes on."""
    said = [stream(t, seq=t, wait=200, at=n) for n, t in enumerate([1, *range(3, 101), 2, 101, 102])]

    assert [["+reordered"], [], []] == said[-3:]
    assert (102, 0b111) == (stream.memory.counts[0][0], stream.memory.counts[0][1] & 0b111)


def test_repeat_or_conflict_of_a_reading_that_waits(stream: Stream) -> None:
    """What waits is known as well as what stepped."""
    for t in range(1, 31):
        stream(t, wait=40)

    assert ["duplicate"] == stream(30, wait=40)
    assert ["duplicate"] == stream(3, wait=40)
    assert ["+seq_conflict", "seq_conflict"] == stream(3, 99.0, wait=40)


def test_window_holds_a_bounded_number(stream: Stream) -> None:
    """A flood within the window makes the oldest step, and costs no more memory."""
    for n in range(2000):
        stream(1 + n / 1000, float(n), wait=3600)

    assert (512, 1488) == (len(stream.memory.held), len(stream.frames))


def test_many_late_readings_are_told_once(stream: Stream) -> None:
    """Each is counted, ten of them are an event, and it ends."""
    steady(stream, 50)
    said = [stream(10 + n / 50, 99.0, at=51 + n / 1000) for n in range(20)]

    assert ["+late", "late"] == said[9]
    assert ["late"] * 19 == [told[0] for n, told in enumerate(said) if n != 9]
    said = [stream(t) for t in range(51, 115)]
    assert ["-late", "110"] == said[59]


# ----------------------------------------------------------------------------------------------- gaps


def test_short_gap_is_counted_and_the_state_goes_on(stream: Stream) -> None:
    """More than three usual steps without a reading, or numbers that were skipped."""
    steady(stream, 20, seq=True)

    assert ["+short_gap", "25"] == stream(25, seq=25)
    assert ["+short_gap", "26"] == stream(26, seq=27)
    assert ["27"] == stream(27, seq=28)
    assert 22 == stream.frames[-1].tick


def test_gap_starts_the_state_anew(stream: Stream) -> None:
    """Longer than the bundle allows."""
    steady(stream, 20)

    assert ["+gap", "31*"] == stream(31)


# --------------------------------------------------------------------------------------------- clocks


@pytest.mark.parametrize(("back", "anew"), [(5, False), (3600, True)])
def test_source_clock_set_back_is_followed_after_three_readings(
    stream: Stream, back: int, *, anew: bool
) -> None:
    """Two are late; the third agrees with the pace of arrival. By less than a gap the state is kept."""
    steady(stream, 100)
    said = [stream(100 + n - back + 0.25, at=100 + n) for n in (1, 2, 3, 4)]

    third = f"{103 - back + 0.25:g}"
    assert [["late"], ["late"]] == said[:2]
    assert (["+clock_jump", "+gap", f"{third}*"] if anew else ["+clock_jump", third]) == said[2]
    assert [f"{104 - back + 0.25:g}"] == said[3]
    assert 1 == stream.memory.epoch


def test_source_clock_set_back_is_followed_at_once_with_numbers(stream: Stream) -> None:
    """The number says that it is the next one, so no reading is lost."""
    steady(stream, 20, seq=True)

    assert ["+clock_jump", "15.5"] == stream(15.5, at=21, seq=21)
    assert ["16.5"] == stream(16.5, at=22, seq=22)


def test_source_clock_set_back_with_one_value_a_topic(stream: Stream) -> None:
    """Readings of one time count once for the proof."""
    for t in range(1, 50):
        stream(t, at=t, a=1.0)
        stream(t, at=t + 0.01, b=1.0)
    said = []
    for n in range(50, 55):
        said += stream(n - 30.5, at=n, a=1.0) + stream(n - 30.5, at=n + 0.01, b=1.0)

    assert ["late"] * 4 + ["+clock_jump", "+gap", "21.5*", "22.5", "23.5"] == said


def test_proof_of_a_set_clock_starts_anew_with_an_older_reading(stream: Stream) -> None:
    """Set back once more: the three are those of the newest setting."""
    steady(stream, 50)
    times = [30.5, 31.5, 20.5, 21.5, 22.5]
    said = [stream(t, at=51 + n) for n, t in enumerate(times)]

    assert [["late"]] * 4 == said[:4]
    assert ["+clock_jump", "+gap", "22.5*"] == said[4]


def test_repeat_does_not_disturb_the_proof_of_a_set_clock(stream: Stream) -> None:
    """Also that of a reading which was late itself."""
    steady(stream, 50)
    said = [stream(t, at=51 + n) for n, t in enumerate([30.5, 31.5, 30.5, 33.5])]

    assert [["late"], ["late"], ["duplicate"], ["+clock_jump", "+gap", "33.5*"]] == said


def test_backlog_that_comes_late_is_no_set_clock(stream: Stream) -> None:
    """A heap of old readings does not arrive at the pace of its times."""
    steady(stream, 100)
    said = [stream(10.5 + n, at=101 + n / 1000) for n in range(40)]

    assert all(told[-1] == "late" for told in said)
    assert ["101"] == stream(101, at=101.5)[-1:]
    assert 0 == stream.memory.epoch


def test_late_source_beside_a_good_one_is_no_set_clock(stream: Stream) -> None:
    """A second publisher whose clock is slow: its readings are late one by one."""
    for t in range(1, 100):
        assert [f"{t}"] == [word.rstrip("*") for word in stream(t) if word[0] not in "+-"]
        if t > 20:
            assert "late" == stream(t - 15.5, at=t + 0.1)[-1]

    assert 0 == stream.memory.epoch


def test_clock_that_falls_back_a_little_is_late_only(stream: Stream) -> None:
    """Within the tolerance, which is a period where nothing else is said."""
    stream = Stream(clock_tolerance_s=30)
    steady(stream, 50)
    said = [stream(50 + n - 20.5, at=50 + n) for n in range(1, 20)]

    assert {"late"} == {told[-1] for told in said}
    assert 0 == stream.memory.epoch


def test_one_reading_from_far_ahead_does_not_stop_the_stream(stream: Stream) -> None:
    """An hour ahead of our clock: turned away and told, and the next reading is as good as ever."""
    steady(stream, 20)

    assert ["+future", "future"] == stream(3621, at=21)
    assert ["22"] == stream(22)
    assert ["-future", "81"] == [stream(t) for t in range(23, 82)][-1]


def test_source_clock_set_ahead_is_followed_after_three_readings(stream: Stream) -> None:
    """Three that agree with the pace of arrival are a clock, wrong or right."""
    steady(stream, 20)
    said = [stream(3600 + t, at=t) for t in (21, 22, 23, 24)]

    assert [["+future", "future"], ["future"]] == said[:2]
    assert ["+clock_jump", "+gap", "3623*"] == said[2]
    assert ["3624"] == said[3]


def test_clock_that_was_behind_and_is_set_right_is_a_gap(stream: Stream) -> None:
    """A source that woke in the past and found the time: it does not lead our clock, so it is believed."""
    for t in range(1, 10):
        stream(t - 86_400, at=t)

    assert ["+gap", "10*"] == stream(10, at=10.1)


def test_clock_of_ours_that_was_never_set_judges_nobody(stream: Stream) -> None:
    """In 1970 everything is in the future."""
    for t in range(1, 5):
        stream(t, at=t - NOW / NS + 1000)

    assert ["+gap", "5000*"] == stream(5000, at=5 - NOW / NS + 1000)


def test_source_that_always_leads_is_believed_after_a_pause(stream: Stream) -> None:
    """Its clock is an hour ahead since it was first heard; a pause is a gap and no leap."""
    for t in range(1, 20):
        stream(3600 + t, at=t)

    assert ["+gap", "3650*"] == stream(3650, at=50)


def test_number_in_a_recording_does_not_follow_a_clock(stream: Stream) -> None:
    """Without times of arrival there is nothing to hold a clock against."""
    said = []
    for seq, t in enumerate([20, 21, 3, 4, 5, 6]):
        reading = Reading("p", NOW + t * NS, {"a": 1.0, "b": float(t)}, seq)
        said.append(stream.tell(stream.aligner.push(stream.memory, reading)))

    assert [["20*"], ["21"], ["late"], ["late"], ["late"], ["late"]] == said


def test_readings_of_one_message_follow_a_clock_by_their_numbers(stream: Stream) -> None:
    """They share a time of arrival."""
    steady(stream, 20, seq=True)
    said = [stream(t, at=30, seq=seq) for seq, t in enumerate([21, 22, 15.5, 16.5], start=21)]

    assert [["21"], ["22"], ["+clock_jump", "15.5"], ["16.5"]] == said


def test_recording_has_no_arrival_and_no_clock(stream: Stream) -> None:
    """Readings of a file are held against each other only."""
    stream.aligner.push(stream.memory, Reading("p", NOW, {"a": 1.0, "b": 1.0}))
    later = Reading("p", NOW + 86_400 * NS, {"a": 1.0, "b": 1.0})

    assert ["+gap", "86400*"] == stream.tell(stream.aligner.push(stream.memory, later))
    assert [] == stream.tick(1e9)


# -------------------------------------------------------------------------------------------- numbers


def test_counter_that_starts_anew_is_told_and_goes_on(stream: Stream) -> None:
    """A restart is a gap: short ones keep the state, long ones reset it."""
    steady(stream, 20, seq=True)

    assert ["+source_restart", "22"] == stream(22, seq=0)
    assert ["23"] == stream(23, seq=1)
    assert ["+gap", "60*"] == stream(60, seq=0)
    said = [stream(t, seq=t - 60) for t in range(61, 125)]
    assert [["-source_restart", "119"]] == [told for told in said if len(told) > 1]


def test_two_sources_that_count_apart_are_told_once(stream: Stream) -> None:
    """Every second reading starts the count anew, and is scored: their times are in order."""
    steady(stream, 10)
    said = [stream(11 + n / 2, seq=n // 2 + 1000 * (n % 2)) for n in range(100)]

    assert 1 == sum("+source_restart" in told for told in said)
    assert 110 == len(stream.frames)


def test_counter_that_wraps_round_goes_on(stream: Stream) -> None:
    """255 and then 0, as eight bits count."""
    said = [stream(t, seq=t % 256) for t in range(250, 262)]

    assert [] == [word for told in said for word in told if word[0] == "+"]
    assert 12 == len(stream.frames)


def test_restart_with_the_clock_in_the_past(stream: Stream) -> None:
    """A board without a battery clock: the count and the time start anew."""
    steady(stream, 200, seq=True)
    said = [stream(n - 86_400, at=200 + n, seq=n) for n in range(1, 5)]

    assert [["late"], ["late"]] == said[:2]
    assert ["+clock_jump", "+gap", "-86397*"] == said[2]
    assert ["-86396"] == said[3]


def test_numbers_without_times_tell_repeats(stream: Stream) -> None:
    """Readings of the time of arrival: the number alone is the identity."""

    def push(arrived: float, seq: int) -> list[str]:
        return stream(arrived, float(seq), at=arrived, seq=seq)

    assert ["1*"] == push(1, 7)
    assert ["2"] == push(2, 8)
    assert [["duplicate"], ["duplicate"]] == [push(2.1, 7), push(2.2, 8)]
    assert ["+short_gap", "3"] == push(3, 12)
    assert ["late"] == push(3.1, 10)
    assert ["duplicate"] == push(3.2, 10)
    assert ["4"] == push(4, 13)
    for n in range(14, 200):
        push(n, n)
    assert ["+source_restart", "200"] == push(200, 0)


def test_number_that_is_none_is_ignored(stream: Stream) -> None:
    """What cannot be a count, or be written down, counts nothing."""
    said = [stream(t, seq=seq) for t, seq in enumerate([-1, 2**70, -1], start=1)]

    assert [["1*"], ["2"], ["3"]] == said
    msgspec.msgpack.encode(stream.memory)


# -------------------------------------------------------------------------------------------- silence


def test_silence_begins_after_ten_usual_steps_and_ends_with_a_reading(stream: Stream) -> None:
    """Told by our clock's ticks, once; the estimate is of the stream itself."""
    steady(stream, 100)

    assert [] == stream.tick(109)
    assert ["+silent"] == stream.tick(112)
    assert [] == stream.tick(200)
    assert ["-silent", "+gap", "300*"] == stream(300)
    assert ["301"] == stream(301)


def test_slow_stream_is_silent_later(stream: Stream) -> None:
    """Usual is what the stream does, where that is slower than the bundle's period."""
    for n in range(200):
        stream(n * 5)

    assert [] == stream.tick(995 + 45)
    assert ["+silent"] == stream.tick(995 + 60)


def test_silence_as_configured() -> None:
    """In seconds, or never."""
    fixed, never = Stream(silent_after_s=3), Stream(silent_after_s=0)
    fixed(1)
    never(1)

    assert [[], ["+silent"]] == [fixed.tick(4), fixed.tick(4.1)]
    assert [] == never.tick(1e6)


def test_asset_that_never_sent_anything_is_not_silent(stream: Stream) -> None:
    """There is nothing to miss."""
    assert [] == stream.tick(1e6)


def test_silence_of_ours_is_none_of_the_sensor(stream: Stream) -> None:
    """After an hour without a broker the sensors have their time to be heard."""
    steady(stream, 100)

    assert [] == stream.tick(3700, since_s=3695)
    assert ["+silent"] == stream.tick(3710, since_s=3695)


def test_late_readings_are_no_silence(stream: Stream) -> None:
    """A sensor whose clock is wrong is not gone."""
    stream = Stream(clock_tolerance_s=3600)
    steady(stream, 50)
    for n in range(20):
        stream(10.5 + n, at=51 + n)

    assert [] == stream.tick(75)


def test_memory_is_small_and_bounded(stream: Stream) -> None:
    """Whatever one stream does, what it costs does not grow with time."""
    sizes = []
    for t in range(1, 3000):
        stream(t, seq=t)
        stream(t - 700.5, at=t)
        stream(t, 9.0, at=t, seq=t)
        sizes.append(len(msgspec.msgpack.encode(stream.memory)))

    assert max(sizes) < 600
    assert isinstance(stream.memory, AlignMemory)
