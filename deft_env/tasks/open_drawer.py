"""Open Drawer: take hold of a small knob and pull the drawer along its own axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import judging, shapes
from deft_env.tasks.task import FAST_PHYSICS, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]

CABINET: Final = "cabinet"
DRAWER: Final = "drawer"
OPENING: Final = "drawer/opening"
OPEN_M: Final = 0.01
"""The drawer ends at least this much more open than it started (paper, appendix F)."""
START_OPEN_M: Final = 0.008
"""The drawer starts slightly open (paper, appendix F; the figure is ours)."""
TRAVEL_M: Final = 0.14
_WIDTH_M, _DEPTH_M, _WALL_M = 0.18, 0.17, 0.006
_RAIL_FRICTION_N: Final = 1.2
_RAIL_DAMPING: Final = 6.0


class OpenDrawer(Task):
    """Open the drawer.

    Description: a chest with one drawer, slightly open, faces the robot; the hand takes the knob, and the demonstration
    pulls 9 cm along the drawer's axis (turned with the executed grasp's yaw).

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: object (train: white drawer, thin black knob; test: acrylic drawer, shorter, thicker, slippery steel
    knob, lower), three sizes, place (8 x 12 cm), heading (+-0.35 rad), mass of the drawer, friction of the knob.

    Success (paper, appendix F): the drawer starts slightly open and ends at least 1 cm more open.

    Score: 0.15 touched, 0.25 held when the pull begins, 0.6 for the opening gained at the end (all at 6 cm).

    Version history: v0.
    """

    name = "OpenDrawer"
    instruction = "open the drawer"
    train = ("white_drawer",)
    test = ("acrylic_drawer",)
    nominal_rotation = hand_nominal(35.0)
    randomisation = Randomisation((0.58, 0.0), (0.04, 0.06), (-0.35, 0.35))
    physics = FAST_PHYSICS

    @property
    def bodies(self) -> tuple[str, ...]:
        """The drawer; the chest stands still."""
        return (DRAWER,)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the chest, its drawer on a rail with dry friction, the knob, and the sensors."""
        import mujoco

        size, look = variant.size, variant.spec
        box, capsule = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CAPSULE
        half_w, half_d, height, wall = _WIDTH_M / 2, _DEPTH_M / 2, size["height"], _WALL_M / 2
        chest = shapes.fixed_body(spec, CABINET)
        for pos, half in (
            ((half_d, 0, height - wall), (half_d, half_w, wall)),
            ((half_d, half_w - wall, height / 2), (half_d, wall, height / 2)),
            ((half_d, wall - half_w, height / 2), (half_d, wall, height / 2)),
            ((_DEPTH_M - wall, 0, height / 2), (wall, half_w, height / 2)),
        ):
            shapes.fixture(chest.add_geom(type=box, pos=pos, size=half), look.rgba[0])
        drawer = chest.add_body(name=DRAWER, pos=[0.0, 0.0, 0.0])
        rail = drawer.add_joint(name=DRAWER, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[-1, 0, 0], range=[0, TRAVEL_M])
        rail.limited = mujoco.mjtLimited.mjLIMITED_TRUE
        rail.frictionloss, rail.damping[0] = _RAIL_FRICTION_N, _RAIL_DAMPING
        mass, friction = float(np.mean(look.mass_kg)), float(np.mean(look.friction))
        inner_w, inner_h = half_w - _WALL_M - 0.002, height / 2 - _WALL_M - 0.002
        front = drawer.add_geom(type=box, pos=[-wall, 0, height / 2 - wall], size=[wall, inner_w, inner_h])
        shapes.touchable(front, friction, 0.5 * mass, look.rgba[0])
        tray = drawer.add_geom(type=box, pos=[half_d, 0, 0.012], size=[half_d - 0.012, inner_w, 0.003])
        # The tray runs inside the chest on its rail: it may be seen and weighed but needs no contact.
        shapes.decoration(tray, look.rgba[0]).mass = 0.5 * mass
        radius, reach = size["knob_radius"], size["knob_length"]
        z = height / 2 - wall
        stem = drawer.add_geom(type=capsule, fromto=[-_WALL_M, 0, z, -_WALL_M - reach, 0, z], size=[0.6 * radius, 0, 0])
        shapes.touchable(stem, friction, 0.005, look.rgba[1])
        head = drawer.add_geom(
            name="knob", type=mujoco.mjtGeom.mjGEOM_SPHERE, pos=[-_WALL_M - reach, 0, z], size=[radius, 0, 0]
        )
        shapes.touchable(head, friction, 0.01, look.rgba[1])
        spec.add_sensor(
            name=OPENING, type=mujoco.mjtSensor.mjSENS_JOINTPOS, objtype=mujoco.mjtObj.mjOBJ_JOINT, objname=DRAWER
        )
        shapes.add_grip_sensors(spec, DRAWER)

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """The chest stands on the table, its front towards the robot; the drawer is ``START_OPEN_M`` open."""
        return {
            CABINET: (scene.position_m, shapes.yaw_quaternion(scene.yaw_rad)),
            DRAWER: (np.array([START_OPEN_M]), np.zeros(0)),
        }

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The knob's head and the drawer's heading."""
        size = scene.variant.size
        knob = np.array([-START_OPEN_M - _WALL_M - size["knob_length"], 0.0, size["height"] / 2 - _WALL_M / 2])
        return scene.position_m + shapes.turn(scene.yaw_rad, knob), scene.yaw_rad

    def _gain_m(self, signals: Signals) -> Array:
        opening = signals[OPENING][:, 0]
        return np.asarray(opening - opening[0])

    def success(self, signals: Signals) -> bool:
        """At least 1 cm more open at the end than at the start."""
        return bool(self._gain_m(signals)[-1] >= OPEN_M)

    def score(self, signals: Signals) -> float:
        """See the class."""
        return (
            0.15 * judging.touched(signals)
            + 0.25 * judging.held_at_start(signals)
            + 0.6 * judging.fraction(float(self._gain_m(signals)[-1]), 0.06)
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, moved, open."""
        return {
            "touched the drawer": judging.touched(signals),
            "held the knob when the pull began": judging.held_at_start(signals),
            "moved the drawer": bool(self._gain_m(signals).max() > 0.002),
            "opened it at least 1 cm more": self.success(signals),
        }
