"""Flip Bagel: its judge on hand-made signals, its scenes, and a person's grasp of them."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import TICKS, Signals, let_go, moved, persons, taken

from deft_env.episode import EpisodeKey
from deft_env.sim.controls import ControlOptions
from deft_env.tasks import demonstrations, flip_bagel
from deft_env.tasks.flip_bagel import FlipBagel


def flipped(turned_deg: float = 180.0) -> Signals:
    """An episode as sensors see it: the blade lifts the bagel, which turns by ``turned_deg`` and comes to rest."""
    signals = taken()
    share = moved(100.0)
    angle = np.deg2rad(turned_deg) * share
    bagel = np.column_stack([np.full(TICKS, 0.6), np.zeros(TICKS), 0.009 + 0.06 * np.sin(np.pi * share)])
    return signals | {
        "bagel/position": bagel,
        "bagel/up": np.column_stack([np.zeros(TICKS), np.sin(angle), np.cos(angle)]),
        "bagel/table": np.zeros((TICKS, 1)),
        "bagel/pan": (share[:, None] >= 1.0).astype(float),
    }


def test_a_flipped_bagel_is_a_success() -> None:
    task, signals = FlipBagel(), flipped()
    assert task.success(signals)
    assert task.score(signals) == pytest.approx(1.0)
    assert all(task.subgoals(signals).values())


def test_a_bagel_that_falls_back_on_its_side_is_a_failure() -> None:
    task, signals = FlipBagel(), flipped()
    signals["bagel/up"][-40:] = [0.0, 0.0, 1.0]
    assert not task.success(signals)
    assert task.score(signals) == pytest.approx(0.55)
    assert [name for name, reached in task.subgoals(signals).items() if not reached] == [
        "left it with the other side up"
    ]


def test_a_bagel_that_leans_on_the_blade_is_not_flipped() -> None:
    assert not FlipBagel().success(flipped(turned_deg=110.0))


def test_the_score_grows_with_the_turn() -> None:
    scores = [FlipBagel().score(flipped(angle)) for angle in (0.0, 45.0, 90.0, 130.0)]
    assert np.all(np.diff(scores) > 0.05)


def test_a_bagel_that_is_still_turning_over_is_not_flipped() -> None:
    signals = flipped()
    signals["bagel/up"][-6:] = [0.0, 1.0, 0.0]
    assert not FlipBagel().success(signals)


def test_a_bagel_flipped_on_to_the_table_counts_but_scores_less() -> None:
    task, signals = FlipBagel(), flipped()
    signals["bagel/pan"][:] = 0
    signals["bagel/table"][-60:] = 1
    assert task.success(signals), "the paper asks for the side alone"
    assert task.score(signals) == pytest.approx(0.9)
    assert not task.subgoals(signals)["left it in the pan"]


def test_a_spatula_that_was_dropped_costs_the_share_of_the_way_that_it_lay() -> None:
    start = ControlOptions().phases["trajectory"][0]
    assert FlipBagel().score(let_go(flipped(), start + 70)) < 0.95


def test_a_spatula_that_was_never_touched_scores_nothing() -> None:
    signals = let_go(flipped(turned_deg=0.0), 0)
    assert FlipBagel().score(signals) == 0.0


def test_pan_spatula_and_bagel_turn_as_one_group() -> None:
    task = FlipBagel()
    for k in range(20):
        scene = task.draw(EpisodeKey("FlipBagel", "test", "train", 3, k))
        for first, second in (("pan", "spatula"), ("spatula", "bagel")):
            gap = scene.poses[second][0] - scene.poses[first][0]
            assert np.abs(gap[:2]).max() <= np.sqrt(2) * flip_bagel.JITTER_M
        np.testing.assert_allclose(scene.poses["pan"][1], scene.poses["spatula"][1])


def test_the_demonstration_file_is_what_the_script_makes() -> None:
    np.testing.assert_array_equal(FlipBagel().demonstration.displacements, demonstrations.PATHS["FlipBagel"]())


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_persons_grasp_flips(split: str) -> None:
    outcomes = persons("FlipBagel", split, 6)
    assert sum(bool(outcome.success) for outcome in outcomes) >= 5
