"""Safety checks: what lies inside passes, what lies outside is named, and the watchdog stops what hangs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deft_env import grasp
from deft_env.rigs.safety import (
    SafetyError,
    SafetyLimits,
    Watchdog,
    check_grasp,
    check_joints,
    check_path,
    check_pose,
    check_position,
    check_residual,
    require,
)

LIMITS = SafetyLimits(hand_points_m=((0.03, 0.0, 0.02),))


def pose(x=0.45, y=0.0, z=0.2, rotvec=(0.0, 0.0, 0.0)) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec([np.pi, 0, 0]).as_matrix() @ Rotation.from_rotvec(rotvec).as_matrix()
    T[:3, 3] = x, y, z
    return T


def rules(violations) -> list[tuple[str, str]]:
    return [(v.rule, v.what) for v in violations]


def test_whatever_grasp_limits_is_safe() -> None:
    random = np.random.default_rng(0)
    for wish in random.normal(0, 2, (200, 22)):
        assert check_grasp(grasp.executable(wish), LIMITS) == []


@pytest.mark.parametrize(("i", "name"), [(0, "x"), (1, "y"), (2, "z")])
def test_each_side_of_the_box(i, name) -> None:
    centre = 0.5 * (np.array(LIMITS.workspace_low_m) + LIMITS.workspace_high_m)
    assert check_position(centre, LIMITS) == []
    for edge, sign in ((LIMITS.workspace_low_m, -1), (LIMITS.workspace_high_m, 1)):
        p = centre.copy()
        p[i] = edge[i] + sign * 1e-3
        assert ("workspace", name) in rules(check_position(p, LIMITS))
        p[i] = edge[i]
        assert check_position(p, LIMITS) == []


def test_the_table_holds_for_every_point_of_the_hand() -> None:
    assert check_pose(pose(z=0.03), LIMITS) == []
    # Palm down, the listed point hangs 20 mm below the grasp site; tilted, 3 cm to the side come into play.
    assert rules(check_pose(pose(z=0.02), LIMITS)) == [("table", "hand point 0")]
    for tilt_rad, lowest_m in ((1.0, 0.04 - 0.02 * np.cos(1.0) + 0.03 * np.sin(1.0)), (-1.0, 0.04 - 0.0361)):
        tilted = pose(z=0.04, rotvec=(0.0, tilt_rad, 0.0))
        height = float((tilted @ [*LIMITS.hand_points_m[0], 1.0])[2])
        assert height == pytest.approx(lowest_m, abs=1e-3)
        assert check_pose(tilted, LIMITS) == []
        tilted[2, 3] -= lowest_m
        assert ("table", "hand point 0") in rules(check_pose(tilted, LIMITS))


def test_a_raised_table_raises_the_floor() -> None:
    raised = replace(LIMITS, table_z_m=0.1)
    assert check_pose(pose(z=0.1), LIMITS) == []
    assert ("table", "grasp site") in rules(check_pose(pose(z=0.1), raised))


def test_paths_too_fast_or_turning_too_fast() -> None:
    slow = [pose(y=0.01 * i) for i in range(5)]
    assert check_path(slow, 0.05, LIMITS) == []
    fast = check_path(slow, 0.02, LIMITS)
    assert [(v.rule, v.step) for v in fast] == [("speed", i) for i in range(4)]
    assert fast[0].value == pytest.approx(0.5)
    turning = [pose(rotvec=(0, 0, a)) for a in (0.0, 0.05, 0.3)]
    (violation,) = check_path(turning, 0.1, LIMITS)
    assert (violation.rule, violation.step) == ("turn", 1)
    assert violation.value == pytest.approx(2.5)


def test_a_path_after_the_grasp_may_lift_out_of_the_box_but_never_sink() -> None:
    high = [pose(z=0.52), pose(z=0.53)]
    assert rules(check_path(high, 1.0, LIMITS)) == [("workspace", "z")] * 2
    assert check_path(high, 1.0, LIMITS, after_grasp=True) == []
    low = check_path([pose(z=0.004)], 1.0, LIMITS, after_grasp=True)
    assert ("workspace", "z") in rules(low)
    assert ("table", "hand point 0") in rules(low)


def test_joints_are_named_with_their_step() -> None:
    q = np.zeros((3, 6))
    q[:, 4] = 1.0
    assert check_joints(q, LIMITS, 0.1) == []
    q[2, 2] = 0.3
    found = check_joints(q, LIMITS, 0.1)
    assert [(v.rule, v.what, v.step) for v in found] == [("joint", "joint3", 2), ("joint speed", "joint3", 1)]
    assert "joint3 at step 2 = 0.3 rad, above its limit 0.1745 rad" in str(found[0])


def test_residuals() -> None:
    assert check_residual(grasp.RESIDUAL_HIGH, LIMITS) == []
    wild = np.zeros(22)
    wild[3] = 9 * grasp.SIGMA[3]
    assert rules(check_residual(wild, LIMITS)) == [("residual", "wrist_roll")]
    assert rules(check_residual(wild, replace(LIMITS, max_residual_sigma=10.0))) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_never_passes(bad) -> None:
    g = grasp.executable(np.zeros(22))
    for i in (0, 2, 7, 21):
        spoilt = g.copy()
        spoilt[i] = bad
        assert check_grasp(spoilt, LIMITS)
        assert check_residual(spoilt, LIMITS)
    assert check_position([0.4, bad, 0.2], LIMITS)
    assert check_pose(pose(x=bad), LIMITS)
    assert check_path([pose(), pose(z=bad)], 0.1, LIMITS)
    assert check_joints([0, 0, bad, 0, 0, 0], LIMITS, 0.1)


def test_require_collects_everything() -> None:
    require(check_position([0.4, 0.0, 0.2], LIMITS), [])
    with pytest.raises(SafetyError, match=r"workspace: x = 0.9 m, above .*; joint: joint2 at step 0") as caught:
        require(check_position([0.9, 0.0, 0.2], LIMITS), check_joints([0, 3.0, -1, 0, 0, 0], LIMITS))
    assert len(caught.value.violations) == 2


def test_mistakes_of_a_programmer_raise() -> None:
    with pytest.raises(ValueError, match="position_m"):
        check_position([0, 0], LIMITS)
    with pytest.raises(ValueError, match="dt_s"):
        check_path([pose()], 0.0, LIMITS)
    with pytest.raises(ValueError, match="workspace_low_m"):
        SafetyLimits(workspace_low_m=(0.9, 0, 0))
    with pytest.raises(ValueError, match="max_speed_m_s"):
        SafetyLimits(max_speed_m_s=0.0)


def test_watchdog_by_hand() -> None:
    now, stops = [0.0], []
    dog = Watchdog(0.5, lambda: stops.append(now[0]), clock=lambda: now[0])
    now[0] = 0.4
    dog.feed()
    now[0] = 0.8
    assert not dog.poll()
    now[0] = 1.0
    assert dog.poll()
    assert dog.poll()
    assert stops == [1.0]
    with pytest.raises(SafetyError, match="watchdog"):
        dog.feed()


def test_watchdog_in_its_thread_stops_a_hung_loop() -> None:
    import threading

    stopped = threading.Event()
    with Watchdog(0.02, stopped.set):
        assert stopped.wait(10)
    with Watchdog(1000.0, lambda: pytest.fail("fed in time")) as dog:
        dog.feed()
    assert not dog.tripped
