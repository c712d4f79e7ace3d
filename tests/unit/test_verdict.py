"""A difference counts when it is more than chance; in a draw the simpler one is enough."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.verdict import Finds, Verdict, decide

FAULTS, RUNS = 700, 50
KIND = np.arange(FAULTS) % 7
TWIN = np.random.default_rng(5).integers(RUNS, size=FAULTS)
LUCK = np.random.default_rng(6).random(FAULTS)
COST = {"lstm": 2000.0, "ewma": 3.0, "pca": 30.0, "var": 100.0, "ensemble": 2200.0}


def verdict(**shares: float) -> Verdict:
    """The verdict on candidates that find these shares of the faults, the easy ones first."""
    finds = {name: Finds(share > LUCK, COST[name], f"members: [{name}]") for name, share in shares.items()}
    return decide(finds, KIND, TWIN)[0]


@pytest.mark.parametrize(
    ("shares", "winner", "ship", "beats"),
    [
        ({"lstm": 0.8, "var": 0.6, "ewma": 0.3}, "lstm", "lstm", ()),
        ({"lstm": 0.6, "var": 0.8, "ewma": 0.3}, "var", "var", ("var",)),
        ({"lstm": 0.3, "var": 0.8, "ewma": 0.6}, "var", "var", ("var", "ewma")),
        ({"lstm": 0.7, "var": 0.7, "ewma": 0.3}, "var", "var", ()),
        ({"lstm": 0.7, "ensemble": 0.7, "ewma": 0.3}, "lstm", "lstm", ()),
        ({"lstm": 0.5, "ensemble": 0.8, "var": 0.8}, "var", "var", ("var", "ensemble")),
        ({"lstm": 0.70, "ewma": 0.715}, "ewma", "ewma", ()),
    ],
)
def test_verdict_names_what_to_ship(
    shares: dict[str, float], winner: str, ship: str, beats: tuple[str, ...]
) -> None:
    """Winner, what to ship and who beats the LSTM; the sentences name it as the setting to write."""
    said = verdict(**shares)

    assert (winner, ship, beats) == (said.winner, said.ship, said.beats_lstm)
    assert f"ship `members: [{ship}]`" in said.sentences[0]
    assert ("instead" in said.sentences[0]) == (ship != "lstm")


def test_sentence_gives_both_shares() -> None:
    """When a baseline beats the LSTM the report says by how much, in plain words."""
    said = verdict(lstm=0.6, var=0.8, pca=0.7)

    assert said.sentences[0].startswith("The VAR finds ")
    assert "% of the injected faults, the LSTM " in said.sentences[0]
    assert said.sentences[1].startswith("Alone, the VAR follows from its first reading")
    assert said.sentences[2].startswith("More than the LSTM as well: the PCA ")
    assert not any("follows" in one for one in verdict(lstm=0.6, pca=0.8).sentences)


def test_draw_says_that_the_simpler_one_is_enough() -> None:
    """Equal finds: the cheaper candidate is named, the dearer one is not a loser."""
    said = verdict(lstm=0.7, ewma=0.7)

    assert ("lstm",) == said.draws
    assert "within the noise, the EWMA is enough" in said.sentences[0]


def test_noise_is_not_a_win() -> None:
    """Candidates of the same skill and luck of their own draw in nearly all of 40 contests."""
    rng = np.random.default_rng(1)
    wins = 0
    for _ in range(40):
        finds = {
            name: Finds(rng.random(FAULTS) < 0.5, cost, name) for name, cost in (("lstm", 2.0), ("var", 1.0))
        }
        wins += bool(not decide(finds, KIND, TWIN)[0].draws)

    assert wins <= 6


def test_faults_of_one_run_are_not_independent() -> None:
    """A lead that rests on few runs is wider in doubt than the same lead spread over all."""
    lucky_runs = TWIN < 0.1 * RUNS
    spread_out = np.random.default_rng(2).permutation(lucky_runs)
    nothing = Finds(np.zeros(FAULTS, bool), 1.0, "")

    widths = []
    for found in (lucky_runs, spread_out):
        interval = decide({"lstm": Finds(found, 1.0, ""), "ewma": nothing}, KIND, TWIN)[1]["lstm"]
        assert interval is not None
        assert interval[1] <= interval[0] <= interval[2]
        widths.append(interval[2] - interval[1])

    assert widths[0] > 2 * widths[1]


def test_share_is_the_mean_over_kinds() -> None:
    """A kind with many faults does not outweigh one with few."""
    kind = np.r_[np.zeros(600, int), np.ones(100, int)]
    interval = decide({"lstm": Finds(kind == 1, 1.0, "")}, kind, TWIN)[1]["lstm"]

    assert interval is not None
    assert pytest.approx(0.5) == interval[0]


def test_too_few_runs_have_no_winner() -> None:
    """Of four runs nobody can tell chance from skill."""
    finds = {"lstm": Finds(LUCK > 2, 2.0, ""), "var": Finds(LUCK < 0.9, 1.0, "")}
    said, _ = decide(finds, KIND, TWIN % 4)

    assert (None, "lstm", ()) == (said.winner, said.ship, said.beats_lstm)
    assert "only 4 runs" in said.sentences[0]


def test_nobody_finds_anything() -> None:
    """When all are blind there is no winner, not even the cheapest."""
    said = verdict(lstm=0.01, ewma=0.01, var=0.03)

    assert (None, "lstm") == (said.winner, said.ship)
    assert "No candidate finds more than" in said.sentences[0]
