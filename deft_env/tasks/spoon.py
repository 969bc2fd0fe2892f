"""The spoon that Pick Spoon, Stir Spoon and Scoop Grape share: a bowl, and a handle that a hand can pinch."""

from __future__ import annotations

from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import shapes
from deft_env.tasks.task import Variant

Array = NDArray[np.float64]

SPOON: Final = "spoon"
BOWL_SHARE: Final = 0.35
"""Share of the spoon's mass in its bowl (assumed)."""


def build_spoon(spec: mujoco.MjSpec, variant: Variant) -> None:
    """Adds a spoon along its body's x axis, bowl at +x, origin at the middle of the handle's axis; pose and grip sensors.

    The handle is one capsule, for a smooth pinch; the bowl a flat ellipsoid whose underside is level with the handle's
    when the spoon lies flat.
    """
    size, look = variant.size, variant.spec
    radius, length, bowl = size["handle_radius"], size["length"], size["bowl"]
    mass, friction = float(np.mean(look.mass_kg)), float(np.mean(look.friction))
    body = shapes.free_body(spec, SPOON)
    half = 0.5 * (length - 2.0 * bowl)
    handle = body.add_geom(
        name="spoon_handle",
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=[-half + radius, 0, 0, half, 0, 0],
        size=[radius, 0, 0],
    )
    shapes.touchable(handle, friction, (1.0 - BOWL_SHARE) * mass, look.rgba[1])
    scoop = body.add_geom(
        name="spoon_bowl",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        pos=[half + 0.8 * bowl, 0, 0],
        size=[1.25 * bowl, 0.85 * bowl, radius],
    )
    shapes.touchable(scoop, friction, BOWL_SHARE * mass, look.rgba[0])
    for add in (shapes.add_pose_sensors, shapes.add_table_sensor, shapes.add_grip_sensors):
        add(spec, SPOON)


def handle_middle_m(variant: Variant) -> float:
    """Height of the handle's axis over the table when the spoon lies flat, m."""
    return variant.size["handle_radius"]
