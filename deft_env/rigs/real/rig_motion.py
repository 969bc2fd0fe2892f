"""What the arm and the hand are going to play, worked out and checked before anything moves.

The waypoints are the simulated rig's own (``deft_env.sim.controls.plan``: numpy only). Where a demonstration asks for
more speed than the rig allows, the whole path is played slower, by interpolating it on a finer clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.rigs import safety
from deft_env.rigs.real.arm import xarm_kinematics
from deft_env.rigs.real.rig_config import MotionConfig
from deft_env.rigs.safety import SafetyLimits, Violation
from deft_env.sim import kinematics
from deft_env.sim.controls import PHASES, ControlOptions, ControlPlan
from deft_env.sim.hand_calibration import motor_targets

Array = NDArray[np.float64]
_RISE_STEP_M: Final = 0.01
_SWEEP: Final = 25
_WRIST_RADIUS_M: Final = 0.042
"""Of the joint housings before the flange (assumed, after product drawings)."""
_MARGIN_RAD: Final = 0.03
"""Kept from the joint limits where the rig chooses the posture itself; more than the arm driver insists on."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One episode, ready to be streamed.

    Attributes:
        arm_rad: (T, 6) joint set points, one a control period.
        fingers_rad: (T, 16) finger joints that are wished for at the same times.
        phases: first tick and tick after the last, by phase.
        executed: (22,) the grasp that is commanded.
        above_rad: (6,) posture above the pre-grasp, where the arm comes from and goes to.
        stretch: by how much it is slower than the plan.
        period_s: between two set points.
    """

    arm_rad: Array
    fingers_rad: Array
    phases: dict[str, tuple[int, int]]
    executed: Array
    above_rad: Array
    stretch: float
    period_s: float

    @property
    def phase_series(self) -> Array:
        """(T, 1) index into ``controls.PHASES`` of each tick: what judges read."""
        out = np.zeros((len(self.arm_rad), 1))
        for name, (start, end) in self.phases.items():
            out[start:end] = PHASES.index(name)
        return out


def poses(arm_rad: Array) -> Array:
    """T_base_hand (T, 4, 4), m, of the grasp site for joint angles (T, 6)."""
    position, rotation = kinematics.grasp_site(arm_rad)
    out = np.tile(np.eye(4), (len(arm_rad), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = rotation, position
    return out


def _needed_stretch(T: Array, q: Array, period_s: float, limits: SafetyLimits) -> float:
    """How much slower the path must be played to respect every speed limit; 1 if it may be played as it is."""
    speed = np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1).max() / period_s
    cosine = (np.einsum("tij,tij->t", T[1:, :3, :3], T[:-1, :3, :3]) - 1.0) / 2.0
    turn = np.arccos(np.clip(cosine, -1.0, 1.0)).max() / period_s
    joint = np.abs(np.diff(q, axis=0)).max() / period_s
    ratios = (speed / limits.max_speed_m_s, turn / limits.max_turn_rad_s, joint / limits.max_joint_speed_rad_s)
    return max(1.0, 1.02 * max(ratios)) if max(ratios) > 1.0 else 1.0


def _slower(values: Array, factor: float) -> Array:
    """(T, d) on a clock that runs ``factor`` times slower: (ceil(T factor), d)."""
    count = int(np.ceil(len(values) * factor))
    at = np.arange(count) / factor
    return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)


def prepare(
    plan: ControlPlan, timing: ControlOptions, motion: MotionConfig, limits: SafetyLimits
) -> tuple[Stream, list[Violation]]:
    """The stream of the one episode in ``plan``, and everything that forbids playing it (empty: it may be played)."""
    arm, fingers = plan.controls[0, :, :6], plan.controls[0, :, 6:] / motor_targets(np.ones(12))
    factor = min(_needed_stretch(poses(arm), arm, timing.period_s, limits), motion.max_stretch)
    phases = dict(plan.phases)
    if factor > 1.0:
        arm, fingers = _slower(arm, factor), _slower(fingers, factor)
        ends = {name: (int(np.ceil(a * factor)), int(np.ceil(b * factor))) for name, (a, b) in phases.items()}
        phases = {name: (a, min(b, len(arm))) for name, (a, b) in ends.items()}
    above = risen(arm[0], motion.clearance_m, limits)
    stream = Stream(
        arm, grasp.motors_to_joints(fingers), phases, plan.executed[0], above, factor, timing.period_s
    )  # fmt: skip
    T, closing = poses(arm), phases["close"][0]
    found = [
        *safety.check_grasp(plan.executed[0], limits),
        *safety.check_joints(arm, limits, timing.period_s),
        *(_above_table(poses(arm[:closing]), limits)),
        *safety.check_path(T[closing:], timing.period_s, limits, after_grasp=True),
        *way_there(np.array(motion.parked_rad), above, limits),
        *way_there(above, arm[0], limits),
    ]
    return stream, found


def _above_table(T: Array, limits: SafetyLimits, slack_m: float = 0.15) -> list[Violation]:
    """The approach may begin outside the box of grasps, but never comes too near to the table."""
    return [v for i, pose in enumerate(T) for v in safety.check_pose(pose, limits, i, slack_m)]


def way_there(start: Array, goal: Array, limits: SafetyLimits) -> list[Violation]:
    """A joint motion in free air: joint limits, and hand and wrist above the table all along."""
    q = start + np.linspace(0.0, 1.0, _SWEEP)[:, None] * (goal - start)
    found = safety.check_joints(q, limits)
    limit = limits.table_z_m + limits.table_margin_m
    for i, T in enumerate(poses(q)):
        for point in ((0.0, 0.0, 0.0), *limits.hand_points_m):
            height = float(T[2, :3] @ np.array(point) + T[2, 3])
            if not height >= limit:
                found.append(Violation("table", "hand on its way", height, limit, "m", i))
        lowest = float(xarm_kinematics.wrist(q[i])[:, 2].min()) - _WRIST_RADIUS_M
        if not lowest >= limit:
            found.append(Violation("table", "wrist on its way", lowest, limit, "m", i))
    return found


def risen(q: Array, height_m: float, limits: SafetyLimits) -> Array:
    """The posture (6,) straight above ``q`` by ``height_m``, or as far up as this branch of the arm reaches."""
    low = np.maximum(limits.joint_low_rad, xarm_kinematics.LOW_RAD) + _MARGIN_RAD
    high = np.minimum(limits.joint_high_rad, xarm_kinematics.HIGH_RAD) - _MARGIN_RAD
    # Pushed by what it struck, the arm may stand a little beyond what it may be commanded to.
    reached = np.clip(q, low, high)
    T = xarm_kinematics.forward(reached)
    for _ in range(round(height_m / _RISE_STEP_M)):
        T[2, 3] += _RISE_STEP_M
        found = xarm_kinematics.inverse(T, reached, restarts=0)
        if found is None or np.abs(found - reached).max() > 0.3 or (found < low).any() or (found > high).any():
            break
        reached = found
    return reached


def measured_grasp(joints_rad: Array, fingers_rad: Array, nominal: Array) -> Array:
    """The grasp (22,) of measured arm joints (6,) and finger joints (16,); limits are kept, so that it can be replayed.

    Raises:
        ValueError: if the hand is turned too far from the task's nominal orientation to have wrist angles.
    """
    position, rotation = kinematics.grasp_site(joints_rad)
    wrist = grasp.rotation_to_wrist(rotation, nominal)
    return grasp.limit(np.concatenate([position, wrist, fingers_rad]))
