"""How well rewards rank success: the figure itself, its interval, and a whole small run."""

import numpy as np
import pytest

from deft_env.encoders import ranking


def test_auc_is_the_share_of_pairs_in_the_right_order():
    values = np.array([3.0, 1.0, 2.0, 0.0])
    assert ranking.auc(values, np.array([True, False, True, False])) == 1.0
    assert ranking.auc(values, np.array([False, True, False, True])) == 0.0
    assert ranking.auc(values, np.array([True, True, False, False])) == 0.75
    assert ranking.auc(np.zeros(4), np.array([True, True, False, False])) == 0.5
    assert np.isnan(ranking.auc(values, np.ones(4, bool)))


def test_intervals_hold_the_estimate_and_pair_the_rewards():
    rng = np.random.default_rng(0)
    success = rng.random(80) < 0.5
    good = success + rng.normal(0, 0.7, 80)
    found = ranking.Ranking(success, {"good": good, "same": good, "noise": rng.normal(size=80)})
    value, low, high = found.interval("good")
    assert 0.7 < low < value < high <= 1.0
    assert found.interval("good", "same") == (0.0, 0.0, 0.0)
    assert found.interval("good", "noise")[1] > 0.0


def test_a_small_run_prints_a_row_of_the_table(capsys):
    pytest.importorskip("mujoco")
    # The judge's own score ranks success perfectly.
    assert ranking.main(["PickCup", "--rewards", "oracle", "--scenes", "6"]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| PickCup | ")
    successes, played = (int(v) for v in row.split("|")[2].split(" of "))
    assert played <= 6
    assert successes in (0, played) or "1.00" in row


def test_the_split_decides_whose_objects_are_played():
    pytest.importorskip("mujoco")
    train, test = (ranking.rank("PickCup", ["oracle"], 4, 91, split).rated["oracle"] for split in ("train", "test"))
    assert len(train) != len(test) or (train != test).any()
