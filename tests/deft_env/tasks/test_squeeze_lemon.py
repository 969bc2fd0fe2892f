"""Squeeze Lemon: its two judges on hand-made signals, its scenes, and a person's grasp of them."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import TICKS, Signals, let_go, moved, persons, taken

from deft_env.episode import EpisodeKey
from deft_env.sim.controls import ControlOptions
from deft_env.tasks import demonstrations, squeeze_lemon
from deft_env.tasks.squeeze_lemon import SqueezeLemon


def squeezed(force_n: float = 8.0, aside_m: float = 0.005) -> Signals:
    """An episode as sensors would see it: the lemon is taken, carried over the reamer, and pressed on it."""
    signals = taken(("index", "middle", "ring", "thumb"))
    share = moved(110.0)
    lemon = np.column_stack([0.4 + 0.1 * share, aside_m * share, 0.035 + 0.12 * np.sin(0.93 * np.pi * share)])
    lemon[share >= 1.0, 2] = 0.074
    force = np.zeros((TICKS, 4))
    force[share >= 1.0] = [1, 0, 0, -force_n]
    return signals | {
        "lemon/position": lemon,
        "lemon/up": np.tile([0.0, 0.0, 1.0], (TICKS, 1)),
        "lemon/table": np.zeros((TICKS, 1)),
        "lemon/stand": (share[:, None] == 0).astype(float),
        "reamer/tip": np.tile([0.5, 0.0, 0.08], (TICKS, 1)),
        "reamer/force": force,
    }


def test_a_pressed_lemon_is_a_success() -> None:
    task, signals = SqueezeLemon(), squeezed()
    assert task.success(signals)
    assert task.pressed(signals)
    assert task.score(signals) == pytest.approx(1.0)
    assert all(task.subgoals(signals).values())


def test_a_lemon_that_only_rests_on_the_reamer_is_on_top_but_not_pressed() -> None:
    task, signals = SqueezeLemon(), squeezed(force_n=1.0)
    assert task.success(signals)
    assert not task.pressed(signals)
    assert [name for name, reached in task.subgoals(signals).items() if not reached] == ["pressed it on the reamer"]


def test_the_score_grows_with_the_force() -> None:
    scores = [SqueezeLemon().score(squeezed(force)) for force in (0.5, 2.0, 4.0, 6.0)]
    assert np.all(np.diff(scores) > 0.03)


def test_every_digit_on_the_lemon_counts_even_if_it_is_not_held() -> None:
    scores = []
    for digits in ((), ("index",), ("index", "middle"), ("index", "middle", "ring")):
        signals = let_go(squeezed(force_n=0.0), 0)
        start = ControlOptions().phases["close"][1]
        for digit in digits:
            signals[f"grip/{digit}"][start : start + 200, 0] = 1
        scores.append(SqueezeLemon().score(signals))
    assert np.all(np.diff(scores) > 0.03)


def test_a_lemon_pulled_up_by_the_reamer_is_not_pressed() -> None:
    assert not SqueezeLemon().pressed(squeezed(force_n=-8.0)), "the force must point down"


def test_a_lemon_beside_the_juicer_is_a_failure() -> None:
    task, signals = SqueezeLemon(), squeezed(aside_m=0.04)
    signals["reamer/force"][:] = 0
    assert not task.success(signals)
    assert 0.4 < task.score(signals) < 0.7
    assert not task.subgoals(signals)["brought it over the juicer"]


def test_a_lemon_that_touches_the_reamer_from_beside_is_not_on_top() -> None:
    signals = squeezed()
    signals["lemon/position"][-60:, 2] = 0.03
    assert not SqueezeLemon().success(signals)


def test_a_lemon_that_hangs_over_the_reamer_is_not_on_top() -> None:
    signals = squeezed()
    signals["reamer/force"][:] = 0
    assert not SqueezeLemon().success(signals)


def test_a_lemon_left_on_the_reamer_without_a_hand_is_a_failure() -> None:
    signals = let_go(squeezed(), -25)
    assert not SqueezeLemon().success(signals)
    assert not SqueezeLemon().pressed(signals)


def test_a_lemon_that_stays_on_its_stand_is_not_lifted() -> None:
    signals = squeezed()
    signals["lemon/position"][:] = signals["lemon/position"][0]
    signals["lemon/stand"][:] = 1
    signals["reamer/force"][:] = 0
    assert SqueezeLemon().score(signals) == pytest.approx(0.30)
    assert not SqueezeLemon().subgoals(signals)["lifted it off its stand"]


def test_a_lemon_that_was_never_touched_scores_nothing() -> None:
    signals = let_go(squeezed(), 0)
    signals["lemon/position"][:] = signals["lemon/position"][0]
    assert SqueezeLemon().score(signals) == 0.0


def test_lemon_and_juicer_turn_as_one_group() -> None:
    task = SqueezeLemon()
    for k in range(20):
        scene = task.draw(EpisodeKey("SqueezeLemon", "train", "train", 3, k))
        gap = scene.poses["juicer"][0] - scene.poses["lemon"][0]
        ahead = np.array([np.cos(scene.yaw_rad), np.sin(scene.yaw_rad)])
        off = gap[:2] - squeeze_lemon.CARRY_M * ahead
        assert np.abs(off).max() <= np.sqrt(2) * squeeze_lemon.JITTER_M


def test_the_demonstration_file_is_what_the_script_makes() -> None:
    np.testing.assert_array_equal(SqueezeLemon().demonstration.displacements, demonstrations.PATHS["SqueezeLemon"]())


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_persons_grasp_squeezes(split: str) -> None:
    outcomes = persons("SqueezeLemon", split, 6)
    assert sum(bool(outcome.success) for outcome in outcomes) >= 5
    assert any(SqueezeLemon().pressed(outcome.signals) for outcome in outcomes)
