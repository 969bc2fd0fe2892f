"""Flip Bagel: take the spatula under a bagel by its handle, and turn the bagel over in the pan."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import judging, shapes, soft
from deft_env.tasks.task import SPARSE_PHYSICS, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]

PAN: Final = "pan"
SPATULA: Final = "spatula"
BAGEL: Final = "bagel"
IN_PAN: Final = "bagel/pan"
"""Series (T, 1): number of contacts between bagel and pan."""
JITTER_M: Final = 0.005
"""The spatula lies this far, at most, from the pan's middle; the bagel as far from the blade's (each coordinate)."""
SLOPE_DEG: Final = 30.0
"""The handle rises towards the hand at this angle."""
GRIP_M: Final = (-0.155, 0.070)
"""Middle of the grip from the middle of the blade's underside: along the blade, and up."""
FLIPPED: Final = -0.7
"""Vertical component of the bagel's axis below which the other side faces up (45 degrees, our choice)."""
_FLOOR_M: Final = 0.006
_RIM_M: Final = 0.004
_RIM_PIECES: Final = 14
_RIM_DRAWN: Final = 42
"""Pieces of the rim for physics and for the eye."""
_ROUND: Final = (16, 10)
"""Slices and stacks in which the eye's ellipsoids and capsules are drawn: by MuJoCo's 28 x 16, which looks the same at
640 x 480, some hundred of them cost half a picture more."""
_BLADE_M: Final = (0.040, 0.040, 0.0015)
_GRIP_HALF_M: Final = 0.050
_TALL: Final = 2.1
"""Height of the grip over its thickness."""
_BAGEL_HALF_M: Final = 0.013
_DROP_M: Final = 0.016
"""The deformable bagel falls on the blade from here: it overhangs the foot of the neck, which pushes a rigid bagel up
and would stick in a deformable one like a nail."""
BREAD_SOLIMP: Final = (0.5, 0.95, 0.005, 0.5, 2.0)
"""Bread gives way: softer than rubber, over 5 mm (assumed)."""
BREAD: Final = soft.Material(young_pa=5.0e4, poisson=0.3, damping_s=0.02, solimp=BREAD_SOLIMP)
"""A firm roll, where the bagel is deformable (assumed)."""
_HOLE: Final = 0.30
"""The hole's radius over the bagel's."""
_SHARES: Final = {"blade": 0.45, "neck": 0.15, "grip": 0.40}
"""Shares of the spatula's mass (assumed): a steel blade, a hollow grip."""
SPATULA_KG: Final = 0.055
BAGEL_KG: Final = 0.045
"""Masses at the middle of the range (assumed)."""


class FlipBagel(Task):
    """Flip the bagel.

    Description: half a bagel lies on the blade of a spatula in a flat pan; the handle slopes up towards the robot, on a
    rest. The hand takes the handle from behind, as a person would; the demonstration lifts the blade by some 6 cm and
    turns it over about the forearm to the robot's left. The bagel slides off the steepening blade and falls on its
    other side: too little friction and it leaves early, too little speed and it slides down flat.

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: object (train: black pan, wooden handle; test: steel pan, thinner and slippery black handle, larger
    bagel), sizes of pan, handle and bagel, place (6 x 10 cm), heading (+-0.3 rad; pan, rest, spatula and bagel turn as
    one group), the spatula's place in the pan and the bagel's on the blade (+-5 mm in x and y), masses, friction.

    Success (paper, appendix F): the side of the bagel that faces up at the end is the other one.

    Score: 0.1 touched the spatula, 0.15 held when the lift begins, 0.15 for the height of the bagel while the spatula
    is held (all at 3 cm), 0.15 for the share of the trajectory in which the spatula is held, 0.35 for how far the
    bagel is turned over at the end (all at 180 degrees), 0.1 if it is turned over and lies in the pan.

    Version history: v0; revised: the deformable bagel starts clear of the spatula's neck; drawn with coarser rounds;
    sparse matrices in the solver (the same equations, a sixth cheaper).
    """

    name = "FlipBagel"
    instruction = "flip the bagel"
    train = ("black_pan_and_bagel",)
    test = ("steel_pan_and_bagel",)
    physics = SPARSE_PHYSICS
    deformable = True
    nominal_rotation = hand_nominal(SLOPE_DEG)
    randomisation = Randomisation((0.595, 0.0), (0.03, 0.05), (-0.3, 0.3))

    @property
    def bodies(self) -> tuple[str, ...]:
        """Spatula and bagel; the pan stands still."""
        return (SPATULA, BAGEL)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds pan and rest, spatula, bagel, and the sensors."""
        import mujoco

        from deft_env.sim import world

        spec.visual.quality.numslices, spec.visual.quality.numstacks = _ROUND
        _add_pan(spec, variant)
        _add_spatula(spec, variant)
        for add in (shapes.add_pose_sensors, shapes.add_table_sensor, shapes.add_grip_sensors):
            add(spec, SPATULA)
        if self.soft:
            _add_soft_bagel(spec, variant)
            return
        _add_bagel(spec, variant)
        for add in (shapes.add_pose_sensors, shapes.add_table_sensor):
            add(spec, BAGEL)
        body = mujoco.mjtObj.mjOBJ_XBODY
        world.add_contact_sensor(spec, IN_PAN, (body, BAGEL), (body, PAN), force=False)

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """Pan on the table, spatula in it, bagel on the blade; heading along the handle."""
        j = generator.uniform(-JITTER_M, JITTER_M, size=4)
        spin = generator.uniform(-np.pi, np.pi)
        heading = shapes.yaw_quaternion(scene.yaw_rad)
        blade = scene.position_m + shapes.turn(scene.yaw_rad, np.array([j[0], j[1], _FLOOR_M]))
        on_blade = np.array([j[2], j[3], 2 * _BLADE_M[2] + (_DROP_M if self.soft else 0.0)])
        return {
            PAN: (scene.position_m, heading),
            SPATULA: (blade, heading),
            BAGEL: (blade + shapes.turn(scene.yaw_rad, on_blade), shapes.yaw_quaternion(scene.yaw_rad + spin)),
        }

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The middle of the grip of a spatula in its place, and the heading along the handle."""
        grip = np.array([GRIP_M[0], 0.0, GRIP_M[1] + _FLOOR_M])
        return scene.position_m + shapes.turn(scene.yaw_rad, grip), scene.yaw_rad

    # --- the judge --------------------------------------------------------------------------------------------------
    def _turned_rad(self, signals: Signals) -> Array:
        """(T,) angle between the bagel's axis and the vertical: 0 as it starts, pi when the other side faces up."""
        return np.asarray(np.arccos(np.clip(signals[f"{BAGEL}/up"][:, 2], -1.0, 1.0)))

    def _lifted(self, signals: Signals) -> Array:
        """(T,) height of the bagel over its start while the spatula is in the hand, m."""
        return np.where(judging.held(signals), judging.rise_m(signals, BAGEL), 0.0)

    def success(self, signals: Signals) -> bool:
        """The other side faces up, through the end."""
        return bool((signals[f"{BAGEL}/up"][-judging.END_TICKS :, 2] < FLIPPED).all())

    def _in_pan(self, signals: Signals) -> bool:
        return bool(signals[IN_PAN][-1, 0] > 0) and not bool(signals[f"{BAGEL}/table"][-1, 0] > 0)

    def score(self, signals: Signals) -> float:
        """See the class."""
        held = judging.held(signals)[judging.phase(signals, "trajectory")]
        turned = float(self._turned_rad(signals)[-judging.END_TICKS :].mean())
        return (
            0.10 * judging.touched(signals)
            + 0.15 * judging.held_at_start(signals)
            + 0.15 * judging.fraction(float(self._lifted(signals).max()), 0.03)
            + 0.15 * judging.fraction(float(held.mean()), 0.9)
            + 0.35 * judging.fraction(turned, np.pi * 0.97)
            + 0.10 * (self.success(signals) and self._in_pan(signals))
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, lifted, turned, flipped, in the pan."""
        return {
            "touched the spatula": judging.touched(signals),
            "held the handle when the lift began": judging.held_at_start(signals),
            "lifted the bagel on the blade": bool(self._lifted(signals).max() > judging.CLEAR_M),
            "tipped the bagel past its edge": bool(self._turned_rad(signals).max() > np.pi / 2),
            "left it with the other side up": self.success(signals),
            "left it in the pan": self._in_pan(signals),
        }


def _circle(radius_m: float, pieces: int) -> Array:
    """(pieces + 1, 2) corners of a closed polygon."""
    angles = np.linspace(0.0, 2 * np.pi, pieces + 1)
    return np.asarray(radius_m * np.column_stack([np.cos(angles), np.sin(angles)]))


def _slope() -> tuple[float, float]:
    return float(np.cos(np.deg2rad(SLOPE_DEG))), float(np.sin(np.deg2rad(SLOPE_DEG)))


def _add_pan(spec: mujoco.MjSpec, variant: Variant) -> None:
    """A flat pan with a low rim and a handle to the side, and the rest under the spatula's neck."""
    import mujoco

    radius, look = variant.size["pan_radius"], variant.spec
    cylinder, capsule, box = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_BOX
    body = shapes.fixed_body(spec, PAN)
    shapes.fixture(body.add_geom(type=cylinder, pos=[0, 0, _FLOOR_M / 2], size=[radius, _FLOOR_M / 2, 0]), look.rgba[0])
    for (x0, y0), (x1, y1) in pairwise(_circle(radius, _RIM_PIECES)):
        piece = body.add_geom(type=capsule, fromto=[x0, y0, _FLOOR_M, x1, y1, _FLOOR_M], size=[_RIM_M, 0, 0])
        shapes.hidden(shapes.fixture(piece, look.rgba[0]))
    grip = body.add_geom(type=capsule, fromto=[radius, 0, 0.014, radius + 0.10, 0, 0.030], size=[0.009, 0, 0])
    shapes.fixture(grip, look.rgba[1])
    # A narrow post under the grip: fingers close beside it.
    c, _ = _slope()
    height = _FLOOR_M + GRIP_M[1] - _TALL * variant.size["handle_radius"] / c - 0.0005
    rest = body.add_geom(type=box, pos=[GRIP_M[0], 0, height / 2], size=[0.006, 0.006, height / 2])
    shapes.fixture(rest, look.rgba[4])
    for (x0, y0), (x1, y1) in pairwise(_circle(radius, _RIM_DRAWN)):
        piece = body.add_geom(type=capsule, fromto=[x0, y0, _FLOOR_M, x1, y1, _FLOOR_M], size=[_RIM_M, 0, 0])
        shapes.decoration(piece, look.rgba[0])


def _add_spatula(spec: mujoco.MjSpec, variant: Variant) -> None:
    """Blade, neck and a tall oval grip; origin under the middle of the blade, handle towards -x."""
    import mujoco

    look, half = variant.spec, variant.size["handle_radius"]
    friction = float(np.mean(look.friction))
    box, capsule = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CAPSULE
    c, s = _slope()
    body = shapes.free_body(spec, SPATULA)
    blade = body.add_geom(name="blade", type=box, pos=[0, 0, _BLADE_M[2]], size=list(_BLADE_M))
    shapes.touchable(blade, friction, _SHARES["blade"] * SPATULA_KG, look.rgba[2])
    x, z = GRIP_M
    near = (x + _GRIP_HALF_M * c, z - _GRIP_HALF_M * s)
    neck = body.add_geom(
        name="neck", type=capsule, fromto=[-_BLADE_M[0] + 0.004, 0, 0.004, near[0], 0, near[1]], size=[0.004, 0, 0]
    )
    shapes.touchable(neck, friction, _SHARES["neck"] * SPATULA_KG, look.rgba[2])
    tilt = np.deg2rad(SLOPE_DEG) / 2
    grip = body.add_geom(
        name="grip",
        type=box,
        pos=[x, 0, z],
        quat=[np.cos(tilt), 0, np.sin(tilt), 0],
        size=[_GRIP_HALF_M, half, _TALL * half],
    )
    shapes.touchable(grip, friction, _SHARES["grip"] * SPATULA_KG, look.rgba[3])


def _add_bagel(spec: mujoco.MjSpec, variant: Variant) -> None:
    """Half a bagel on its cut face: a disc to the physics, a ring to the eye; brown above, pale below."""
    import mujoco

    look, radius = variant.spec, variant.size["bagel_radius"]
    cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
    body = shapes.free_body(spec, BAGEL)
    disc = body.add_geom(name="bagel", type=cylinder, pos=[0, 0, _BAGEL_HALF_M], size=[radius, _BAGEL_HALF_M, 0])
    shapes.touchable(disc, float(np.mean(look.friction)), BAGEL_KG, look.rgba[5])
    disc.group = 3
    disc.solimp = list(BREAD_SOLIMP)
    hole = _HOLE * radius
    thick = (radius - hole) / 2
    middle = (radius + hole) / 2
    angles = np.linspace(0.0, 2 * np.pi, 29)
    ring = middle * np.column_stack([np.cos(angles), np.sin(angles)])
    for (x0, y0), (x1, y1) in pairwise(ring):
        centre, direction = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), np.arctan2(y1 - y0, x1 - x0)
        for z, flat, rgba in ((0.55, 1.0, look.rgba[5]), (0.30, 0.98, look.rgba[6])):
            piece = body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
                pos=[*centre, z * 2 * _BAGEL_HALF_M],
                quat=[np.cos(direction / 2), 0, 0, np.sin(direction / 2)],
                size=[0.42 * middle, flat * thick, min(z, 1 - z) * 2 * _BAGEL_HALF_M],
            )
            shapes.decoration(piece, rgba)


def _add_soft_bagel(spec: mujoco.MjSpec, variant: Variant) -> None:
    """The same half bagel, deformable, and a ring to the physics too."""
    import mujoco

    from deft_env.sim import names

    look, radius = variant.spec, variant.size["bagel_radius"]
    mesh = soft.ring(_HOLE * radius, radius, 2 * _BAGEL_HALF_M, (0.25, 0.75, 1.0, 1.0, 0.75, 0.25), segments=14)
    friction = float(np.mean(look.friction))
    soft.add(spec, BAGEL, mesh, BREAD, mass_kg=BAGEL_KG, friction=friction, colours=(look.rgba[6], look.rgba[5]))
    geom, body = mujoco.mjtObj.mjOBJ_GEOM, mujoco.mjtObj.mjOBJ_XBODY
    others = [(body, names.ARM_LINKS[0]), (body, SPATULA)]
    soft.add_contact_sensor(spec, f"{BAGEL}/table", others, second=(geom, names.TABLE_GEOM), force=False)
    soft.add_contact_sensor(spec, IN_PAN, others, second=(body, PAN), force=False)
