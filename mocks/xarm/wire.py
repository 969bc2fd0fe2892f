"""Bytes of the control box's private protocol: requests, replies, feedback frames, report frames.

Header fields are big-endian, floats little-endian, as the vendor's SDK reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

PRIVATE: Final = (2, 3)
"""Protocol identifiers of commands; 3 is what newer SDKs switch to, answered alike."""
HEARTBEAT: Final = 1
HEADER_BYTES: Final = 7
MAX_REQUEST_BYTES: Final = 1024
FEEDBACK: Final = 0xFF
REPORT_BYTES: Final = {30001: 145, 30002: 587, 30003: 135}
"""Report port -> exact frame size of the newest layout; the SDK drops a stream whose size changes."""


class Register(IntEnum):
    """Function numbers of the commands that the stand-in knows."""

    GET_VERSION = 1
    GET_ROBOT_SN = 2
    MOTION_EN = 11
    SET_STATE = 12
    GET_STATE = 13
    GET_CMDNUM = 14
    GET_ERROR = 15
    CLEAN_ERR = 16
    CLEAN_WAR = 17
    SET_MODE = 19
    MOVE_LINE = 21
    MOVE_JOINT = 23
    MOVE_HOME = 25
    MOVE_SERVOJ = 29
    MOVE_SERVO_CART = 30
    SET_TCP_OFFSET = 35
    SET_LOAD = 36
    COLLISION_SENSITIVITY = 37
    TEACH_SENSITIVITY = 38
    GET_TCP_POSE = 41
    GET_JOINTS = 42
    GET_IK = 43
    GET_FK = 44
    IS_JOINT_LIMIT = 45
    IS_TCP_LIMIT = 46
    GET_REDUCED_MODE = 49
    SET_REDUCED_MODE = 50
    SET_LIMIT_XYZ = 52
    GET_REDUCED_STATE = 53
    GET_TORQUES = 55
    SET_FENCE = 59
    MOVE_RELATIVE = 83
    FEEDBACK_CHECK = 253
    SET_FEEDBACK_TYPE = 254


MOTIONS: Final = frozenset(
    {
        Register.MOVE_LINE,
        Register.MOVE_JOINT,
        Register.MOVE_HOME,
        Register.MOVE_SERVOJ,
        Register.MOVE_SERVO_CART,
        Register.MOVE_RELATIVE,
    }
)
"""Commands that move the arm: refused with "not ready" outside the state and mode they need."""


@dataclass(frozen=True, slots=True)
class Request:
    """One command frame."""

    transaction: int
    protocol: int
    register: int
    params: bytes

    def floats(self, count: int, offset: int = 0) -> tuple[float, ...]:
        """``count`` little-endian floats of the parameters; ValueError when they are too short."""
        if len(self.params) < offset + 4 * count:
            raise ValueError(f"register {self.register}: {offset + 4 * count} bytes expected, got {len(self.params)}")
        return struct.unpack_from(f"<{count}f", self.params, offset)

    def byte(self, index: int, default: int | None = None) -> int:
        """One byte of the parameters; ValueError when it is missing and there is no default."""
        if index < len(self.params):
            return self.params[index]
        if default is None:
            raise ValueError(f"register {self.register}: byte {index} is missing")
        return default


class BadFrame(ValueError):
    """What arrived is not a command frame; the connection cannot be read any further."""


def split(buffer: bytearray) -> list[Request]:
    """Takes whole frames off the front of ``buffer``; raises BadFrame for what cannot be a private command."""
    out = []
    while len(buffer) >= HEADER_BYTES:
        transaction, protocol, length = struct.unpack_from(">HHH", buffer)
        if protocol not in (*PRIVATE, HEARTBEAT) or not 1 <= length <= MAX_REQUEST_BYTES:
            raise BadFrame(f"protocol {protocol}, length {length}: only the private protocol (2, 3) is spoken here")
        if len(buffer) < 6 + length:
            break
        if protocol != HEARTBEAT:
            out.append(Request(transaction, protocol, buffer[6], bytes(buffer[7 : 6 + length])))
        del buffer[: 6 + length]
    return out


def reply(request: Request, status: int, payload: bytes = b"") -> bytes:
    """The answer to a request."""
    head = struct.pack(">HHHBB", request.transaction, request.protocol, 2 + len(payload), request.register, status)
    return head + payload


def feedback(request: Request, status: int, kind: int, task: int, code: int, microseconds: int) -> bytes:
    """The unsolicited frame on a command that started (kind 1) or ended (2), with code 0 ok, 1 failed, 2 dropped."""
    body = struct.pack(">BBBBHBQ", FEEDBACK, status, kind, request.register, task, code, microseconds)
    return struct.pack(">HHH", request.transaction, request.protocol, len(body)) + body


def floats(values: Iterable[float]) -> bytes:
    """Little-endian single floats."""
    values = [float(v) for v in values]
    return struct.pack(f"<{len(values)}f", *values)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a report tells: units of the wire (mm, rad, N m, kg)."""

    mode: int
    state: int
    commands: int
    joints: Sequence[float]
    pose: Sequence[float]
    torques: Sequence[float]
    enabled: bool
    error: int
    warning: int
    tcp_offset: Sequence[float]
    load: Sequence[float]
    collision_sensitivity: int
    teach_sensitivity: int
    joint_speeds: Sequence[float]
    version: str
    boundary_mm: Sequence[int]
    reduced: bool
    fence: bool
    count: int


def report(port: int, s: Snapshot) -> bytes:
    """One frame of the report stream on ``port`` (30001 normal, 30002 rich, 30003 real)."""
    out = bytearray(REPORT_BYTES[port])
    struct.pack_into(">IBH", out, 0, len(out), (s.mode << 4) | s.state, s.commands)
    struct.pack_into("<20f", out, 7, *s.joints, 0.0, *s.pose, *s.torques, 0.0)
    if port == 30003:
        return bytes(out)
    bits = 0x3F if s.enabled else 0
    struct.pack_into("<4B10f2B3f", out, 87, bits, bits, s.error, s.warning, *s.tcp_offset, *s.load,
                     s.collision_sensitivity, s.teach_sensitivity, 0.0, 0.0, -1.0)  # fmt: skip
    if port == 30001:
        return bytes(out)
    struct.pack_into("<6B30s", out, 145, 6, 6, 1, 1, 1, 1, s.version.encode()[:29])
    struct.pack_into("<12f", out, 181, 1e4, 1.0, 5e4, 0.1, 1e3, 350.0, 0.01, 20.0, 0.01, 3.14, 40.0, 40.0)
    struct.pack_into("<7b", out, 245, *[30] * 6, 0)
    struct.pack_into("<8f", out, 252, 0.0, *s.joint_speeds, 0.0)
    struct.pack_into(">I", out, 284, s.count)
    out[315] = 0
    struct.pack_into(">7H", out, 341, *[2400] * 6, 0)
    out[494] = (1 if s.reduced else 0) | (2 if s.fence else 0)
    out[495] = int(s.reduced)
    struct.pack_into(">6h", out, 496, *s.boundary_mm)
    struct.pack_into("<2f", out, 508, 1000.0, 3.14)
    out[572] = int(s.fence)
    return bytes(out)
