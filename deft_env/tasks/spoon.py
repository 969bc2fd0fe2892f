"""The spoon that Pick Spoon, Stir Spoon and Scoop Grape share: a bowl, and a handle that a hand can pinch."""

from __future__ import annotations

import itertools
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
BOWL_DEPTH: Final = 0.42
"""Half-height of the bowl per unit of its half-width (assumed)."""
FLAT_SHARE: Final = 0.45
"""Share of an arched handle's half-length that is level (assumed)."""


def build_spoon(spec: mujoco.MjSpec, variant: Variant, *, arch_m: float = 0.0) -> None:
    """Adds a spoon along its body's x axis, bowl at +x; pose, table and grip sensors.

    Lying flat, the body's origin is on the table under the middle of the handle, and the spoon rests on its bowl and on
    the end of the handle. The bowl is a flat ellipsoid, wide enough that the spoon does not roll over.

    Args:
        spec: the world.
        variant: the spoon and its size.
        arch_m: height of the handle's axis at its middle, as of a serving spoon; 0 is a straight handle on the table.
    """
    size, look = variant.size, variant.spec
    radius, length, bowl = size["handle_radius"], size["length"], size["bowl"]
    mass, friction = float(np.mean(look.mass_kg)), float(np.mean(look.friction))
    body = shapes.free_body(spec, SPOON)
    half, depth = 0.5 * (length - 2.0 * bowl), max(radius, BOWL_DEPTH * bowl)
    if arch_m:
        flat = FLAT_SHARE * half
        points = [(radius - half, radius), (-flat, arch_m), (flat, arch_m), (half, depth)]
    else:
        points = [(radius - half, radius), (half, radius)]
    pieces = list(itertools.pairwise(points))
    for i, ((x0, z0), (x1, z1)) in enumerate(pieces):
        piece = body.add_geom(
            name=f"spoon_handle{i}",
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[x0, 0, z0, x1, 0, z1],
            size=[radius, 0, 0],
        )
        shapes.touchable(piece, friction, (1.0 - BOWL_SHARE) * mass / len(pieces), look.rgba[1])
    scoop = body.add_geom(
        name="spoon_bowl",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        pos=[half + 0.8 * bowl, 0, depth],
        size=[1.25 * bowl, 0.85 * bowl, depth],
    )
    shapes.touchable(scoop, friction, BOWL_SHARE * mass, look.rgba[0])
    for add in (shapes.add_pose_sensors, shapes.add_table_sensor, shapes.add_grip_sensors):
        add(spec, SPOON)
