from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer.runs import runs
from trainer.vus import average_precision, vus_pr

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def recording(
    seed: int, rows: int, events: list[tuple[int, int]], noise: float, *, ties: bool
) -> tuple[Bools, Floats]:
    """Labels, and a noisy score that sees them; what the expected values below were computed on."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(rows, np.bool_)
    for start, length in events:
        labels[start : start + length] = True
    score = rng.normal(size=rows) * noise + np.convolve(labels, np.ones(15) / 15, "same")
    return labels, np.asarray(np.round(score, 1) if ties else score, np.float64)


# Volume: computed once by the authors' own package, PyPI vus 0.0.6 (TheDatumOrg/VUS), RangeAUC_volume_opt
# with 250 thresholds and every buffer width. Area: average_precision_score of scikit-learn 1.9.1.
REFERENCE = {
    "one event": ((1, 600, [(250, 40)], 0.5), False, 100, 0.5167269475137516, 0.45878169183939566),
    "ties": ((2, 800, [(100, 30), (500, 5)], 0.7), True, 100, 0.3105850242811125, 0.23988890440937027),
    "neighbours": (
        (3, 700, [(200, 10), (230, 1), (236, 20), (300, 8), (390, 3)], 0.6),
        False,
        100,
        0.42969089194891974,
        0.2372569899906277,
    ),
    "both ends": ((4, 500, [(0, 12), (470, 30)], 0.8), False, 60, 0.3653419877650613, 0.2934350179363774),
    "short window": (
        (5, 400, [(50, 3), (120, 2), (300, 60)], 1.0),
        False,
        7,
        0.3595208991371817,
        0.37384493941221475,
    ),
    "odd window": (
        (6, 300, [(40, 3), (90, 2), (200, 60)], 1.0),
        False,
        31,
        0.5587465212272589,
        0.45347745082402324,
    ),
    "fewer rows than thresholds": (
        (7, 120, [(40, 3)], 1.0),
        False,
        20,
        0.21345797157758428,
        0.03715170278637771,
    ),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_vus_pr_agrees_with_its_authors(name: str) -> None:
    """The volume is the one that the authors' implementation gives, to rounding."""
    given_, ties, window, expected, _ = REFERENCE[name]
    labels, score = recording(*given_, ties=ties)

    assert vus_pr(labels, score, window=window) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_average_precision_agrees_with_scikit_learn(name: str) -> None:
    """The area is scikit-learn's, to rounding."""
    given_, ties, _, _, expected = REFERENCE[name]
    labels, score = recording(*given_, ties=ties)

    assert average_precision(labels, score) == pytest.approx(expected, abs=1e-12)


def test_perfect_score_has_the_whole_area_without_a_buffer() -> None:
    """Every labelled reading above every other: area and volume (window 0) are 1."""
    labels = np.zeros(400, np.bool_)
    labels[100:140] = True

    assert average_precision(labels, labels.astype(float)) == 1.0
    assert vus_pr(labels, labels.astype(float), window=0) == pytest.approx(1.0)


@given(
    labels=st.lists(st.booleans(), min_size=5, max_size=80).filter(any),
    seed=st.integers(0, 2**32 - 1),
    window=st.integers(0, 40),
    step=st.integers(1, 10),
)
def test_figures_depend_on_the_order_of_scores_only(
    labels: list[bool], seed: int, window: int, step: int
) -> None:
    """Any increasing transform of the score leaves both figures as they are, within 0 and 1."""
    mask = np.array(labels)
    score = np.round(np.random.default_rng(seed).normal(size=len(mask)), 1)
    figures = (vus_pr(mask, score, window=window, step=step), average_precision(mask, score))
    again = (vus_pr(mask, score**3, window=window, step=step), average_precision(mask, score**3))

    assert figures == again
    assert all(0 <= figure <= 1 + 1e-12 for figure in figures)


@pytest.mark.parametrize(
    ("labels", "score"),
    [(np.zeros(5, np.bool_), np.arange(5.0)), (np.ones(5, np.bool_), np.arange(4.0))],
    ids=["no label", "other length"],
)
def test_what_cannot_be_judged_is_refused(labels: Bools, score: Floats) -> None:
    """Without a labelled reading there is no recall, and no figure is made up."""
    for figure in (vus_pr, average_precision):
        with pytest.raises(ValueError, match="labels"):
            figure(labels, score)


@given(st.lists(st.booleans(), max_size=60))
def test_runs_cover_exactly_what_is_true(mask: list[bool]) -> None:
    """The stretches, painted again, give the mask back, and no two of them touch."""
    given_ = np.array(mask, np.bool_)
    starts, lasts = runs(given_)
    painted = np.zeros(len(given_), np.bool_)
    for start, last in zip(starts, lasts, strict=True):
        painted[start : last + 1] = True

    assert painted.tolist() == mask
    assert (starts[1:] > lasts[:-1] + 1).all()
