"""The control box's insides: state machine, command queue, errors, safety boundary. SI units; no sockets, no threads.

Simplified against a real box, all assumed: ``set_mode`` and ``motion_enable`` always lead to state 5; a motion
command in the wrong mode is refused as "not ready"; motions are not blended (``radius`` is ignored); lines go through
inverse kinematics every 10 mm and are straight in joint space between; speeds follow a trapezoid without jerk limits;
servo commands take effect at once; a servo command that jumps by more than 0.25 rad is error 60; decelerated stop (6)
stops like 4; joint torques read zero; reduced mode limits nothing but the boundary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from deft_env.rigs.real.arm import xarm_kinematics as kinematics
from deft_mocks.xarm.faults import FaultPlan
from deft_mocks.xarm.motion import Motion, Unreachable
from deft_mocks.xarm.wire import Snapshot, feedback
from deft_mocks.xarm.world import ArmWorld

Array = NDArray[np.float64]

MAX_COMMANDS: Final = 512
SERVO_JUMP_RAD: Final = 0.25
_AT_REST_RAD: Final = 1e-4
COLLISION, LIMIT, KINEMATIC, BOUNDARY, SERVO_SPEED, ESTOP = 31, 23, 21, 35, 60, 1
POSITION, SERVO = 0, 1
_SUCCESS, _FAILURE, _DISCARDED = 0, 1, 2


class Controller:
    """One control box. ``tick`` lets time pass, ``deft_mocks.xarm.registers`` speaks to it.

    Attributes:
        outbox: (connection, bytes) to be sent, feedback frames.
        urgent: set when a report should go out at once.
        why: words on the last error, for tests and people; a real box has only the number.
    """

    def __init__(self, world: ArmWorld, faults: FaultPlan, *, dt_s: float, firmware: str, lockstep: bool) -> None:
        """A box as after power-up: motors off, stopped (state 4)."""
        self.world, self.faults, self.dt_s, self.lockstep = world, faults, dt_s, lockstep
        self.version = f"6,6,XI1304,AC1303,{firmware}"
        self.mode, self.error, self.warning = POSITION, 0, 0
        self.run: Literal["ready", "paused", "stopped", "needs_start"] = "stopped"
        self.enabled = self.estop_pressed = self.fence = self.reduced = False
        self.T_flange_tcp = np.eye(4)
        self.tcp_offset_wire: tuple[float, ...] = (0.0,) * 6
        self.load = (0.0, 0.0, 0.0, 0.0)
        self.collision_sensitivity, self.teach_sensitivity = 3, 3
        self.boundary_mm: tuple[int, ...] = (9999, -9999) * 3
        self.queue: deque[Motion] = deque()
        self.outbox: list[tuple[int, bytes]] = []
        self.urgent, self.why = False, ""
        self.steps = self.reports = self._task = 0
        self.target = world.get_joints()
        self._speed = np.zeros(kinematics.AXES)
        self.cut_requested = False

    # --- what it tells ----------------------------------------------------------------------------------------------
    @property
    def state(self) -> int:
        """1 moving, 2 idle, 3 paused, 4 stopped, 5 wants set_state(0)."""
        if self.run == "ready":
            return 1 if self.active else 2
        return {"paused": 3, "stopped": 4, "needs_start": 5}[self.run]

    @property
    def active(self) -> bool:
        """Whether the arm has somewhere to go."""
        if self.run != "ready" or self.queue or self.lockstep:  # in lockstep nothing happens between servo commands
            return self.run == "ready" and bool(self.queue)
        return float(np.abs(self.target - self.world.get_joints()).max()) > _AT_REST_RAD

    def status(self) -> int:
        """State byte of a reply."""
        ready = self.enabled and self.run in ("ready", "paused")
        return (0x40 if self.error else 0) | (0x20 if self.warning else 0) | (0 if ready else 0x10)

    def pose(self) -> Array:
        """T_base_tcp (4, 4), m."""
        return kinematics.forward(self.world.get_joints()) @ self.T_flange_tcp

    def pose_wire(self) -> tuple[float, ...]:
        """x, y, z in mm and roll, pitch, yaw in rad."""
        T = self.pose()
        return (*(1000.0 * T[:3, 3]).tolist(), *kinematics.rpy_from_rotation(T[:3, :3]).tolist())

    def snapshot(self) -> Snapshot:
        """What a report tells now."""
        self.reports += 1
        return Snapshot(
            mode=self.mode, state=self.state, commands=min(len(self.queue), MAX_COMMANDS),
            joints=self.world.get_joints().tolist(), pose=self.pose_wire(), torques=(0.0,) * 6, enabled=self.enabled,
            error=self.error, warning=self.warning, tcp_offset=self.tcp_offset_wire, load=self.load,
            collision_sensitivity=self.collision_sensitivity, teach_sensitivity=self.teach_sensitivity,
            joint_speeds=self._speed.tolist(), version=self.version, boundary_mm=self.boundary_mm, reduced=self.reduced,
            fence=self.fence, count=self.reports,
        )  # fmt: skip

    # --- what is done to it -----------------------------------------------------------------------------------------
    def fail(self, code: int, why: str = "") -> None:
        """Raises a controller error: everything queued is dropped, the arm holds where it is."""
        self.error, self.why, self.urgent = code, why, True
        if code <= 3 or 10 <= code <= 17:
            self.enabled = False
        self.halt(_FAILURE)

    def press_estop(self) -> None:
        """Presses the emergency button; it stays pressed until ``release_estop``."""
        self.estop_pressed = True
        self.fail(ESTOP, "emergency button pressed")

    def release_estop(self) -> None:
        """Releases the button; the error stays until it is cleared."""
        self.estop_pressed = False

    def halt(self, first: int = _DISCARDED, run: Literal["stopped", "needs_start"] = "stopped") -> None:
        """Stops, empties the queue and tells the senders: the first motion ends with ``first``, the rest as dropped."""
        for i, motion in enumerate(self.queue):
            self._tell(motion, first if i == 0 else _DISCARDED)
        self.queue.clear()
        self.target = self.world.get_joints()
        self.world.set_joint_targets(self.target)
        self._speed = np.zeros(kinematics.AXES)
        self.run, self.urgent = run, True

    def clear_error(self) -> None:
        """Clears the error, unless its cause is still there."""
        self.error, self.why = (ESTOP, self.why) if self.estop_pressed else (0, "")
        self.urgent = True

    def set_state(self, value: int) -> bool:
        """0 runs, 3 pauses, 4 and 6 stop; False for what does not exist."""
        if value in (4, 6):
            self.halt()
        elif value == 3:
            self.run = "paused" if self.run == "ready" else self.run
        elif value == 0:
            if self.enabled and not self.error:
                self.run = "ready"
        else:
            return False
        self.urgent = True
        return True

    def set_mode(self, mode: int) -> bool:
        """0 position, 1 servo, others exist on a real box only; False for those."""
        if mode not in (POSITION, SERVO):
            return False
        self.halt(run="needs_start")
        self.run = "stopped" if self.error else "needs_start"
        self.mode = mode
        return True

    def enable(self, on: bool) -> None:
        """Switches all motors on or off."""
        self.enabled = on and not self.estop_pressed
        self.halt(run="stopped" if self.error or not on else "needs_start")

    def accepts(self, mode: int) -> bool:
        """Whether a motion command for ``mode`` would be executed now."""
        return self.enabled and not self.error and self.run in ("ready", "paused") and self.mode == mode

    def push(self, build: Callable[[int], Motion]) -> None:
        """Puts a motion into the queue."""
        if len(self.queue) >= MAX_COMMANDS:
            self.warning = 11
            return
        self._task = (self._task + 1) % 65536
        self.queue.append(build(self._task))
        self._finish_markers()

    def servo(self, q: Array) -> None:
        """One servo command: joints (6,), rad."""
        jump = float(np.abs(q - self.target).max())
        if not self._within_limits(q):
            self.fail(LIMIT, "servo target outside the joint limits")
        elif jump > SERVO_JUMP_RAD:
            self.fail(SERVO_SPEED, f"servo target jumps by {jump:.2f} rad")
        else:
            self.target = q
            self.world.set_joint_targets(q)

    # --- time -------------------------------------------------------------------------------------------------------
    def tick(self) -> None:
        """One world step: the motion at hand, the world, then what may have gone wrong."""
        motion = self.queue[0] if self.queue and self.run == "ready" else None
        if motion is not None:
            try:
                if motion.path is None:
                    motion.start(self.world.get_joints())
                self.target = motion.advance(self.dt_s)
                if not self._within_limits(self.target):
                    self.fail(LIMIT, "motion leaves the joint limits")
                else:
                    self.world.set_joint_targets(self.target)
            except Unreachable as error:
                self.fail(KINEMATIC, str(error))
        before = self.world.get_joints()
        self.world.step(self.dt_s)
        q = self.world.get_joints()
        self._speed = (q - before) / self.dt_s
        self.steps += 1
        self._look_for_trouble()
        if motion is not None and self.queue and self.queue[0] is motion and motion.finished(q):
            self.queue.popleft()
            self._tell(motion, _SUCCESS)
            self.urgent = True
        self._finish_markers()

    def _look_for_trouble(self) -> None:
        for fault in self.faults.on_step():
            if fault.kind == "collision":
                self.fail(COLLISION, "scripted collision")
            elif fault.kind == "error":
                self.fail(fault.code, "scripted error")
            elif fault.kind == "warning":
                self.warning, self.urgent = fault.code, True
            elif fault.kind == "estop":
                self.press_estop()
            elif fault.kind == "cut":
                self.cut_requested = True
        if self.error or self.run == "stopped":
            return
        hit = self.world.collision(self.collision_sensitivity)
        if hit is not None:
            self.fail(COLLISION, hit)
        elif self.fence and not self.inside_boundary(self.pose()[:3, 3]):
            self.fail(BOUNDARY, "tool outside the safety boundary")

    def inside_boundary(self, position_m: Array) -> bool:
        """Whether a point (3,), m, lies inside the safety boundary."""
        high, low = np.array(self.boundary_mm[::2]) / 1000.0, np.array(self.boundary_mm[1::2]) / 1000.0
        return bool((position_m <= high + 1e-4).all() and (position_m >= low - 1e-4).all())

    def _finish_markers(self) -> None:
        while self.queue and not self.queue[0].moves:
            self._tell(self.queue.popleft(), _SUCCESS)

    def _tell(self, motion: Motion, code: int) -> None:
        if motion.feedback_type & 2:
            frame = feedback(motion.request, self.status(), 2, motion.task, code, int(self.steps * self.dt_s * 1e6))
            self.outbox.append((motion.connection, frame))

    @staticmethod
    def _within_limits(q: Array) -> bool:
        return bool((q >= kinematics.LOW_RAD - 2e-3).all() and (q <= kinematics.HIGH_RAD + 2e-3).all())
