"""What Pick Cup and Pour Cup share: the cup, its scene and a person's grasp of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import judging, shapes
from deft_env.tasks.task import SPARSE_PHYSICS, Scene, Signals, Task, Variant, hand_nominal

Array = NDArray[np.float64]

CUP: Final = "cup"
GRASP_HEIGHT: Final = 0.55
"""Where a person grasps a cup, as a share of its height (our choice)."""
_WALL_M: Final = 0.002
_HANDLE: Final = (0.28, 0.78)
"""Where a handle meets the cup, as shares of its height."""


def build_cup(spec: mujoco.MjSpec, variant: Variant) -> None:
    """Adds a cup that stands on its body's origin, and the sensors ``cup/position|up|table`` and ``grip/…``.

    The cup is a solid convex frustum to the physics and looks hollow: no task's hand or object goes inside a cup.
    """
    size, look = variant.size, variant.spec
    bottom, top, height = size["bottom_radius"], size["top_radius"], size["height"]
    mass = float(np.mean(look.mass_kg))
    body = shapes.free_body(spec, CUP)
    mesh = shapes.frustum_mesh(spec, "cup_wall", bottom, top, height)
    wall = body.add_geom(name="cup_wall", type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh)
    shapes.touchable(wall, float(np.mean(look.friction)), mass, look.rgba[0])
    cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
    rim = body.add_geom(type=cylinder, pos=[0, 0, height], size=[top, 0.0008, 0])
    shapes.decoration(rim, look.rgba[1])
    inside = body.add_geom(type=cylinder, pos=[0, 0, height + 0.0006], size=[top - _WALL_M, 0.0006, 0])
    shapes.decoration(inside, (0.25, 0.22, 0.22, 1.0))
    if variant.object == "blue_cup":
        _add_handle(body, (top, top), height, look.rgba[0])
    elif variant.object == "tall_blue_cup":
        low, high = (bottom + (top - bottom) * share for share in _HANDLE)
        _add_handle(body, (low, high), height, look.rgba[0])
    for add in (shapes.add_pose_sensors, shapes.add_table_sensor, shapes.add_grip_sensors):
        add(spec, CUP)


def _add_handle(
    body: mujoco.MjsBody, wall_m: tuple[float, float], height: float, rgba: tuple[float, float, float, float]
) -> None:
    """A handle of three bars on the far side (+x of the cup): touchable and of little mass.

    Args:
        body: the cup.
        wall_m: distance from the axis at which its lower and its upper end meet the wall.
        height: of the cup, m.
        rgba: its colour.
    """
    far = wall_m[1] + 0.026
    low, high = _HANDLE[0] * height, _HANDLE[1] * height
    for start, end in (((wall_m[0], low), (far, low)), ((far, low), (far, high)), ((far, high), (wall_m[1], high))):
        bar = body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[start[0], 0, start[1], end[0], 0, end[1]],
            size=[0.0045, 0, 0],
        )
        shapes.touchable(bar, 0.6, 0.004, rgba)


class CupTask(Task):
    """A task about one cup that stands on the table and is grasped from the side."""

    train = ("solo_cup",)
    physics = SPARSE_PHYSICS
    nominal_rotation = hand_nominal(25.0)

    @property
    def bodies(self) -> tuple[str, ...]:
        """The cup."""
        return (CUP,)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the cup and its sensors."""
        build_cup(spec, variant)
        self.build_distractor(spec, variant)

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """The cup upright on the table; its handle points away from the approach, within +-40 degrees."""
        heading = scene.yaw_rad + generator.uniform(-0.7, 0.7)
        return {CUP: (scene.position_m, shapes.yaw_quaternion(heading))}

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The cup's axis at 55 % of its height; heading of the scene."""
        return scene.position_m + np.array([0.0, 0.0, GRASP_HEIGHT * scene.variant.size["height"]]), scene.yaw_rad

    def in_hand(self, signals: Signals) -> NDArray[np.bool_]:
        """(T,) held and clear of the table; a cup that tips over on the table is not."""
        return np.asarray(
            judging.held(signals) & judging.off_table(signals, CUP) & (judging.rise_m(signals, CUP) > judging.CLEAR_M)
        )
