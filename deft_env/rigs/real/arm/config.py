"""Configuration of the real arm: address, tool, speeds, limits. Metres, radians, kilograms, seconds."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

import numpy as np

from deft_env.rigs.real.arm import xarm_kinematics

Vec3 = tuple[float, float, float]

VENDOR_PORT: Final = 502


@dataclass(frozen=True, slots=True)
class ArmConfig:
    """How to reach an xArm6 and what it may do. All defaults are our choice.

    Attributes:
        ip: dotted IPv4 address of the control box, or "localhost"; the SDK takes anything else for a serial port.
        control_port: TCP port of the command channel. Anything but the vendor's 502 changes a constant of the SDK for
            the whole process: for stand-ins, which cannot open a privileged port.
        tool_offset_m: tool point in the flange frame, m (the hand's ``grasp_site``).
        tool_rpy_rad: roll, pitch, yaw of the tool in the flange frame.
        tool_mass_kg: mass behind the flange.
        tool_com_m: its centre of mass in the flange frame, m.
        collision_sensitivity: 1 (heavy touch) to 5 (light touch); 0, off, is refused.
        boundary_low_m: corner of the box that the tool point must stay in; its z keeps the arm above the table.
        boundary_high_m: the opposite corner.
        joint_speed_rad_s: top speed of joint motions.
        joint_acceleration_rad_s2: of joint motions.
        line_speed_m_s: top speed of the tool in straight motions.
        line_acceleration_m_s2: of straight motions.
        servo_step_rad: most that a joint may turn between two streamed waypoints.
        servo_step_m: most that the tool may travel between two streamed poses.
        limit_margin_rad: kept from every joint limit.
        arrival_rad: how near to its target a joint must be after a motion.
        reply_timeout_s: for an answer to one command.
        connect_timeout_s: for connecting.
        motion_timeout_s: for one queued motion.
        allow_simulation: whether a control box in simulation mode (nothing moves) is accepted.
    """

    ip: str
    control_port: int = VENDOR_PORT
    tool_offset_m: Vec3 = (0.0, 0.0, 0.0)
    tool_rpy_rad: Vec3 = (0.0, 0.0, 0.0)
    tool_mass_kg: float = 0.0
    tool_com_m: Vec3 = (0.0, 0.0, 0.0)
    collision_sensitivity: int = 3
    boundary_low_m: Vec3 = (0.10, -0.50, 0.0)
    boundary_high_m: Vec3 = (0.75, 0.50, 0.80)
    joint_speed_rad_s: float = 0.6
    joint_acceleration_rad_s2: float = 4.0
    line_speed_m_s: float = 0.15
    line_acceleration_m_s2: float = 1.0
    servo_step_rad: float = 0.08
    servo_step_m: float = 0.02
    limit_margin_rad: float = 0.02
    arrival_rad: float = 0.01
    reply_timeout_s: float = 1.0
    connect_timeout_s: float = 10.0
    motion_timeout_s: float = 30.0
    allow_simulation: bool = False

    def __post_init__(self) -> None:
        if self.ip != "localhost":
            try:
                ipaddress.IPv4Address(self.ip)
            except ValueError:
                raise ValueError(f"ip: a dotted IPv4 address or 'localhost' expected, got {self.ip!r}") from None
        if not 0 < self.control_port < 65536:
            raise ValueError(f"control_port: 1 to 65535 expected, got {self.control_port}")
        if self.collision_sensitivity not in range(1, 6):
            raise ValueError(
                f"collision_sensitivity: 1 to 5 expected, got {self.collision_sensitivity}; it is never off"
            )
        for name in ("tool_offset_m", "tool_rpy_rad", "tool_com_m", "boundary_low_m", "boundary_high_m"):
            value = getattr(self, name)
            if len(value) != 3 or not np.isfinite(value).all():
                raise ValueError(f"{name}: three finite numbers expected, got {value}")
        if not all(low < high for low, high in zip(self.boundary_low_m, self.boundary_high_m, strict=True)):
            raise ValueError(
                f"boundary_low_m {self.boundary_low_m} must lie below boundary_high_m {self.boundary_high_m}"
            )
        for name, top in (
            ("joint_speed_rad_s", 3.14),
            ("joint_acceleration_rad_s2", 20.0),
            ("line_speed_m_s", 1.0),
            ("line_acceleration_m_s2", 50.0),
            ("servo_step_rad", 0.25),
            ("servo_step_m", 0.1),
            ("arrival_rad", 0.2),
            ("reply_timeout_s", 60.0),
            ("connect_timeout_s", 120.0),
            ("motion_timeout_s", 600.0),
        ):
            if not 0.0 < getattr(self, name) <= top:
                raise ValueError(f"{name}: above 0 and at most {top} expected, got {getattr(self, name)}")
        if not 0.0 <= self.tool_mass_kg <= 5.0:
            raise ValueError(f"tool_mass_kg: 0 to 5 (the arm's payload) expected, got {self.tool_mass_kg}")
        if not 0.0 <= self.limit_margin_rad <= 0.5:
            raise ValueError(f"limit_margin_rad: 0 to 0.5 expected, got {self.limit_margin_rad}")

    @property
    def T_flange_tcp(self) -> xarm_kinematics.Array:
        """Tool point in the flange frame (4, 4), m."""
        return xarm_kinematics.pose_from_rpy(self.tool_offset_m, self.tool_rpy_rad)
