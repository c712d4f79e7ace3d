from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.contracts.alert import Alert, AlertModel, AlertState, Contributor
from edge_lstm.contracts.manifest import Channel
from trainer.pages.embed import Packed
from trainer.pages.replay import MAX_LISTED
from trainer.report import (
    AssetRecording,
    Calibration,
    ChannelFit,
    Contested,
    Curve,
    Episode,
    Fit,
    HeldOut,
    LossCurve,
    Parity,
    RateCurve,
    Recording,
    TrainingReport,
    episodes_of,
    rate_of_peaks,
    render_replay,
    render_training,
)

START = 1_783_677_600_000_000_000
HOSTILE = "\"'><img src=x onerror=alert(1)></script><script>alert(2)</script><!--{{title}}&amp;\u2028"


class Page(HTMLParser):
    """What a browser would make of a page: elements, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element with its attributes."""
        self.open = tag
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Forget which element the text belongs to."""
        self.open = self.open if tag != self.open else ""

    def handle_data(self, data: str) -> None:
        """Keep text under the element it stands in."""
        self.texts.setdefault(self.open, []).append(data)

    def count(self, name: str) -> int:
        """How often an element occurs."""
        return sum(1 for tag, _ in self.tags if tag == name)


def make_asset(name: str = "pump-1", *, rows: int = 400, channels: int = 2) -> AssetRecording:
    """An asset with one episode, a missing stretch, a warm-up and a gap of an hour."""
    rng = np.random.default_rng(rows)
    times = START + np.arange(rows, dtype=np.int64) * 1_000_000_000
    times[rows // 2 :] += 3_600_000_000_000
    actual = rng.normal(size=(rows, channels))
    actual[rows // 4 : rows // 3, 0] = np.nan
    status = np.full(rows, "normal", dtype="U8")
    status[:20] = "warming"
    status[300:320] = "open"
    score = rng.random(rows)
    score[300:320] += 3.0
    episode = Episode(
        started_ns=int(times[300]),
        ended_ns=int(times[320]),
        peak=float(score.max()),
        threshold=1.5,
        severity="major",
        contributors=(Contributor("flow", 0.75, 4.0, 2.0, "l/min"), Contributor("load", 0.001, 1.0, 1.0)),
        text="pump-1: flow is 4 l/min",
    )
    return AssetRecording(
        asset=name,
        time_ns=times,
        actual=actual,
        expected=actual * 0.5,
        score=score,
        threshold=np.full(rows, 1.5),
        status=status.tolist(),
        episodes=(episode,),
    )


def make_recording(*assets: AssetRecording, name: str = "flow") -> Recording:
    """A recording of two channels."""
    return Recording(
        title="Replay of pump-1",
        channels=(Channel(name, "l/min"), Channel("load")),
        assets=assets or (make_asset(),),
        meta={"Model": "pump 1.0.0"},
        gap_after_s=60.0,
    )


def make_report(rows: int = 20_000, text: str = "flow") -> TrainingReport:
    """A report with every part and one text everywhere."""
    score = np.random.default_rng(3).gumbel(0.3, 0.08, size=rows)
    fit = Fit(0.01, 0.1, 0.08, 0.93)
    fitted = RateCurve(np.linspace(0.5, 1.4, 5000), np.geomspace(4000, 0.5, 5000))
    return TrainingReport(
        title=text,
        facts={text: text},
        profile=[
            {"column": text, "missing": 3, "lowest": -1.25, "flat": True},
            {"column": "load", "late": text},
        ],
        warnings=[text],
        loss=LossCurve(steps=[1, 2, 3], train=[3.0, 1.0, 0.1], held_out=[3.1, 1.2, 0.4], best=2),
        fits=[ChannelFit(text, text, fit, fit)] * 8,
        held_out=HeldOut(
            time_ns=START + np.arange(rows) * 10**9, score=score, threshold=1.1, starts=(0, 500)
        ),
        parity=Parity(
            figures={text: 0.95},
            float_score=score,
            int8_score=score * 1.01,
            step=np.arange(1.0, 5.0),
            error=np.full(4, 0.1),
            by_channel={text: 0.2},
        ),
        calibration=Calibration(
            score=score,
            level=1.1,
            budget_per_month=2,
            expected_per_month=1.5,
            extrapolated=True,
            counted=rate_of_peaks(np.sort(score)[-500:], readings=rows, period_s=1.0),
            fitted=fitted,
        ),
        limits=[text],
        contest=Contested(
            sentences=[text],
            lead=text,
            head=["candidate", text],
            rows=[[text, "80 %"], ["ewma", "-"]],
            shares=[0.8, 0.0],
            curves=[Curve(text, [1.0, 2.0, 8.0], [0.1, 0.5, 1.0]), Curve("PCA", [1.0, 8.0], [0.0, 0.25])],
        ),
    )


def data_of(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


def floats_of(packed: Packed, rows: int) -> NDArray[np.float64]:
    """What the page's script makes of packed numbers."""
    if "value" in packed:
        return np.full(rows, np.nan if packed["value"] is None else packed["value"], dtype=np.float64)
    stored = np.frombuffer(base64.b64decode(str(packed["data"])), dtype="<f4").astype(np.float64)
    return stored + float(str(packed["offset"]))


def times_of(packed: Packed, rows: int) -> NDArray[np.float64]:
    """What the page's script makes of packed times: milliseconds after the first."""
    steps = np.full(max(rows - 1, 0), packed.get("value", 0), dtype=np.float64)
    if "data" in packed:
        steps = np.frombuffer(base64.b64decode(str(packed["data"])), dtype=f"<{packed['kind']}").astype(float)
    return np.asarray(np.concatenate(([0.0], np.cumsum(steps))) * float(str(packed["unit"])))


PAGES = {
    "replay": lambda: render_replay(make_recording()),
    "replay-hostile": lambda: render_replay(
        make_recording(make_asset(HOSTILE), name="https://example.org/x.js")
    ),
    "training": lambda: render_training(make_report()),
    "training-bare": lambda: render_training(TrainingReport(title="http://example.org")),
}


@pytest.mark.parametrize("name", PAGES)
def test_page_refers_to_nothing_outside(name: str) -> None:
    """No element, style or script of a page can make a browser ask for anything."""
    text = PAGES[name]()
    page = Page(text)
    loading = {"src", "href", "srcset", "action", "formaction", "data", "poster", "xlink:href", "background"}
    code = " ".join(page.texts.get("style", []) + page.texts.get("script", [])[-1:])

    assert [] == [(tag, attrs) for tag, attrs in page.tags if loading & set(attrs)]
    assert [] == [tag for tag, _ in page.tags if tag in {"link", "img", "iframe", "object", "embed", "base"}]
    assert [] == re.findall(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|import\(|//[a-z]+\.", code)


@pytest.mark.parametrize("name", PAGES)
def test_page_forbids_everything_but_its_own_script(name: str) -> None:
    """The policy starts from nothing and allows exactly the script in the page, by digest."""
    text = PAGES[name]()
    policy = next(attrs["content"] for _, attrs in Page(text).tags if "http-equiv" in attrs)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode() if script else ""

    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith(f"script-src 'sha256-{digest}'" if script else "script-src 'none'")


def test_replay_escapes_every_name() -> None:
    """Hostile text in any field stays text, in the markup and in the data."""
    episode = replace(make_asset().episodes[0], text=HOSTILE, severity=HOSTILE)
    episode = replace(episode, contributors=(Contributor(HOSTILE, 0.9, 1.0, 2.0, HOSTILE),))
    asset = replace(make_asset(HOSTILE), episodes=(episode,), status=[HOSTILE] * 400)
    recording = replace(
        make_recording(asset, make_asset(), name=HOSTILE), title=HOSTILE, meta={HOSTILE: HOSTILE}
    )

    text = render_replay(recording)

    page, data = Page(text), data_of(text)
    assert 2 == page.count("script")
    assert 0 == page.count("img")
    assert [] == [key for _, attrs in page.tags for key in attrs if key.startswith("on")]
    assert HOSTILE == "".join(page.texts["h1"])
    assert (HOSTILE, HOSTILE) == (data["assets"][0]["name"], data["channels"][0]["name"])


def test_training_escapes_every_name() -> None:
    """Hostile text in any field of a training report stays text."""
    page = Page(render_training(make_report(200, HOSTILE)))

    assert (0, 0) == (page.count("script"), page.count("img"))
    assert [] == [key for _, attrs in page.tags for key in attrs if key.startswith("on")]
    assert HOSTILE == "".join(page.texts["h1"])


def test_pages_same_input_same_bytes() -> None:
    """A page depends on its input alone, so that a bundle with it can be built again."""
    assert render_training(make_report()) == render_training(make_report())
    assert render_replay(make_recording()) == render_replay(make_recording())


def test_training_stays_small() -> None:
    """20,000 held-out rows and long curves fit into 400 kB."""
    assert len(render_training(make_report(20_000)).encode()) < 400_000


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_training_with_few_rows_is_drawn(rows: int) -> None:
    """Hardly any data gives a page, not an error."""
    report = make_report(rows)
    single = LossCurve(steps=[1], train=[0.5], held_out=[0.6], best=0)

    assert "Score on the history" in render_training(replace(report, loss=single))


def test_training_leaves_out_what_is_missing() -> None:
    """Parts without data have no heading."""
    page = Page(render_training(TrainingReport(title="bare", limits=["Knows one operating point."])))

    assert ["Limits"] == page.texts["h2"]


def test_replay_embeds_what_was_recorded() -> None:
    """Values, times, statuses, gaps and episodes come back from the page as they went in."""
    asset = make_asset()

    packed = data_of(render_replay(make_recording(asset)))["assets"][0]

    np.testing.assert_allclose(floats_of(packed["actual"][1], 400), asset.actual[:, 1], atol=1e-6)
    np.testing.assert_array_equal(np.isnan(floats_of(packed["actual"][0], 400)), np.isnan(asset.actual[:, 0]))
    np.testing.assert_array_equal(times_of(packed["time"], 400), (asset.time_ns - START) / 1e6)
    assert [[0, "warming"], [20, "normal"], [300, "open"], [320, "normal"]] == packed["status"]
    assert [200] == packed["breaks"]
    assert [[3_900_000.0, 3_920_000.0]] == packed["episodes"]


def test_replay_of_too_many_rows_keeps_extremes_and_says_so() -> None:
    """A thinned recording has every line's extremes, its turns and its gaps, and a note."""
    asset = make_asset(rows=20_000)

    text = render_replay(make_recording(asset), max_values=5_000)

    packed = data_of(text)["assets"][0]
    rows = packed["rows"]
    score, times = floats_of(packed["score"], rows), times_of(packed["time"], rows)
    assert rows <= 1_100
    assert f"{rows:,} of 20,000 frames are drawn" in text
    assert pytest.approx((asset.score.min(), asset.score.max()), abs=1e-6) == (score.min(), score.max())
    assert ["warming", "normal", "open", "normal"] == [name for _, name in packed["status"]]
    assert 3_601_000.0 == np.diff(times)[packed["breaks"][0] - 1]


def test_replay_not_thinned_has_no_note() -> None:
    """A page with every frame does not claim that it was thinned."""
    assert "Thinned" not in render_replay(make_recording())


def test_replay_lists_the_highest_of_too_many_episodes() -> None:
    """Too many episodes: the highest are listed, all are drawn, and the page says so."""
    one = make_asset().episodes[0]
    many = tuple(replace(one, peak=float(peak)) for peak in range(MAX_LISTED + 5))

    text = render_replay(make_recording(replace(make_asset(), episodes=many)))

    listed = {attrs["data-episode"] for _, attrs in Page(text).tags if "data-episode" in attrs}
    assert {str(number) for number in range(5, MAX_LISTED + 5)} == listed
    assert MAX_LISTED + 5 == len(data_of(text)["assets"][0]["episodes"])
    assert f"highest of {MAX_LISTED + 5}" in text


def make_alert(
    kind: Literal["open", "update", "close"],
    *,
    score: float,
    severity: Literal["warning", "minor", "major", "critical"],
    ended: str | None = None,
    text: str = "",
) -> Alert:
    """One alert of the episode "one"."""
    return Alert(
        id="one",
        type=kind,
        kind="anomaly",
        severity=severity,
        text=text,
        time="2026-07-10T10:00:05.000Z",
        started="2026-07-10T10:00:00.000Z",
        ended=ended,
        node="gateway",
        asset="pump-1",
        score=score,
        threshold=1.0,
        ratio=score,
        peak=max(score, 2.0),
        contributors=[Contributor("flow", score / 10, 1.0, 2.0)],
        model=AlertModel("pump", "1", "00", "litert"),
        state=AlertState(60.0, "start"),
    )


def test_episodes_of_folds_alerts() -> None:
    """One episode has the worst severity, the highest peak, and the cause at its height."""
    alerts = [
        make_alert("open", score=1.1, severity="warning", text="early"),
        make_alert("update", score=4.0, severity="critical", text="at its height"),
        make_alert("close", score=0.2, severity="minor", ended="2026-07-10T10:01:00.000Z", text="over"),
    ]

    (episode,) = episodes_of(alerts)["pump-1"]

    assert (START, START + 60_000_000_000) == (episode.started_ns, episode.ended_ns)
    assert ("critical", 4.0, "at its height") == (episode.severity, episode.peak, episode.text)
    assert ("flow", 0.4) == (episode.contributors[0].channel, episode.contributors[0].share)


def test_episodes_of_open_episode_has_no_end() -> None:
    """An episode without a closing alert is open."""
    (episode,) = episodes_of([make_alert("open", score=1.1, severity="warning")])["pump-1"]

    assert episode.ended_ns is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": np.zeros(3)}, "score has 3 rows, time has 400"),
        ({"expected": np.zeros((400, 5))}, r"actual is \(400, 2\), expected \(400, 5\)"),
        ({"time_ns": np.zeros(400, dtype=np.int64)}, "time does not increase"),
    ],
)
def test_asset_recording_that_does_not_fit(change: dict[str, Any], message: str) -> None:
    """Arrays of different lengths or times out of order are refused where they are put together."""
    with pytest.raises(ValueError, match=message):
        replace(make_asset(), **change)


def test_recording_with_other_channels() -> None:
    """An asset of another model is refused."""
    with pytest.raises(ValueError, match="3 channels, not 2"):
        make_recording(make_asset(channels=3))


def test_rate_of_peaks_counts_down() -> None:
    """The lowest peak was passed by all clusters, the highest by one, scaled to 30 days."""
    curve = rate_of_peaks(np.array([3.0, 1.0, 2.0]), readings=15 * 86_400, period_s=1.0)

    assert ([1.0, 2.0, 3.0], [6.0, 4.0, 2.0]) == (curve.level.tolist(), curve.per_month.tolist())


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RECORDINGS = {
    "two-assets": make_recording(make_asset(), make_asset(HOSTILE, rows=6_000)),
    "long": make_recording(make_asset(rows=30_000)),
    "one-row": Recording(
        title="one",
        channels=(Channel("flow"),),
        assets=(
            AssetRecording(
                asset="a",
                time_ns=np.array([START]),
                actual=np.full((1, 1), np.nan),
                expected=np.ones((1, 1)),
                score=np.zeros(1),
                threshold=np.ones(1),
                status=["warming"],
            ),
        ),
    ),
    "no-row": replace(
        make_recording(),
        assets=(
            AssetRecording(
                asset="a",
                time_ns=np.zeros(0, dtype=np.int64),
                actual=np.zeros((0, 2)),
                expected=np.zeros((0, 2)),
                score=np.zeros(0),
                threshold=np.zeros(0),
                status=[],
            ),
        ),
    ),
    "no-asset": replace(make_recording(), assets=()),
}


@pytest.mark.skipif(BROWSER is None, reason="NOT TESTED: no Chromium here, so the page's script was not run")
@pytest.mark.parametrize("name", RECORDINGS)
def test_replay_draws_in_a_browser(name: str, tmp_path: Path) -> None:
    """The script runs to the end in a real browser under the page's own policy, without an error."""
    page = tmp_path / "replay.html"
    page.write_text(render_replay(RECORDINGS[name]), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--virtual-time-budget=10000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]

    found = subprocess.run(
        [str(BROWSER), *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )

    assert 'data-state="drawn"' in found.stdout, found.stderr[-2000:]
    assert re.search(r'id="fault"[^>]*hidden', found.stdout)
