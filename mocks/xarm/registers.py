"""What each command of the private protocol does to the ``Controller``, and what it answers. Wire units end here."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from math import isinf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env.rigs.real.arm import xarm_kinematics as kinematics
from deft_mocks.xarm.controller import POSITION, SERVO, Controller
from deft_mocks.xarm.motion import Motion, line_path, ramp
from deft_mocks.xarm.wire import MOTIONS, Register, Request, floats

Array = NDArray[np.float64]
Plan = Callable[[Array], tuple[Array, float, Callable[[float], float]]]

INVALID: Final = 0x08
NOT_READY: Final = 0x10
_UNKNOWN_PAYLOAD: Final = bytes(112)
"""A refused getter still gets a full payload: the SDK raises on short ones."""
_NO_SOLUTION: Final = 14
_BAD_PARAMETER: Final = 12
_ROTATION_WEIGHT_M: Final = 0.3


class Registers:
    """The commands of one connection (the feedback type is the connection's own)."""

    def __init__(self, controller: Controller, connection: int) -> None:
        """Commands to ``controller`` that arrive on ``connection``."""
        self.box, self.connection, self.feedback_type = controller, connection, 0
        self._table: dict[int, Callable[[Request], tuple[int, bytes]]] = {
            Register.GET_VERSION: lambda _r: (0, controller.version.encode()[:39].ljust(40, b"\0")),
            Register.GET_ROBOT_SN: lambda _r: (0, b"XI130400000000\0AC130300000000".ljust(40, b"\0")),
            Register.MOTION_EN: self._enable,
            Register.SET_STATE: lambda r: (0 if controller.set_state(r.byte(0)) else INVALID, b""),
            Register.GET_STATE: lambda _r: (0, bytes([controller.state])),
            Register.GET_CMDNUM: lambda _r: (0, struct.pack(">H", len(controller.queue))),
            Register.GET_ERROR: lambda _r: (0, bytes([controller.error, controller.warning])),
            Register.CLEAN_ERR: self._clean_error,
            Register.CLEAN_WAR: self._clean_warning,
            Register.SET_MODE: lambda r: (0 if controller.set_mode(r.byte(0)) else INVALID, b""),
            Register.MOVE_LINE: self._line,
            Register.MOVE_JOINT: self._joint,
            Register.MOVE_HOME: self._home,
            Register.MOVE_RELATIVE: self._relative,
            Register.MOVE_SERVOJ: self._servo_joint,
            Register.MOVE_SERVO_CART: self._servo_cartesian,
            Register.SET_TCP_OFFSET: self._tcp_offset,
            Register.SET_LOAD: self._load,
            Register.COLLISION_SENSITIVITY: partial(self._sensitivity, "collision_sensitivity"),
            Register.TEACH_SENSITIVITY: partial(self._sensitivity, "teach_sensitivity"),
            Register.GET_TCP_POSE: lambda _r: (0, floats(controller.pose_wire())),
            Register.GET_JOINTS: self._joints,
            Register.GET_TORQUES: lambda _r: (0, floats((0.0,) * 7)),
            Register.GET_IK: self._inverse,
            Register.GET_FK: self._forward,
            Register.IS_JOINT_LIMIT: self._is_joint_limit,
            Register.IS_TCP_LIMIT: self._is_tcp_limit,
            Register.GET_REDUCED_MODE: lambda _r: (0, bytes([controller.reduced])),
            Register.SET_REDUCED_MODE: partial(self._switch, "reduced"),
            Register.SET_FENCE: partial(self._switch, "fence"),
            Register.SET_LIMIT_XYZ: self._boundary,
            Register.GET_REDUCED_STATE: self._reduced_state,
            Register.FEEDBACK_CHECK: self._feedback_check,
            Register.SET_FEEDBACK_TYPE: self._set_feedback_type,
        }

    def answer(self, request: Request) -> tuple[int, bytes]:
        """(state byte, payload) of the reply. Short parameters and unknown commands are answered as invalid."""
        command = self._table.get(request.register)
        if command is None:
            return self.box.status() | INVALID, _UNKNOWN_PAYLOAD
        if request.register in MOTIONS:
            mode = SERVO if request.register in (Register.MOVE_SERVOJ, Register.MOVE_SERVO_CART) else POSITION
            if not self.box.accepts(mode):
                return self.box.status() | NOT_READY, bytes(3)
        try:
            bits, payload = command(request)
        except ValueError:
            bits, payload = INVALID, _UNKNOWN_PAYLOAD
        return self.box.status() | bits, payload

    # --- states and settings ----------------------------------------------------------------------------------------
    def _enable(self, r: Request) -> tuple[int, bytes]:
        self.box.enable(bool(r.byte(1)))
        return 0, b""

    def _clean_error(self, _r: Request) -> tuple[int, bytes]:
        self.box.clear_error()
        return 0, b""

    def _clean_warning(self, _r: Request) -> tuple[int, bytes]:
        self.box.warning, self.box.urgent = 0, True
        return 0, b""

    def _switch(self, name: str, r: Request) -> tuple[int, bytes]:
        setattr(self.box, name, bool(r.byte(0)))
        self.box.urgent = True
        return 0, b""

    def _sensitivity(self, name: str, r: Request) -> tuple[int, bytes]:
        if not 0 <= r.byte(0) <= 5:
            return INVALID, b""
        setattr(self.box, name, r.byte(0))
        self.box.urgent = True
        return 0, b""

    def _tcp_offset(self, r: Request) -> tuple[int, bytes]:
        values = r.floats(6)
        self.box.tcp_offset_wire = values
        self.box.T_flange_tcp = kinematics.pose_from_rpy(np.array(values[:3]) / 1000.0, values[3:])
        self.box.urgent = True
        return 0, b""

    def _load(self, r: Request) -> tuple[int, bytes]:
        mass, x, y, z = r.floats(4)
        if not 0.0 <= mass <= 10.0:
            self.box.warning = _BAD_PARAMETER
            return INVALID, b""
        self.box.load, self.box.urgent = (mass, x, y, z), True
        return 0, b""

    def _boundary(self, r: Request) -> tuple[int, bytes]:
        if len(r.params) < 24:
            return INVALID, b""
        self.box.boundary_mm = struct.unpack_from("<6i", r.params)
        self.box.urgent = True
        return 0, b""

    def _reduced_state(self, _r: Request) -> tuple[int, bytes]:
        box = self.box
        limits = floats([v for pair in kinematics.JOINT_LIMITS_RAD for v in pair] + [0.0, 0.0])
        head = struct.pack(">B6h", box.reduced, *[int(np.clip(v, -32768, 32767)) for v in box.boundary_mm])
        return 0, head + floats((1000.0, 3.14)) + limits + bytes([box.fence, 0])

    def _set_feedback_type(self, r: Request) -> tuple[int, bytes]:
        self.feedback_type = r.byte(0)
        return 0, b""

    def _feedback_check(self, r: Request) -> tuple[int, bytes]:
        box, here = self.box, self
        nothing: Plan = lambda q: (q[None], 0.0, lambda _t: 1.0)  # noqa: E731
        box.push(lambda task: Motion(r, here.connection, here.feedback_type, task, nothing, moves=False))
        return 0, b""

    # --- kinematics -------------------------------------------------------------------------------------------------
    def _joints(self, r: Request) -> tuple[int, bytes]:
        q = [*self.box.world.get_joints().tolist(), 0.0]
        groups = [q, [0.0] * 7, [0.0] * 7][: max(1, r.byte(0, 1) & 0x0F)]
        return 0, floats(v for group in groups for v in group)

    def _inverse(self, r: Request) -> tuple[int, bytes]:
        x = r.floats(6)
        T = kinematics.pose_from_rpy(np.array(x[:3]) / 1000.0, x[3:]) @ _inverse(self.box.T_flange_tcp)
        seed = np.array(r.floats(6, 25)) if len(r.params) >= 53 else self.box.world.get_joints()
        q = kinematics.inverse(T, seed)
        if q is None:
            self.box.warning = _NO_SOLUTION
            return INVALID, bytes(28)
        return 0, floats([*q.tolist(), 0.0])

    def _forward(self, r: Request) -> tuple[int, bytes]:
        T = kinematics.forward(r.floats(7)[:6]) @ self.box.T_flange_tcp
        return 0, floats([*(1000.0 * T[:3, 3]).tolist(), *kinematics.rpy_from_rotation(T[:3, :3]).tolist()])

    def _is_joint_limit(self, r: Request) -> tuple[int, bytes]:
        q = np.array(r.floats(7)[:6])
        return 0, bytes([bool((q < kinematics.LOW_RAD).any() or (q > kinematics.HIGH_RAD).any())])

    def _is_tcp_limit(self, r: Request) -> tuple[int, bytes]:
        x = r.floats(6)
        T = kinematics.pose_from_rpy(np.array(x[:3]) / 1000.0, x[3:]) @ _inverse(self.box.T_flange_tcp)
        return 0, bytes([kinematics.inverse(T, self.box.world.get_joints()) is None])

    # --- motions ----------------------------------------------------------------------------------------------------
    def _push(self, r: Request, plan: Plan) -> tuple[int, bytes]:
        self.box.push(lambda task: Motion(r, self.connection, self.feedback_type, task, plan))
        return 0, bytes(3)

    def _joint(self, r: Request) -> tuple[int, bytes]:
        *q, _seventh, speed, acceleration, _time = r.floats(10)
        return self._push(r, _joint_plan(lambda now: np.where(np.isinf(q), now, q), speed, acceleration))

    def _home(self, r: Request) -> tuple[int, bytes]:
        speed, acceleration, _time = r.floats(3)
        return self._push(r, _joint_plan(lambda now: np.zeros_like(now), speed, acceleration))

    def _line(self, r: Request) -> tuple[int, bytes]:
        x, (speed, acceleration) = r.floats(6), r.floats(2, 24)
        at = (
            40 if len(r.params) >= 43 else len(r.params)
        )  # ten floats and three bytes; older firmware sends nine and none
        tool, axis_angle, check = (r.byte(at + i, 0) for i in range(3))
        if axis_angle or check:
            return INVALID, bytes(3)

        def goal(T: Array) -> Array:
            if tool:
                return T @ kinematics.pose_from_rpy(np.array(x[:3]) / 1000.0, x[3:])
            now = (*(1000.0 * T[:3, 3]), *kinematics.rpy_from_rotation(T[:3, :3]))
            full = [b if isinf(a) else a for a, b in zip(x, now, strict=True)]
            return kinematics.pose_from_rpy(np.array(full[:3]) / 1000.0, full[3:])

        return self._push(r, self._line_plan(goal, speed, acceleration))

    def _relative(self, r: Request) -> tuple[int, bytes]:
        *x, speed, acceleration, _time, _radius = r.floats(11)
        if r.byte(44):
            return self._push(r, _joint_plan(lambda now: now + np.array(x[:6]), speed, acceleration))

        def goal(T: Array) -> Array:
            rpy = kinematics.rpy_from_rotation(T[:3, :3]) + np.array(x[3:6])
            return kinematics.pose_from_rpy(T[:3, 3] + np.array(x[:3]) / 1000.0, rpy)

        return self._push(r, self._line_plan(goal, speed, acceleration))

    def _line_plan(self, goal: Callable[[Array], Array], speed_mm_s: float, acceleration_mm_s2: float) -> Plan:
        def plan(q: Array) -> tuple[Array, float, Callable[[float], float]]:
            T_flange_tcp = self.box.T_flange_tcp
            T_start = kinematics.forward(q) @ T_flange_tcp
            T_goal = goal(T_start)
            path = line_path(T_start, T_goal, _inverse(T_flange_tcp), q)
            turn = (float(np.trace(T_start[:3, :3].T @ T_goal[:3, :3])) - 1.0) / 2.0
            length = float(np.linalg.norm(T_goal[:3, 3] - T_start[:3, 3]))
            length = max(length, _ROTATION_WEIGHT_M * float(np.arccos(np.clip(turn, -1.0, 1.0))))
            return path, *ramp(length, max(speed_mm_s, 1e-3) / 1000.0, max(acceleration_mm_s2, 1.0) / 1000.0)

        return plan

    def _servo_joint(self, r: Request) -> tuple[int, bytes]:
        self.box.servo(np.array(r.floats(7)[:6], dtype=np.float64))
        return 0, b""

    def _servo_cartesian(self, r: Request) -> tuple[int, bytes]:
        x, (_speed, _acceleration, tool) = r.floats(6), r.floats(3, 24)
        T = kinematics.pose_from_rpy(np.array(x[:3]) / 1000.0, x[3:])
        T = self.box.pose() @ T if tool else T
        q = kinematics.inverse(T @ _inverse(self.box.T_flange_tcp), self.box.target, restarts=0)
        if q is None:
            self.box.fail(21, "servo pose has no posture near the present one")
        else:
            self.box.servo(q)
        return 0, b""


def _inverse(T: Array) -> Array:
    return np.asarray(np.linalg.inv(T), dtype=np.float64)


def _joint_plan(goal: Callable[[Array], Array], speed_rad_s: float, acceleration_rad_s2: float) -> Plan:
    def plan(q: Array) -> tuple[Array, float, Callable[[float], float]]:
        end = goal(q)
        distance = float(np.abs(end - q).max())
        return np.stack([q, end]), *ramp(distance, max(speed_rad_s, 1e-3), max(acceleration_rad_s2, 1e-2))

    return plan
