"""From a grasp and a demonstration to the controls of a whole episode, for N episodes at once.

Phases, at the control rate: ``settle_in`` (at the pre-grasp, hand open), ``approach`` (diagonally to the grasp),
``close`` (the fingers go to the commanded angles), ``hold``, ``trajectory`` (the 40 displacements of tau), ``settle``.
The episode starts at the pre-grasp: the arm's way there through free air has no physics of interest and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp, paper
from deft_env.demonstration import Demonstration
from deft_env.sim import kinematics, robot
from deft_env.sim.hand_calibration import motor_targets
from deft_env.sim.rotations import about_z, from_vector, matmul, rotate

Array = NDArray[np.float64]
PHASES: Final = ("settle_in", "approach", "close", "hold", "trajectory", "settle")
NOMINAL_TOOL_DOWN: Final = np.diag([1.0, -1.0, -1.0])
"""R_base_hand of a hand that points down, fingers towards the robot's base, thumb away from it."""


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """Timing and approach of an episode (our choice).

    Attributes:
        period_s: control period.
        settle_in_ticks: rest at the pre-grasp; later phases likewise.
        approach_ticks: duration of the approach; a multiple of ``approach_waypoints``.
        approach_waypoints: straight pieces of the approach.
        close_ticks: closing of the fingers.
        hold_ticks: rest with closed fingers.
        step_ticks: duration of one of the 40 displacements.
        settle_ticks: rest at the end, in which the judge looks.
        back_m: distance of the pre-grasp from the grasp against the approach axis (hand z).
        aside_m: its offset along hand x: negative draws the fingers away from the object.
        open_thumb_rad: forward angle of the open thumb.
        open_forward_rad: forward angle of the open fingers.
        open_curl: share of the commanded curl that the open fingers already have.
    """

    period_s: float = 0.020
    settle_in_ticks: int = 5
    approach_ticks: int = 40
    approach_waypoints: int = 10
    close_ticks: int = 25
    hold_ticks: int = 15
    step_ticks: int = 3
    settle_ticks: int = 25
    back_m: float = 0.09
    aside_m: float = -0.03
    open_thumb_rad: float = -0.6
    open_forward_rad: float = -0.2
    open_curl: float = 0.25

    def __post_init__(self) -> None:
        if self.approach_waypoints < 1 or self.approach_ticks % self.approach_waypoints:
            raise ValueError(
                f"approach_ticks: expected a multiple of approach_waypoints, got {self.approach_ticks} and "
                f"{self.approach_waypoints}"
            )

    @property
    def phases(self) -> dict[str, tuple[int, int]]:
        """First tick and tick after the last, by phase."""
        lengths = (
            self.settle_in_ticks,
            self.approach_ticks,
            self.close_ticks,
            self.hold_ticks,
            self.step_ticks * paper.TRAJECTORY_STEPS,
            self.settle_ticks,
        )
        ends = np.cumsum(lengths)
        return {name: (int(end - n), int(end)) for name, n, end in zip(PHASES, lengths, ends, strict=True)}

    @property
    def ticks(self) -> int:
        """Length of an episode."""
        return self.phases["settle"][1]


@dataclass(frozen=True, slots=True, eq=False)
class ControlPlan:
    """What is played in N episodes.

    Attributes:
        controls: (N, T, 18) set points: six arm joints, twelve motors, in the order of ``names``' actuators.
        phases: first tick and tick after the last, by phase.
        arm_qpos: (N, 6) arm at the pre-grasp, rad.
        hand_qpos: (N, 16) open hand, rad.
        executed: (N, 22) the grasp that is commanded, after limits and the projection onto twelve motors.
        ok: (N,) whether the arm can play the whole path; the others need not be simulated.
        reason: N texts, empty where ``ok``.
    """

    controls: Array
    phases: dict[str, tuple[int, int]]
    arm_qpos: Array
    hand_qpos: Array
    executed: Array
    ok: NDArray[np.bool_]
    reason: tuple[str, ...]


def _eased(n: int) -> Array:
    """N values that end at 1 and start and stop smoothly (3 s^2 - 2 s^3)."""
    s = np.arange(1, n + 1) / n
    return s * s * (3.0 - 2.0 * s)


def trajectory_poses(
    position_m: Array, rotation: Array, yaw_rad: Array, demonstrations: Sequence[Demonstration]
) -> tuple[Array, Array]:
    """Poses of the grasp site after each displacement: (N, 40, 3) m and (N, 40, 3, 3), robot base frame.

    Args:
        position_m: (N, 3) executed grasp.
        rotation: (N, 3, 3) R_base_hand of it.
        yaw_rad: (N,) its yaw, by which displacements in the frame ``"grasp-yaw"`` are turned; those in ``"base"`` keep
            the demonstration's own yaw.
        demonstrations: one an episode.
    """
    steps = np.stack([d.displacements for d in demonstrations])
    own = np.array([d.yaw_rad for d in demonstrations])
    turn = about_z(np.where([d.frame == "grasp-yaw" for d in demonstrations], yaw_rad, own))[:, None]
    moves, turns = rotate(turn, steps[..., :3]), from_vector(rotate(turn, steps[..., 3:]))
    positions = position_m[:, None] + np.cumsum(moves, axis=1)
    rotations = np.empty_like(turns)
    for t in range(turns.shape[1]):
        rotation = rotations[:, t] = matmul(turns[:, t], rotation)
    return positions, rotations


def _hand_set_points(motors: Array, options: ControlOptions) -> Array:
    """Motor angles (N, T, 12): open until the close phase, then towards the commanded pose, then held."""
    opened = motors.copy()
    opened[:, 1::3] = np.minimum(motors[:, 1::3], options.open_forward_rad)
    opened[:, 10] = np.minimum(motors[:, 10], options.open_thumb_rad)
    opened[:, 2::3] = options.open_curl * motors[:, 2::3]
    share = np.zeros(options.ticks)
    start, end = options.phases["close"]
    share[start:end], share[end:] = _eased(end - start), 1.0
    return opened[:, None] + share[:, None] * (motors - opened)[:, None]


def plan(
    grasps: ArrayLike,
    nominal: ArrayLike,
    demonstrations: Demonstration | Sequence[Demonstration],
    options: ControlOptions | None = None,
) -> ControlPlan:
    """Plans N episodes.

    Args:
        grasps: (N, 22) wished grasps; limits and the motor projection are applied here.
        nominal: (3, 3) or (N, 3, 3) the task's R_nominal.
        demonstrations: one for all, or one an episode.
        options: timing.

    Raises:
        ValueError: if shapes or numbers of episodes do not fit.
    """
    options = options or ControlOptions()
    executed = grasp.executable(np.atleast_2d(grasp.check(grasps, "grasps")))
    n = len(executed)
    demos = [demonstrations] * n if isinstance(demonstrations, Demonstration) else list(demonstrations)
    if len(demos) != n:
        raise ValueError(f"demonstrations: expected one for all or {n}, got {len(demos)}")
    nominals = np.broadcast_to(np.asarray(nominal, dtype=np.float64), (n, 3, 3))
    rotation = matmul(grasp.wrist_to_rotation(executed[:, grasp.WRIST], np.eye(3)), nominals)
    mu, yaw = executed[:, grasp.MU], executed[:, grasp.WRIST][:, 2]

    k = options.approach_waypoints
    offset = rotation[:, :, 0] * options.aside_m - rotation[:, :, 2] * options.back_m
    remaining = 1.0 - np.concatenate([[0.0], _eased(k)])
    approach = mu[:, None] + remaining[:, None] * offset[:, None]
    positions, rotations = trajectory_poses(mu, rotation, yaw, demos)
    positions = np.concatenate([approach, positions], axis=1)
    rotations = np.concatenate([np.broadcast_to(rotation[:, None], (n, k + 1, 3, 3)), rotations], axis=1)
    per_approach = options.approach_ticks // k
    rest = options.close_ticks + options.hold_ticks
    # Time between waypoints, s; the fingers' phases lie between the grasp and the first displacement.
    period = np.r_[np.full(k, per_approach), np.full(paper.TRAJECTORY_STEPS, options.step_ticks)] * options.period_s
    path = kinematics.solve_path(positions, rotations, period)

    arrival = np.r_[0, np.cumsum(np.full(k, per_approach))] + options.settle_in_ticks
    arrival = np.r_[arrival, arrival[-1] + rest + options.step_ticks * np.arange(1, paper.TRAJECTORY_STEPS + 1)]
    tick = np.arange(1, options.ticks + 1)
    after = np.clip(np.searchsorted(arrival, tick), 1, len(arrival) - 1)
    started = np.where(after == k + 1, arrival[k] + rest, arrival[after - 1])
    share = np.clip((tick - started) / (arrival[after] - started), 0.0, 1.0)[:, None]
    arm = path.q[:, after - 1] * (1.0 - share) + path.q[:, after] * share

    motors = grasp.joints_to_motors(executed[:, grasp.FINGERS])
    fingers = _hand_set_points(motors, options)
    controls = np.concatenate([arm, motor_targets(fingers)], axis=2)
    hand_qpos = grasp.motors_to_joints(fingers[:, 0])
    return ControlPlan(controls, options.phases, path.q[:, 0].copy(), hand_qpos, executed, path.ok, path.reason)


def parked() -> tuple[Array, Array]:
    """Arm (6,) and hand (16,) angles, rad, of the first picture: out of the camera's view, fingers open."""
    return np.array(robot.ARM_PARKED_RAD), np.zeros(paper.FINGER_JOINTS)
