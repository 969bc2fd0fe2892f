"""Figures of the robot, as numbers only: shared by the simulated models, the kinematics and the real rig.

Arm: UFactory xArm6, from the published ``xarm_description``. Hand: assumed sizes after a photograph of the DASH hand;
each assumption has a row in PROVENANCE.md. Hand frame = flange frame: z out of the flange, along the straight fingers;
x from the finger row to the thumb (fingers flex towards +x, the thumb towards -x); y towards the index (a right hand).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Final

Vec3 = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Link:
    """One moving link: its joint in the parent link's frame (m, rad), axis +z, and its inertia (kg, m, kg m^2).

    ``inertia`` is ixx, iyy, izz, ixy, ixz, iyz about the centre of mass ``com_m``; ``effort_nm`` is the joint's limit.
    """

    origin_m: Vec3
    rpy_rad: Vec3
    range_rad: tuple[float, float]
    effort_nm: float
    mass_kg: float
    com_m: Vec3
    inertia: tuple[float, float, float, float, float, float]


_H: Final = pi / 2
_TURN: Final = 2.0 * pi
BASE_MASS_KG: Final = 2.7
BASE_COM_M: Final = (0.0, 0.0, 0.09103)
BASE_INERTIA: Final = (0.00494875, 0.00494174, 0.002219, 0.0, 0.0, 0.0)
ARM: Final = (
    Link(
        (0.0, 0.0, 0.267), (0.0, 0.0, 0.0), (-_TURN, _TURN), 50.0,
        2.3814, (0.00022, 0.02951, -0.0124), (0.0058562, 0.0050316, 0.003536652, -1.79e-5, 3.55e-6, -0.000888336),
    ),
    Link(
        (0.0, 0.0, 0.0), (-_H, 0.0, 0.0), (-2.059, 2.0944), 50.0,
        2.2675, (0.03881, -0.22783, 0.03496), (0.028315776, 0.0058, 0.0273447, 0.005, 0.00066546, -0.0045741),
    ),
    Link(
        (0.0535, -0.2845, 0.0), (0.0, 0.0, 0.0), (-3.927, 0.19198), 32.0,
        1.875, (0.07041, 0.11631, 0.0107), (0.0063483, 0.00379758, 0.00595768, -0.0015397, 0.00096858, 0.00186567),
    ),
    Link(
        (0.0775, 0.3425, 0.0), (-_H, 0.0, 0.0), (-_TURN, _TURN), 32.0,
        1.3192, (-0.00018, 0.01798, -0.02291), (0.004896, 0.00445694, 0.00134332, -6.925e-6, -1.418e-5, -0.00023186),
    ),
    Link(
        (0.0, 0.0, 0.0), (_H, 0.0, 0.0), (-1.69297, pi), 32.0,
        1.33854, (0.0651, 0.03096, 0.00315), (0.00146378, 0.00184192, 0.002333524, -0.000450624, 0.000284306,
        0.000130866),
    ),
    Link(
        (0.076, 0.097, 0.0), (-_H, 0.0, 0.0), (-_TURN, _TURN), 20.0,
        0.17, (0.0, -0.00677, -0.01098), (9.3e-5, 5.87e-5, 1.32e-4, 0.0, 0.0, -3.6e-6),
    ),
)  # fmt: skip
"""The six links, base to flange; the last link's frame is the flange."""

ARM_PARKED_RAD: Final = (1.75, -0.85, -0.75, 0.0, 1.6, 0.0)
"""Posture in which the ego camera sees the table and not the arm (our choice)."""

# --- hand (assumed) ---------------------------------------------------------------------------------------------------
GRASP_SITE_FROM_FLANGE_M: Final = (0.0, 0.0, 0.165)
"""The ONE offset of ``grasp_site`` in the flange frame (no rotation), in simulation and on the real rig (assumed)."""
FINGER_ROOT_Z_M: Final = 0.110
FINGER_ROW_X_M: Final = -0.043
FINGER_PITCH_M: Final = 0.026
THUMB_ROOT_M: Final = (0.047, 0.008, 0.110)
SEGMENT_LENGTHS_M: Final = (0.045, 0.027, 0.024)
THUMB_SEGMENT_LENGTHS_M: Final = (0.048, 0.030, 0.024)
FINGER_RADIUS_M: Final = 0.0085
SEGMENT_MASSES_KG: Final = (0.020, 0.012, 0.010)

JOINT_STIFFNESS_NM_RAD: Final = 0.08
JOINT_DAMPING_NMS_RAD: Final = 0.03
JOINT_FRICTION_NM: Final = 0.01
JOINT_ARMATURE_KGM2: Final = 3e-4
MOTOR_GAIN_NM_RAD: Final = {"side": 1.2, "forward": 1.6, "curl": 2.4}
"""Proportional gain of a motor; for ``curl`` in N m of tendon torque per rad of PIP-equivalent tendon travel."""
MOTOR_LIMIT_NM: Final = {"side": 0.6, "forward": 0.65, "curl": 0.95}
"""Limit of a motor's torque; 0.95 on the tendon is 0.64 N m at the PIP and 0.45 N m at the DIP."""
