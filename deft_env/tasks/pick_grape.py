"""Pick Grape: lift a bunch of grapes whose stems break when they are stretched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import judging, shapes
from deft_env.tasks.distractors import Distractor
from deft_env.tasks.task import FAST_PHYSICS, Breakable, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]

BUNCH: Final = "bunch"
"""The body that all parts of the bunch hang on, for the sensors' sake; it does not move."""
STALK: Final = "stalk"
GRAPES: Final = tuple(f"grape{i}" for i in range(6))
STAND: Final = "stand"
BREAK_M: Final = 0.0065
"""A stem breaks when its grape is this far from its place on the stalk (assumed).

A hanging grape pulls its stem 4 mm long, a good grasp and lift 5 mm, 6.4 mm in one of ten: measured. Real stems are far
stronger, and ripe enough to fall means: hardly holding.
"""
STAND_M: Final = (0.019, 0.030)
"""Radius and height of the stand (assumed): fingertips 17 mm thick can reach below the lowest grapes."""
STALK_SHARE: Final = 0.2
"""Share of the bunch's mass in its stalk (assumed)."""
_STALK_RADIUS_M: Final = 0.0035
_STALK_END_M: Final = 0.018
_RING: Final = 1.2
_RISE: Final = 1.62
"""Two rings of three grapes, the upper one turned by 60 degrees: ring radius and distance in grape radii, so that
neighbours just do not touch."""
_STEM_SOLREF: Final = (0.02, 1.0)
"""As stiff as a step of 10 ms can do."""


def places_m(radius_m: float) -> Array:
    """(6, 3) centres of the grapes on the stalk, whose origin is on the stand under the middle of the bunch."""
    angle = np.arange(3) * (2 * np.pi / 3)
    rings = []
    for layer in range(2):
        turned = angle + layer * np.pi / 3
        height = np.full(3, 1.0 + layer * _RISE)
        rings.append(np.column_stack([_RING * np.cos(turned), _RING * np.sin(turned), height]))
    return np.asarray(radius_m * np.concatenate(rings))


def stretch_sensor(grape: str) -> str:
    """Series (T, 3): how far a grape is from its place on the stalk, m, stalk frame."""
    return f"{grape}/stretch"


class PickGrape(Task):
    """Pick up the grapes.

    Description: a bunch of six grapes stands on a small stand. Each grape hangs on the stalk by a stem, which gives a
    little and breaks for good when it is stretched by 6.5 mm: fingers that squeeze too hard, or take the upper grapes
    alone, tear some off, the reference grasp seldom. The hand comes from above and closes round the bunch; the
    demonstration lifts 12 cm. A grape moves but does not spin (a berry of a bunch hardly can).

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: object (train: green grapes; test: purple grapes, larger, heavier, more slippery), five sizes, place
    (10 x 16 cm), heading (+-0.6 rad), the turn of the bunch about its stalk, mass, friction. Test scenes have a toy
    tomato beside the bunch.

    Success (paper, appendix F): all grapes are held above the table; one fallen grape is a failure. A grape whose stem
    broke counts as long as it stays in the hand.

    Score: 0.1 touched, 0.15 held when the lift begins, 0.2 for the height of the stalk while held (all at 5 cm), 0.35
    for the share of grapes above the table through the end, 0.2 if those are all.

    Version history: v0; revised: a toy tomato in the scenes of the test split; stiffer stems that break at 6.5 mm, not
    10, and a prior that is off to the side and high, so that stems decide.
    """

    name = "PickGrape"
    instruction = "pick up the grapes"
    train = ("green_bunch",)
    test = ("purple_bunch",)
    distractor = Distractor("toy_tomato", (-0.02, 0.05), (0.11, 0.14), 3.0)
    physics = FAST_PHYSICS
    breakables = tuple(Breakable(name, stretch_sensor(name), BREAK_M) for name in GRAPES)
    nominal_rotation = hand_nominal(90.0)
    randomisation = Randomisation((0.45, 0.0), (0.05, 0.08), (-0.6, 0.6))

    @property
    def bodies(self) -> tuple[str, ...]:
        """Stalk and grapes."""
        return (STALK, *GRAPES)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the stand, the bunch with its breakable stems, and the sensors."""
        import mujoco

        look = variant.spec
        radius, height = STAND_M
        stand = shapes.fixed_body(spec, STAND).add_geom(
            name=STAND, type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=[0, 0, height / 2], size=[radius, height / 2, 0]
        )
        shapes.fixture(stand, look.rgba[2])
        bunch = shapes.fixed_body(spec, BUNCH)
        _add_stalk(spec, bunch, variant)
        _add_grapes(spec, bunch, variant)
        spec.add_sensor(
            name=f"{STALK}/position",
            type=mujoco.mjtSensor.mjSENS_FRAMEPOS,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=STALK,
        )
        shapes.add_table_sensor(spec, BUNCH)
        shapes.add_grip_sensors(spec, BUNCH)
        self.build_distractor(spec, variant)

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """The bunch upright on its stand, turned about its stalk at random."""
        spin = scene.yaw_rad + generator.uniform(-np.pi, np.pi)
        base = scene.position_m + np.array([0.0, 0.0, STAND_M[1]])
        grapes = {
            name: (base + shapes.turn(spin, place), np.zeros(0))
            for name, place in zip(GRAPES, places_m(scene.variant.size["berry_radius"]), strict=True)
        }
        return {
            STAND: (scene.position_m, shapes.yaw_quaternion(scene.yaw_rad)),
            STALK: (base, shapes.yaw_quaternion(spin)),
            **grapes,
        }

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The middle of the bunch and the heading of the scene."""
        middle = STAND_M[1] + (1.0 + _RISE / 2) * scene.variant.size["berry_radius"]
        return scene.position_m + np.array([0.0, 0.0, middle]), scene.yaw_rad

    # --- the judge --------------------------------------------------------------------------------------------------
    def _above(self, signals: Signals) -> NDArray[np.bool_]:
        """(6,) grapes that stay clear of where they stood, through the end, m."""
        rises = [judging.rise_m(signals, name)[-judging.END_TICKS :].min() for name in GRAPES]
        return np.asarray(np.array(rises) > judging.CLEAR_M)

    def _broken(self, signals: Signals) -> int:
        """How many stems broke."""
        stretch = [np.sqrt((signals[stretch_sensor(name)] ** 2).sum(axis=1)).max() for name in GRAPES]
        return int((np.array(stretch) > BREAK_M).sum())

    def success(self, signals: Signals) -> bool:
        """All grapes above the table and held, through the end."""
        off_table = judging.off_table(signals, BUNCH)[-judging.END_TICKS :].all()
        return bool(self._above(signals).all() and off_table and judging.held_at_end(signals))

    def score(self, signals: Signals) -> float:
        """See the class."""
        rise = np.where(judging.held(signals), judging.rise_m(signals, STALK), 0.0)
        return (
            0.10 * judging.touched(signals)
            + 0.15 * judging.held_at_start(signals)
            + 0.20 * judging.fraction(float(rise.max()), 0.05)
            + 0.35 * float(self._above(signals).mean())
            + 0.20 * self.success(signals)
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, lifted, unbroken, kept."""
        rise = np.where(judging.held(signals), judging.rise_m(signals, STALK), 0.0)
        return {
            "touched the grapes": judging.touched(signals),
            "held the bunch when the lift began": judging.held_at_start(signals),
            "lifted the bunch": bool(rise.max() > judging.CLEAR_M),
            "broke no stem": self._broken(signals) == 0,
            "kept every grape above the table to the end": self.success(signals),
        }


def _slides(body: mujoco.MjsBody, name: str) -> None:
    """Three slides: the body moves in space; the joint called ``name`` is the first."""
    import mujoco

    for suffix, axis in (("", (1, 0, 0)), ("_y", (0, 1, 0)), ("_z", (0, 0, 1))):
        body.add_joint(name=name + suffix, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)


def _add_stalk(spec: mujoco.MjSpec, bunch: mujoco.MjsBody, variant: Variant) -> None:
    """The stalk: a rod up the middle of the bunch, with short twigs that are visible only."""
    import mujoco

    look, radius = variant.spec, variant.size["berry_radius"]
    body = bunch.add_body(name=STALK)
    _slides(body, STALK)
    turn = body.add_joint(name=f"{STALK}_turn", type=mujoco.mjtJoint.mjJNT_BALL)
    turn.armature, turn.damping[0] = 3e-6, 2e-5  # a thin rod alone is stiff to integrate
    capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
    top = (2.0 + _RISE) * radius + _STALK_END_M
    rod = body.add_geom(name=STALK, type=capsule, fromto=[0, 0, 1.2 * radius, 0, 0, top], size=[_STALK_RADIUS_M, 0, 0])
    shapes.touchable(rod, float(np.mean(look.friction)), STALK_SHARE * float(np.mean(look.mass_kg)), look.rgba[1])
    for name, place in zip(GRAPES, places_m(radius), strict=True):
        twig = body.add_geom(type=capsule, fromto=[0, 0, place[2] + 0.4 * radius, *place], size=[0.0015, 0, 0])
        shapes.decoration(twig, look.rgba[1])
        body.add_site(name=f"{name}_place", pos=place, size=[0.002] * 3, group=4)


def _add_grapes(spec: mujoco.MjSpec, bunch: mujoco.MjsBody, variant: Variant) -> None:
    """The grapes, each tied to its place on the stalk; grape and stalk pass each other, the stem keeps them apart."""
    import mujoco

    look, radius = variant.spec, variant.size["berry_radius"]
    mass = (1.0 - STALK_SHARE) * float(np.mean(look.mass_kg)) / len(GRAPES)
    site = mujoco.mjtObj.mjOBJ_SITE
    for name in GRAPES:
        body = bunch.add_body(name=name)
        _slides(body, name)
        berry = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius, 0, 0])
        shapes.touchable(berry, float(np.mean(look.friction)), mass, look.rgba[0])
        body.add_site(name=name, pos=[0, 0, 0], size=[0.002] * 3, group=4)
        stem = spec.add_equality(
            name=name, type=mujoco.mjtEq.mjEQ_CONNECT, objtype=site, name1=f"{name}_place", name2=name
        )
        stem.solref = list(_STEM_SOLREF)
        spec.add_exclude(bodyname1=STALK, bodyname2=name)
        position = mujoco.mjtSensor.mjSENS_FRAMEPOS
        spec.add_sensor(name=f"{name}/position", type=position, objtype=mujoco.mjtObj.mjOBJ_XBODY, objname=name)
        spec.add_sensor(
            name=stretch_sensor(name), type=position, objtype=site, objname=name, reftype=site, refname=f"{name}_place"
        )
