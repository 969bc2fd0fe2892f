"""Ratings by distances to goals: each variant prefers what it is for, and a small run prints its table."""

import numpy as np
import pytest

from deft_env.encoders import goal_study


def test_each_variant_measures_its_own_distance():
    def pictures(*levels):
        return np.array([np.full((2, 2, 3), level, np.uint8) for level in levels])

    seen = {"first": pictures(0, 90), "last": pictures(60, 90), "same": pictures(60, 0), "goals": pictures(100, 62)}
    found = goal_study.ratings(lambda p: p[:, 0, 0, 0].astype(np.float64), seen)
    assert found["goal image"].tolist() == [-40, -10]
    assert found["first minus last"].tolist() == [60, 0]
    assert found["nearest of 5 goal images"].tolist() == [-2, -10]
    assert found["goal image of the same scene"].tolist() == [0, -90]


def test_a_small_run_prints_its_table(capsys):
    pytest.importorskip("mujoco")
    assert goal_study.main(["PickCup", "--scenes", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "time-contrastive, before pooling" in lines[0]
    assert len(lines) == 6
