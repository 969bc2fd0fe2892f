"""Every name in the simulated model: joints, actuators, sensors, sites, bodies, geoms, cameras."""

from __future__ import annotations

from typing import Final

from deft_env import grasp

# --- arm --------------------------------------------------------------------------------------------------------------
ARM_PREFIX: Final = "arm/"
ARM_BASE: Final = "arm/base"
ARM_LINKS: Final = tuple(f"arm/link{i}" for i in range(1, 7))
ARM_JOINTS: Final = tuple(f"arm/joint{i}" for i in range(1, 7))
ARM_ACTUATORS: Final = ARM_JOINTS
"""An actuator has the name of what it drives; the two kinds of object have separate name spaces."""
FLANGE_SITE: Final = "arm/flange"

# --- hand -------------------------------------------------------------------------------------------------------------
HAND_PREFIX: Final = "hand/"
HAND_BASE: Final = "hand/base"
PALM_GEOM: Final = "hand/palm"
GRASP_SITE: Final = "hand/grasp_site"
HAND_JOINTS: Final = tuple(HAND_PREFIX + name for name in grasp.JOINT_NAMES)
HAND_ACTUATORS: Final = tuple(HAND_PREFIX + name for name in grasp.MOTOR_NAMES)
HAND_TENDONS: Final = tuple(HAND_PREFIX + name for name in grasp.MOTOR_NAMES if name.endswith("_curl"))
SEGMENTS: Final = ("proximal", "middle", "distal")
"""Links of a finger from root to tip."""


def knuckle_body(finger: str) -> str:
    """Name of the small body between palm and proximal link; ``finger`` is one of ``grasp.FINGER_NAMES``."""
    return f"{HAND_PREFIX}{finger}_knuckle"


def segment_body(finger: str, segment: str) -> str:
    """Name of a link's body; ``segment`` is one of ``SEGMENTS``."""
    return f"{HAND_PREFIX}{finger}_{segment}"


def segment_geom(finger: str, segment: str) -> str:
    """Name of a link's colliding capsule."""
    return f"{HAND_PREFIX}{finger}_{segment}"


def tip_site(finger: str) -> str:
    """Name of the site at the centre of a fingertip."""
    return f"{HAND_PREFIX}{finger}_tip"


# --- world ------------------------------------------------------------------------------------------------------------
TABLE_GEOM: Final = "table"
EGO_CAMERA: Final = "ego"
FILM_CAMERA: Final = "film"
"""A second camera, for people only: closer and from the side."""

# --- sensors of every scene ----------------------------------------------------------------------------------------
ARM_POSITION_SENSORS: Final = tuple(f"{name}_position" for name in ARM_JOINTS)
HAND_POSITION_SENSORS: Final = tuple(f"{name}_position" for name in HAND_JOINTS)
GRASP_POSITION_SENSOR: Final = "hand/grasp_position"
GRASP_ORIENTATION_SENSOR: Final = "hand/grasp_orientation"
HAND_TABLE_SENSOR: Final = "hand/table_contact"
ARM_TABLE_SENSOR: Final = "arm/table_contact"
STRIKE_SENSORS: Final = (HAND_TABLE_SENSOR, ARM_TABLE_SENSOR)
"""Contact of the hand, and of the bare arm's links, with the table: found, force x, y, z (N, world frame)."""
