"""Ways through free air: what is refused before the arm moves."""

import numpy as np

from deft_env.rigs.real.arm import xarm_kinematics
from deft_env.rigs.real.rig_motion import way_there
from deft_env.rigs.safety import SafetyLimits

HELD_UP = np.array([0.0, 0.76, -0.96, -np.pi, 2.29, 0.0])
"""The hand points up and forward, as when it shows something to the camera; the wrist hangs 7 cm above the table."""


def _lower(q: np.ndarray, by_m: float) -> np.ndarray:
    T = xarm_kinematics.forward(q)
    T[2, 3] -= by_m
    found = xarm_kinematics.inverse(T, q, restarts=0)
    assert found is not None
    return found


def test_the_wrist_is_kept_off_the_table_where_the_hand_is_above_it() -> None:
    limits = SafetyLimits()
    assert xarm_kinematics.forward(HELD_UP)[2, 3] > xarm_kinematics.wrist(HELD_UP)[:, 2].min() + 0.07
    assert way_there(HELD_UP, _lower(HELD_UP, 0.02), limits) == []
    refused = way_there(HELD_UP, _lower(HELD_UP, 0.05), limits)
    assert {(v.rule, v.what) for v in refused} == {("table", "wrist on its way")}
    assert all(v.value < v.limit == limits.table_z_m + limits.table_margin_m for v in refused)
    assert "below its limit" in str(refused[0])


def test_the_wrist_lies_on_the_chain_to_the_flange() -> None:
    q = np.random.default_rng(0).uniform(-1.0, 1.0, 6)
    flange, (middle, last) = xarm_kinematics.forward(q), xarm_kinematics.wrist(q)
    assert np.isclose(np.linalg.norm(last - middle), 0.076)
    assert np.isclose(np.linalg.norm(flange[:3, 3] - last), 0.097)
    turned = q + np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.5])
    assert np.allclose(xarm_kinematics.wrist(turned), [middle, last]), "the last joint turns the flange alone"
