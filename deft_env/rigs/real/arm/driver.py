"""The xArm6, driven through its vendor's SDK: every return code checked, no stale pose used, safe on the way out.

    with Arm(ArmConfig(ip="192.168.1.185")) as arm:
        arm.enable()
        arm.move_joints(home)
        arm.enable(SERVO)
        arm.servo_joints(path, period_s=0.02)

Leaving the block, however it is left, stops the arm; it then holds its posture with the motors on (without them the
brakes let it sink a little). An ArmError whose ``action_caused`` is true is the motion's own doing, any other the
device's or a person's. After an error nothing moves until ``recover`` is called: that is a decision, never automatic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from deft_env.rigs.real.arm import checks, vendor
from deft_env.rigs.real.arm.errors import (
    ArmError,
    ArmFault,
    ArmLimit,
    ArmNotReady,
    ArmStopped,
    ArmTimeout,
    controller_error,
)
from deft_env.rigs.real.arm.link import STOP, ArmLink
from deft_env.rigs.real.arm.xarm_kinematics import AXES, Array

POSITION: Final = 0
"""Mode of queued joint and straight motions."""
SERVO: Final = 1
"""Mode of streamed waypoints."""
_MODES: Final = {POSITION: "POSITION", SERVO: "SERVO"}
_RUN: Final = 0
_RUNNING: Final = (0, 1, 2)
_INVALID: Final = 10
_ARRIVAL_M: Final = 0.002
_WATCHDOG_S: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class JointState:
    """Measured joints: angles (6,) rad, speeds (6,) rad/s, efforts (6,) as the controller estimates them."""

    position_rad: Array
    velocity_rad_s: Array
    effort: Array


class Arm(ArmLink):
    """An xArm6. One instance is one connection, for one thread; ``emergency_stop`` may come from any."""

    _mode: int | None = None
    _configured = False

    def close(self) -> None:
        """See ``ArmLink.close``."""
        self._mode, self._configured = None, False
        super().close()

    # --- getting ready ----------------------------------------------------------------------------------------------
    def enable(self, mode: int = POSITION) -> None:
        """Switches the motors on, applies the configuration (once) and makes the arm ready for motions of ``mode``.

        Raises:
            ArmError: the controller has an error (its own type), or something did not take.
        """
        if mode not in _MODES:
            raise ValueError(f"mode: POSITION (0) or SERVO (1) expected, got {mode}")
        self._raise_controller_error("enable")
        if not self._configured:
            self._start(POSITION)
            self._configure()
            self._configured = True
        self._start(mode)

    def recover(self, mode: int = POSITION) -> None:
        """Clears error and warning and makes the arm ready again; call it when a person or a rule says that it may.

        Raises:
            ArmError: the error's cause is still there (a pressed emergency button), or the arm does not start.
        """
        self._was_enabled, self._configured = True, False
        self._call("recover", self.sdk.clean_error)  # their codes speak of the error that is being cleared
        self._call("recover", self.sdk.clean_warn)
        self._raise_controller_error("recover")
        self.enable(mode)

    def _start(self, mode: int) -> None:
        operation, sdk = f"enable({_MODES[mode]})", self.sdk
        self._was_enabled, self._mode = True, None
        self._set(operation, sdk.motion_enable, True)
        self._set(operation, sdk.set_mode, mode)
        self._set(operation, sdk.set_state, _RUN)
        status = self.status()  # the SDK reports success where the controller kept its error
        if status.error:
            raise controller_error(operation, status.error)
        if status.state not in _RUNNING:
            raise ArmNotReady(operation, f"the arm stays in state {status.state}", do="look at the arm, then recover()")
        self._await(operation, lambda: sdk.mode == mode, f"mode {mode}")
        self._mode = mode

    def _configure(self) -> None:
        c, sdk = self.config, self.sdk
        offset = vendor.offset_to_sdk(c.tool_offset_m, c.tool_rpy_rad)
        self._set("tool offset", sdk.set_tcp_offset, offset, is_radian=True, wait=False)
        self._await("tool offset", lambda: np.allclose(sdk.tcp_offset, offset, rtol=0.0, atol=2e-3), f"{offset}")
        self._set("tool load", sdk.set_tcp_load, c.tool_mass_kg, vendor.offset_to_sdk(c.tool_com_m))
        self._set("collision sensitivity", sdk.set_collision_sensitivity, c.collision_sensitivity)
        self._await(
            "collision sensitivity",
            lambda: sdk.collision_sensitivity == c.collision_sensitivity,
            f"{c.collision_sensitivity}",
        )
        checks.inside(c, self.pose()[:3, 3], "safety boundary", "the tool is already")
        boundary = vendor.boundary_to_sdk(c.boundary_low_m, c.boundary_high_m)
        self._set("safety boundary", sdk.set_reduced_tcp_boundary, boundary)
        self._set("safety boundary", sdk.set_fence_mode, True)
        answer = self._get("safety boundary", sdk.get_reduced_states, is_radian=True)
        if list(answer[1]) != boundary or not answer[5]:
            raise ArmFault("safety boundary", f"the controller keeps {list(answer[1])}, on={answer[5]}, not {boundary}")

    # --- asking -----------------------------------------------------------------------------------------------------
    def joint_state(self) -> JointState:
        """Measured joints, asked for now."""
        answer = self._get("joint state", self.sdk.get_joint_states, is_radian=True, num=3)
        parts = [vendor.numbers("joint state", part, AXES) for part in answer]
        if len(parts) != 3:
            raise ArmFault("joint state", f"angles, speeds and efforts expected, got {len(parts)} groups")
        return JointState(*parts)

    def joints(self) -> Array:
        """Measured joint angles (6,), rad."""
        return self.joint_state().position_rad

    def pose(self) -> Array:
        """T_base_tcp (4, 4) of the tool point, m, as the controller computes it."""
        answer = self._get("pose", self.sdk.get_position, is_radian=True)
        return vendor.pose_from_sdk(vendor.numbers("pose", answer, 6))

    def inverse_kinematics(self, T_base_tcp: ArrayLike) -> Array:
        """Joint angles (6,), rad, for a pose (4, 4) of the tool point, m; ArmLimit where the controller finds none."""
        pose = vendor.pose_to_sdk(checks.pose(T_base_tcp))
        answer = self._call(
            "inverse kinematics", self.sdk.get_inverse_kinematics, pose, input_is_radian=True, return_is_radian=True
        )
        if vendor.code_of(answer) == _INVALID:
            self._call("inverse kinematics", self.sdk.clean_warn)
            raise ArmLimit("inverse kinematics", f"the pose {np.round(pose, 3).tolist()} (mm, rad) is out of reach")
        self._check("inverse kinematics", answer)
        return vendor.numbers("inverse kinematics", answer[1], AXES)

    # --- queued motions ---------------------------------------------------------------------------------------------
    def move_joints(self, q_rad: ArrayLike, *, speed_rad_s: float | None = None) -> None:
        """Turns the joints to (6,), rad, and returns when they have arrived."""
        goal = checks.joints(q_rad, (AXES,))
        self._need_mode("move_joints", POSITION)
        checks.sweep(self.config, self.joints(), goal, "move_joints")
        with self._watched("move_joints"):
            self._set(
                "move_joints",
                self.sdk.set_servo_angle,
                angle=goal.tolist(),
                speed=speed_rad_s or self.config.joint_speed_rad_s,
                mvacc=self.config.joint_acceleration_rad_s2,
                is_radian=True,
                wait=True,
                timeout=self.config.motion_timeout_s,
            )
        self._raise_controller_error("move_joints")
        error = float(np.abs(self.joints() - goal).max())
        if error > self.config.arrival_rad:
            self._not_there("move_joints", f"{error:.4f} rad")

    def move_pose(self, T_base_tcp: ArrayLike, *, speed_rad_s: float | None = None) -> None:
        """Brings the tool point to a pose (4, 4), m, by a joint motion."""
        checks.inside(self.config, checks.pose(T_base_tcp)[:3, 3], "move_pose", "the target is")
        self.move_joints(self.inverse_kinematics(T_base_tcp), speed_rad_s=speed_rad_s)

    def move_line(self, T_base_tcp: ArrayLike, *, speed_m_s: float | None = None) -> None:
        """Brings the tool point to a pose (4, 4), m, on a straight line."""
        goal = checks.pose(T_base_tcp)
        self._need_mode("move_line", POSITION)
        checks.inside(self.config, goal[:3, 3], "move_line", "the target is")
        with self._watched("move_line"):
            self._set(
                "move_line",
                self.sdk.set_position,
                *vendor.pose_to_sdk(goal),
                speed=vendor.speed_to_sdk(speed_m_s or self.config.line_speed_m_s),
                mvacc=vendor.speed_to_sdk(self.config.line_acceleration_m_s2),
                is_radian=True,
                wait=True,
                timeout=self.config.motion_timeout_s,
            )
        self._raise_controller_error("move_line")
        error = float(np.linalg.norm(self.pose()[:3, 3] - goal[:3, 3]))
        if error > _ARRIVAL_M:
            self._not_there("move_line", f"{error:.4f} m")

    # --- streamed motions -------------------------------------------------------------------------------------------
    def servo_joints(
        self, path_rad: ArrayLike, period_s: float, *, on_step: Callable[[int], None] | None = None
    ) -> int:
        """Streams joint waypoints (N, 6), rad, one a period; the whole path is checked before the first is sent.

        Args:
            path_rad: where to go; the first waypoint at most ``servo_step_rad`` from the present posture.
            period_s: time between waypoints, s.
            on_step: called with the index after each waypoint, for measuring; it must be quick.

        Returns:
            How many waypoints left more than one period late.

        Raises:
            ArmError: with ``step``, the waypoint at fault.
        """
        path = checks.joints(path_rad, (-1, AXES))
        self._need_mode("servo_joints", SERVO)
        checks.joint_stream(self.config, path, self.joints(), "servo_joints")
        send = lambda q: self.sdk.set_servo_angle_j(q.tolist(), is_radian=True)  # noqa: E731
        return self._stream("servo_joints", send, path, period_s, on_step)

    def servo_poses(self, path: ArrayLike, period_s: float, *, on_step: Callable[[int], None] | None = None) -> int:
        """Streams poses of the tool point (N, 4, 4), m; otherwise like ``servo_joints``."""
        poses = np.array([checks.pose(T) for T in np.asarray(path, dtype=np.float64)])
        self._need_mode("servo_poses", SERVO)
        checks.pose_stream(self.config, poses, self.pose(), "servo_poses")
        send = lambda T: self.sdk.set_servo_cartesian(vendor.pose_to_sdk(T), is_radian=True)  # noqa: E731
        return self._stream("servo_poses", send, poses, period_s, on_step)

    def _stream(
        self,
        operation: str,
        send: Callable[[Array], int],
        path: Array,
        period_s: float,
        on_step: Callable[[int], None] | None,
    ) -> int:
        if not period_s > 0.0:
            raise ValueError(f"period_s: a positive time expected, got {period_s}")
        start, late = self._monotonic(), 0
        for i, waypoint in enumerate(path):
            ahead = start + i * period_s - self._monotonic()
            late += ahead < -period_s
            if ahead > 0.0:
                self._sleep(ahead)
            try:
                self._set(operation, send, waypoint)
            except ArmError as error:
                error.step = i
                raise
            if on_step is not None:
                on_step(i)
        self._sleep(period_s)
        self._raise_controller_error(operation)
        return late

    # --- checks -----------------------------------------------------------------------------------------------------
    def _need_mode(self, operation: str, mode: int) -> None:
        if self._mode != mode:
            raise ArmNotReady(operation, f"the arm is not in mode {_MODES[mode]}", do=f"call enable({_MODES[mode]})")

    def _not_there(self, operation: str, how_far: str) -> None:
        if self.status().state == STOP:
            raise ArmStopped(operation, "the arm was stopped on its way", do="call enable() when it may go on")
        raise ArmFault(operation, f"the arm stopped {how_far} from its target without an error", do="look at the arm")

    @contextmanager
    def _watched(self, operation: str) -> Iterator[None]:
        """Stops the arm when a queued motion is interrupted, and frees an SDK call that would wait for ever."""
        fired = threading.Event()

        def free() -> None:
            fired.set()
            sdk: Any = self.sdk
            sdk.set_state(STOP)
            vendor.disconnect(sdk)

        timer = threading.Timer(self.config.motion_timeout_s + _WATCHDOG_S, free)
        timer.daemon = True
        timer.start()
        try:
            yield
        except BaseException as error:
            if not isinstance(error, ArmError) or isinstance(error, ArmTimeout):
                self.emergency_stop()
            if fired.is_set():
                raise ArmTimeout(operation, "the SDK did not come back from the motion; connection closed") from error
            raise
        finally:
            timer.cancel()
