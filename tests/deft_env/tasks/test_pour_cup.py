"""Pour Cup: its judge on hand-made signals, its scenes, and a person's grasp of them."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import TICKS, Signals, let_go, moved, persons, taken

from deft_env.demonstration import Demonstration
from deft_env.sim.controls import ControlOptions
from deft_env.tasks import demonstrations
from deft_env.tasks.pour_cup import PourCup


def poured(tilt_deg: float = 120.0) -> Signals:
    """An episode as sensors would see it: the cup is taken, lifted 10 cm, and turned by ``tilt_deg``."""
    signals = taken()
    share = moved(120.0)
    position = np.zeros((TICKS, 3))
    position[:, 2] = 0.10 * np.clip(3 * share, 0, 1)
    tilt = np.deg2rad(tilt_deg) * share
    return signals | {
        "cup/position": position,
        "cup/up": np.column_stack([np.zeros(TICKS), np.sin(tilt), np.cos(tilt)]),
        "cup/table": (position[:, 2:] < 1e-3).astype(float),
    }


def test_a_poured_cup_is_a_success() -> None:
    task, signals = PourCup(), poured()
    assert task.success(signals)
    assert task.score(signals) == pytest.approx(1.0)
    assert all(task.subgoals(signals).values())


def test_a_cup_that_keeps_its_top_above_its_base_is_not_poured() -> None:
    task, signals = PourCup(), poured(tilt_deg=80.0)
    assert not task.success(signals)
    assert 0.7 < task.score(signals) < 0.95
    assert [name for name, reached in task.subgoals(signals).items() if not reached] == [
        "turned its top below its base"
    ]


def test_the_score_grows_with_the_tilt() -> None:
    scores = [PourCup().score(poured(tilt)) for tilt in (0.0, 30.0, 60.0, 90.0)]
    assert np.all(np.diff(scores) > 0.05)


def test_a_cup_that_was_dropped_after_pouring_is_a_failure() -> None:
    signals = poured()
    let_go(signals, -25)
    assert not PourCup().success(signals)
    assert PourCup().score(signals) > 0.7, "an operator would not call it worthless"


def test_grasped_throughout_bears_a_blink_but_no_gap() -> None:
    start = ControlOptions().phases["trajectory"][0]
    assert PourCup().success(let_go(poured(), start + 60, start + 63))
    assert not PourCup().success(let_go(poured(), start + 60, start + 90))


def test_a_cup_knocked_over_on_the_table_is_not_poured() -> None:
    signals = poured()
    signals["cup/position"][:, 2] = 0.0
    signals["cup/table"][:] = 1
    assert not PourCup().success(signals)
    assert PourCup().score(signals) <= 0.25 + 1e-9


def test_a_cup_that_was_never_touched_scores_nothing() -> None:
    signals = let_go(poured(), 0)
    assert PourCup().score(signals) == 0.0
    assert not any(PourCup().subgoals(signals).values())


def test_the_demonstration_file_is_what_the_script_makes() -> None:
    assert isinstance(PourCup().demonstration, Demonstration)
    np.testing.assert_array_equal(PourCup().demonstration.displacements, demonstrations.PATHS["PourCup"]())


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_persons_grasp_pours(split: str) -> None:
    outcomes = persons("PourCup", split, 6)
    assert sum(bool(outcome.success) for outcome in outcomes) >= 5
