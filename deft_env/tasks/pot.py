"""A pot of convex pieces: a disc and a ring of boards, hollow to whatever goes in."""

from __future__ import annotations

from typing import Final

import mujoco
import numpy as np

from deft_env.tasks import shapes
from deft_env.tasks.objects import Colour

POT: Final = "pot"
FLOOR_M: Final = 0.006
"""Thickness of the bottom (assumed)."""
WALL_M: Final = 0.004
_BOARDS: Final = 14


def build_pot(spec: mujoco.MjSpec, radius_m: float, height_m: float, rgba: tuple[Colour, Colour]) -> mujoco.MjsBody:
    """Adds a pot that stands on its body's origin and does not move; sensor ``pot/position``.

    Args:
        spec: the world.
        radius_m: inner radius of the wall, at the middle of a board.
        height_m: height of the rim over the table.
        rgba: wall and handles.
    """
    body = shapes.fixed_body(spec, POT)
    box, capsule = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CAPSULE
    floor = body.add_geom(
        name="pot_floor",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0, 0, FLOOR_M / 2],
        size=[radius_m + WALL_M, FLOOR_M / 2, 0],
    )
    shapes.fixture(floor, rgba[0])
    middle = radius_m + WALL_M / 2
    half_width = (radius_m + WALL_M) * np.tan(np.pi / _BOARDS)
    for i in range(_BOARDS):
        angle = 2 * np.pi * i / _BOARDS
        board = body.add_geom(
            type=box,
            pos=[middle * np.cos(angle), middle * np.sin(angle), height_m / 2],
            quat=shapes.yaw_quaternion(angle),
            size=[WALL_M / 2, half_width, height_m / 2],
        )
        shapes.fixture(board, rgba[0])
    for side in (-1.0, 1.0):
        near, far = side * (radius_m + WALL_M), side * (radius_m + 0.028)
        z = 0.8 * height_m
        for start, end in (
            ((-0.025, near), (-0.025, far)),
            ((-0.025, far), (0.025, far)),
            ((0.025, far), (0.025, near)),
        ):
            bar = body.add_geom(type=capsule, fromto=[*start, z, *end, z], size=[0.005, 0, 0])
            shapes.fixture(bar, rgba[1])
    shapes.add_pose_sensors(spec, POT)
    return body
