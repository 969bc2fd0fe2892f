"""The dish, the hollow spoon and the grapes of Scoop Grape, of convex pieces."""

from __future__ import annotations

from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import shapes
from deft_env.tasks.objects import Colour
from deft_env.tasks.spoon import SPOON
from deft_env.tasks.task import Variant

Array = NDArray[np.float64]

DISH: Final = "dish"
GRAPES: Final = ("grape0", "grape1", "grape2")
GRAPE_MASS_KG: Final = 0.005
"""A grape of 2 cm (assumed)."""

SLOPE_RAD: Final = np.deg2rad(39.0)
"""Slope of the spoon's wall; the propped handle rises by the same angle, so that the wall's front lies on the dish."""
FLOOR_SHARE: Final = 0.45
"""Radius of the bowl's flat floor per unit of its rim's radius (assumed)."""
BOWL_SHARE: Final = 0.62
"""Share of the spoon's mass in its bowl (assumed)."""
SHEET_M: Final = 0.0016
"""Thickness of the bowl (assumed)."""
HANDLE_HEIGHT: Final = 1.25
"""Height of the handle per unit of its width (assumed): flat sides, as a round rod turns between fingers and thumb."""
_WALLS: Final = 8

WIDTH_SHARE: Final = 0.85
"""Width of a cone's boards per side of its upper polygon: a little less, so that no corner sticks out far below."""

DISH_FLOOR_M: Final = 0.036
DISH_RIM_M: Final = 0.070
DISH_HEIGHT_M: Final = 0.047
DISH_BOTTOM_M: Final = 0.005
"""Inner radius of the dish at its floor and at its rim, height of the rim over the table, thickness (assumed)."""
_DISH_BOARDS: Final = 12
_BOARD_M: Final = 0.003


def bowl_depth_m(bowl_m: float) -> float:
    """Depth of a spoon's bowl whose rim has the radius ``bowl_m``."""
    return float((1.0 - FLOOR_SHARE) * bowl_m * np.tan(SLOPE_RAD))


def front_drop_m(bowl_m: float) -> float:
    """How far the lowest corner of a bowl lies below the middle of its rim when the handle rises by ``SLOPE_RAD``."""
    angle = 2 * np.pi * np.arange(_WALLS) / _WALLS
    across = WIDTH_SHARE * bowl_m * np.tan(np.pi / _WALLS)
    # The outer upper and lower corners of the boards, in the spoon's frame.
    out_x, out_z = SHEET_M * np.sin(SLOPE_RAD), -SHEET_M * np.cos(SLOPE_RAD)
    lowest = 0.0
    for radius, height in ((bowl_m, 0.0), (FLOOR_SHARE * bowl_m, -bowl_depth_m(bowl_m))):
        for side in (-across, across):
            x = (radius + out_x) * np.cos(angle) - side * np.sin(angle)
            lowest = min(lowest, float((x * np.sin(SLOPE_RAD) + (height + out_z) * np.cos(SLOPE_RAD)).min()))
    return -lowest


def _cone(
    body: mujoco.MjsBody, low: tuple[float, float], high: tuple[float, float], boards: int, half_sheet_m: float
) -> list[mujoco.MjsGeom]:
    """A ring of boards whose inner faces lie on the cone through (radius, height) ``low`` and ``high``, m."""
    geoms = []
    run, rise = high[0] - low[0], high[1] - low[1]
    slant, slope = float(np.hypot(run, rise)), float(np.arctan2(rise, run))
    outward = np.array([np.sin(slope), 0.0, -np.cos(slope)]) * half_sheet_m
    for i in range(boards):
        angle = 2 * np.pi * i / boards
        middle = np.array([(low[0] + high[0]) / 2, 0.0, (low[1] + high[1]) / 2]) + outward
        pitched, quaternion = np.array([np.cos(slope / 2), 0.0, -np.sin(slope / 2), 0.0]), np.zeros(4)
        mujoco.mju_mulQuat(quaternion, shapes.yaw_quaternion(angle), pitched)
        geoms.append(
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=shapes.turn(angle, middle),
                quat=quaternion,
                size=[slant / 2, WIDTH_SHARE * high[0] * np.tan(np.pi / boards), half_sheet_m],
            )
        )
    return geoms


def build_hollow_spoon(spec: mujoco.MjSpec, variant: Variant) -> None:
    """Adds a spoon whose origin is the middle of its bowl's rim, handle along +x, hollow side +z; all sensors."""
    size, look = variant.size, variant.spec
    radius, bowl = size["handle_radius"], size["bowl"]
    mass, friction = float(np.mean(look.mass_kg)), float(np.mean(look.friction))
    body = shapes.free_body(spec, SPOON)
    end = size["length"] - bowl
    handle = body.add_geom(
        name="spoon_handle",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=[(bowl + end) / 2, 0, 0],
        size=[(end - bowl) / 2, radius, HANDLE_HEIGHT * radius],
    )
    shapes.touchable(handle, friction, (1.0 - BOWL_SHARE) * mass, look.rgba[1])
    depth = bowl_depth_m(bowl)
    floor = body.add_geom(
        name="spoon_floor",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0, 0, -depth - SHEET_M / 2],
        size=[FLOOR_SHARE * bowl + 0.001, SHEET_M / 2, 0],
    )
    walls = _cone(body, (FLOOR_SHARE * bowl, -depth), (bowl, 0.0), _WALLS, SHEET_M / 2)
    for piece in (floor, *walls):
        shapes.touchable(piece, friction, BOWL_SHARE * mass / (_WALLS + 1), look.rgba[0])
    for add in (shapes.add_pose_sensors, shapes.add_table_sensor, shapes.add_grip_sensors):
        add(spec, SPOON)


def build_dish(spec: mujoco.MjSpec, rgba: Colour) -> None:
    """Adds a dish with a flat floor and a sloped wall that stands on its body's origin and does not move."""
    body = shapes.fixed_body(spec, DISH)
    floor = body.add_geom(
        name="dish_floor",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0, 0, DISH_BOTTOM_M / 2],
        size=[DISH_FLOOR_M + 0.003, DISH_BOTTOM_M / 2, 0],
    )
    wall = _cone(body, (DISH_FLOOR_M, DISH_BOTTOM_M), (DISH_RIM_M, DISH_HEIGHT_M), _DISH_BOARDS, _BOARD_M / 2)
    for piece in (floor, *wall):
        shapes.fixture(piece, rgba)
    for board in wall:
        shapes.hidden(board)
    sheet = _BOARD_M * np.array([0.8, -0.6])  # outwards, about square to the wall
    inside = np.array([(DISH_FLOOR_M, DISH_BOTTOM_M), (DISH_RIM_M, DISH_HEIGHT_M)])
    skin = shapes.turned_mesh(spec, "dish_skin", np.concatenate([inside, (inside + sheet)[::-1]])[::-1])
    shapes.decoration(body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=skin), rgba)


def build_grapes(spec: mujoco.MjSpec, variant: Variant) -> None:
    """Adds single grapes; of each the sensors ``<grape>/in_spoon`` (3, spoon's frame), ``/touch``, ``/position``."""
    from deft_env.sim import world

    xbody, frame = mujoco.mjtObj.mjOBJ_XBODY, mujoco.mjtSensor.mjSENS_FRAMEPOS
    for name in GRAPES:
        body = shapes.free_body(spec, name)
        berry = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[variant.size["berry_radius"], 0, 0])
        shapes.touchable(berry, 0.6, GRAPE_MASS_KG, variant.spec.rgba[3])
        spec.add_sensor(name=f"{name}/in_spoon", type=frame, objtype=xbody, objname=name, reftype=xbody, refname=SPOON)
        spec.add_sensor(name=f"{name}/position", type=frame, objtype=xbody, objname=name)
        world.add_contact_sensor(spec, f"{name}/touch", (xbody, name), (xbody, SPOON), force=False)
