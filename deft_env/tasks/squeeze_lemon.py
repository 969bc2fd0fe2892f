"""Squeeze Lemon: take half a lemon, carry it over a juicer and press it on the reamer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.tasks import judging, shapes, soft
from deft_env.tasks.task import FAST_PHYSICS, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]

LEMON: Final = "lemon"
JUICER: Final = "juicer"
STAND: Final = "stand"
ON_STAND: Final = "lemon/stand"
"""Series (T, 1): number of contacts between the lemon and its stand."""
STAND_M: Final = (0.019, 0.050)
"""Radius and height of the stand (assumed): fingertips reach below the lemon's cut face without striking the table."""
REAMER_TIP: Final = "reamer/tip"
"""Series (T, 3): the tip of the reamer, m."""
REAMER_FORCE: Final = "reamer/force"
"""Series (T, 4): contacts between lemon and reamer, and the force on the reamer (N, world frame)."""
CARRY_M: Final = 0.10
"""Distance from the lemon to the juicer, along the heading of the scene."""
JITTER_M: Final = 0.005
"""The juicer stands this far, at most, from its place beside the lemon, along and across the heading."""
ON_TOP_M: Final = 0.030
"""The lemon is on top of the juicer if its cut face is centred within this distance of the reamer (our choice): about
the radius of the face, so that the reamer's tip is under it."""
PRESSED_N: Final = 3.0
"""Downward force on the reamer that counts as pressing (our choice)."""
_FULL_FORCE_N: Final = 6.0
_SUNK_M: Final = 0.025
"""The cut face is at most this far below the reamer's tip: the depth of half a lemon."""
_REAMER_M: Final = (0.019, 0.019, 0.035)
_COLUMN_M: Final = 0.019
_DISH_M: Final = 0.010
_SIDES: Final = 20
RIND_SOLIMP: Final = (0.5, 0.95, 0.004, 0.5, 2.0)
"""The rind yields a little under a finger: softer than rubber, over 4 mm (assumed)."""
FRUIT: Final = soft.Material(young_pa=1.0e5, poisson=0.4, damping_s=0.02, solimp=RIND_SOLIMP)
"""Flesh in its rind, where the lemon is deformable: 5 N shorten it by some millimetres (assumed)."""
FLESH_SOLREF: Final = (0.02, 1.0)
FLESH_SOLIMP: Final = (0.1, 0.9, 0.012, 0.5, 2.0)
"""Flesh gives way: the impedance rises over 12 mm of depth (assumed)."""


FLESH_FRICTION: Final = 0.8
# (share of the radius, height over the radius) of the rind's rings, from the cut face to the point.
_PROFILE: Final = ((0.97, 0.0), (1.0, 0.1), (0.99, 0.45), (0.92, 0.75), (0.74, 1.0), (0.44, 1.18), (0.14, 1.3))


class SqueezeLemon(Task):
    """Squeeze the lemon.

    Description: half a lemon lies on its cut face on a small stand, in front of a tall, narrow juicer; both stand on
    rubber feet and do not move. The hand comes from above and takes the lemon; the demonstration lifts it, carries it
    10 cm ahead, and presses it on the reamer.

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: object (train: glass juicer; test: plastic juicer, wider and lower, with a more slippery lemon),
    sizes of juicer and lemon, place (8 x 14 cm), heading (+-0.4 rad; lemon and juicer turn as one group), the juicer's
    place beside the lemon (+-5 mm along and across the heading), mass and friction of the lemon.

    Success (paper, appendix F): at the end the lemon is grasped securely on top of the juicer. The force on the reamer
    belongs to the score; ``pressed`` judges it by itself.

    Score: 0.05 touched, 0.15 for the share of the four digits that touch it once the hand has closed, 0.1 held when the
    lift begins, 0.15 for the height reached in the hand (all at 5 cm), 0.25 for coming close to the reamer's axis in
    the hand at the end (none at 10 cm), 0.15 for resting in the hand on the reamer through the end, 0.15 for the force
    on the reamer at the end (all at 6 N).

    Version history: v0; stand and juicer 15 mm higher, digits in the score, the cut face 5 mm
    farther from the axis, another error of the prior.
    """

    name = "SqueezeLemon"
    instruction = "squeeze the lemon"
    train = ("glass_juicer_and_lemon",)
    test = ("plastic_juicer_and_lemon",)
    physics = FAST_PHYSICS
    deformable = True
    nominal_rotation = hand_nominal(90.0)
    randomisation = Randomisation((0.40, 0.0), (0.04, 0.07), (-0.4, 0.4))

    @property
    def bodies(self) -> tuple[str, ...]:
        """The lemon; the juicer stands still."""
        return (LEMON,)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds juicer and lemon, the soft contact between reamer and flesh, and the sensors."""
        import mujoco

        from deft_env.sim import world

        _add_juicer(spec, variant)
        radius, height = STAND_M
        stand = shapes.fixed_body(spec, STAND).add_geom(
            name=STAND, type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=[0, 0, height / 2], size=[radius, height / 2, 0]
        )
        shapes.fixture(stand, variant.spec.rgba[2])
        spec.add_sensor(
            name=REAMER_TIP, type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="reamer"
        )
        if self.soft:
            _add_soft_lemon(spec, variant)
            return
        _add_lemon(spec, variant)
        flesh = spec.add_pair(geomname1="lemon", geomname2="reamer", condim=4)
        flesh.solref, flesh.solimp = list(FLESH_SOLREF), list(FLESH_SOLIMP)
        flesh.friction = [FLESH_FRICTION, FLESH_FRICTION, 0.01, 1e-4, 1e-4]
        geom, body = mujoco.mjtObj.mjOBJ_GEOM, mujoco.mjtObj.mjOBJ_XBODY
        world.add_contact_sensor(spec, REAMER_FORCE, (body, LEMON), (geom, "reamer"))
        world.add_contact_sensor(spec, ON_STAND, (body, LEMON), (geom, STAND), force=False)
        for add in (shapes.add_pose_sensors, shapes.add_table_sensor, shapes.add_grip_sensors):
            add(spec, LEMON)

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """The lemon on its stand; the juicer ahead of it, a little off its place."""
        jitter = generator.uniform(-JITTER_M, JITTER_M, size=2)
        place = shapes.turn(scene.yaw_rad, np.array([CARRY_M + jitter[0], jitter[1], 0.0]))
        heading = shapes.yaw_quaternion(scene.yaw_rad)
        lemon = scene.position_m + np.array([0.0, 0.0, STAND_M[1]])
        return {
            LEMON: (lemon, heading),
            STAND: (scene.position_m, heading),
            JUICER: (scene.position_m + place, heading),
        }

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The lemon's middle, and the heading from it to the juicer."""
        height = STAND_M[1] + 0.6 * scene.variant.size["lemon_radius"]
        return scene.position_m + np.array([0.0, 0.0, height]), scene.yaw_rad

    # --- the judge --------------------------------------------------------------------------------------------------
    def _in_hand(self, signals: Signals) -> NDArray[np.bool_]:
        """(T,) held, and clear of the table and the stand."""
        off_stand = signals[ON_STAND][:, 0] == 0
        return np.asarray(judging.held(signals) & judging.off_table(signals, LEMON) & off_stand)

    def _aside_m(self, signals: Signals) -> Array:
        """(T,) horizontal distance between the middle of the cut face and the reamer's axis."""
        gap = signals[f"{LEMON}/position"][:, :2] - signals[REAMER_TIP][:, :2]
        return np.asarray(np.hypot(gap[:, 0], gap[:, 1]))

    def _force_n(self, signals: Signals) -> float:
        """Mean downward force on the reamer through the end."""
        return float(np.maximum(-signals[REAMER_FORCE][-judging.END_TICKS :, 3], 0.0).mean())

    def _on_top(self, signals: Signals) -> NDArray[np.bool_]:
        """(T,) held, and resting on the reamer with the cut face over it."""
        sunk = signals[REAMER_TIP][:, 2] - signals[f"{LEMON}/position"][:, 2]
        upright = signals[f"{LEMON}/up"][:, 2] > 0.5
        return np.asarray(
            self._in_hand(signals)
            & (signals[REAMER_FORCE][:, 0] > 0)
            & (self._aside_m(signals) < ON_TOP_M)
            & (sunk < _SUNK_M)
            & upright
        )

    @staticmethod
    def _digits(signals: Signals) -> float:
        """Share of the four digits that touch the lemon between closing and lift: it ranks grasps that nearly hold."""
        holding = judging.phase(signals, "hold")
        return float(np.mean([judging.touching(signals, digit)[holding].mean() for digit in grasp.FINGER_NAMES]))

    def success(self, signals: Signals) -> bool:
        """Held on top of the juicer through the end."""
        return bool(self._on_top(signals)[-judging.END_TICKS :].mean() >= 0.8)

    def pressed(self, signals: Signals) -> bool:
        """The second judge: held on top of the juicer, and the reamer feels at least ``PRESSED_N`` through the end."""
        return self.success(signals) and self._force_n(signals) >= PRESSED_N

    def score(self, signals: Signals) -> float:
        """See the class."""
        end = slice(-judging.END_TICKS, None)
        in_hand = self._in_hand(signals)
        rise = np.where(in_hand, judging.rise_m(signals, LEMON), 0.0)
        near = np.where(in_hand, np.clip(1.0 - self._aside_m(signals) / CARRY_M, 0.0, 1.0), 0.0)[end].mean()
        force = self._force_n(signals) if in_hand[end].mean() >= 0.8 else 0.0
        return (
            0.05 * judging.touched(signals)
            + 0.15 * self._digits(signals)
            + 0.10 * judging.held_at_start(signals)
            + 0.15 * judging.fraction(float(rise.max()), 0.05)
            + 0.25 * judging.fraction(float(near), 0.85)
            + 0.15 * float(self._on_top(signals)[end].mean())
            + 0.15 * judging.fraction(force, _FULL_FORCE_N)
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, lifted, brought to the juicer, on top, pressed."""
        in_hand = self._in_hand(signals)
        return {
            "touched the lemon": judging.touched(signals),
            "held the lemon when the lift began": judging.held_at_start(signals),
            "lifted it off its stand": bool((in_hand & (judging.rise_m(signals, LEMON) > judging.CLEAR_M)).any()),
            "brought it over the juicer": bool((in_hand & (self._aside_m(signals) < ON_TOP_M)).any()),
            "held it on top of the juicer to the end": self.success(signals),
            "pressed it on the reamer": self.pressed(signals),
        }


def _add_juicer(spec: mujoco.MjSpec, variant: Variant) -> None:
    """A dish, a column and a ribbed reamer on the table; ``reamer_height`` is the height of its tip."""
    import mujoco

    size, look = variant.size, variant.spec
    cylinder, tip = mujoco.mjtGeom.mjGEOM_CYLINDER, size["reamer_height"]
    width, depth, half = _REAMER_M
    body = shapes.fixed_body(spec, JUICER)
    dish = body.add_geom(type=cylinder, pos=[0, 0, _DISH_M / 2], size=[size["base_radius"], _DISH_M / 2, 0])
    shapes.fixture(dish, look.rgba[2])
    top = tip - half
    column = body.add_geom(type=cylinder, pos=[0, 0, (_DISH_M + top) / 2], size=[_COLUMN_M, (top - _DISH_M) / 2, 0])
    shapes.fixture(column, look.rgba[2])
    reamer = body.add_geom(
        name="reamer", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, pos=[0, 0, tip - half], size=[width, depth, half]
    )
    shapes.fixture(reamer, look.rgba[3])
    for angle in np.arange(6) * (np.pi / 3):
        # A rib along the ellipsoid's meridian: visible only.
        polar = np.deg2rad([25.0, 55.0, 85.0])
        meridian = np.column_stack([width * np.sin(polar), np.zeros(3), tip - half + half * np.cos(polar)])
        for start, end in pairwise(shapes.turn(float(angle), point) for point in meridian):
            rib = body.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[*start, *end], size=[0.0018, 0, 0])
            shapes.decoration(rib, look.rgba[3])
    body.add_site(name="reamer", pos=[0, 0, tip], size=[0.003] * 3, group=4)


def _add_lemon(spec: mujoco.MjSpec, variant: Variant) -> None:
    """Half a lemon standing on its cut face, at its body's origin: a convex dome with a blunt point."""
    import mujoco

    look, radius = variant.spec, variant.size["lemon_radius"]
    angle = np.arange(_SIDES) * (2 * np.pi / _SIDES)
    vertices = np.concatenate(
        [radius * np.column_stack([r * np.cos(angle), r * np.sin(angle), np.full(_SIDES, z)]) for r, z in _PROFILE]
    )
    spec.add_mesh(name="lemon", uservert=vertices.astype(np.float32).flatten())
    body = shapes.free_body(spec, LEMON)
    rind = body.add_geom(name="lemon", type=mujoco.mjtGeom.mjGEOM_MESH, meshname="lemon")
    shapes.touchable(rind, float(np.mean(look.friction)), float(np.mean(look.mass_kg)), look.rgba[0])
    rind.solimp = list(RIND_SOLIMP)
    face = body.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=[0, 0, -0.0004], size=[0.86 * radius, 0.0006, 0])
    shapes.decoration(face, look.rgba[1])


def _add_soft_lemon(spec: mujoco.MjSpec, variant: Variant) -> None:
    """The same half lemon, deformable; its sensors measure what rigid ones would."""
    import mujoco

    from deft_env.sim import names

    look, radius = variant.spec, variant.size["lemon_radius"]
    # A face of flesh, then the rind's rings without the one that is too near another for an element.
    profile = [(0.0, 0.0), (0.84, 0.0), *(ring for ring in _PROFILE if ring[1] != 0.1), (0.0, 1.3)]
    texture = [0.2, 0.4, 0.6, *(1.0 for _ in profile[3:])]
    mesh = soft.turned(radius * np.array(profile), texture, sides=12)
    friction, mass = float(np.mean(look.friction)), float(np.mean(look.mass_kg))
    soft.add(spec, LEMON, mesh, FRUIT, mass_kg=mass, friction=friction, colours=(look.rgba[1], look.rgba[0]))
    reamer = spec.geom("reamer")
    # The reamer's contacts are the flesh's: it wins over the rind.
    reamer.priority, reamer.solref, reamer.solimp = 2, list(FLESH_SOLREF), list(FLESH_SOLIMP)
    reamer.condim, reamer.friction = 4, [FLESH_FRICTION, 0.01, 1e-4]
    geom, body = mujoco.mjtObj.mjOBJ_GEOM, mujoco.mjtObj.mjOBJ_XBODY
    robot = (body, names.ARM_LINKS[0])
    soft.add_contact_sensor(spec, REAMER_FORCE, [robot], second=(geom, "reamer"))
    soft.add_contact_sensor(spec, ON_STAND, [robot], second=(geom, STAND), force=False)
    soft.add_contact_sensor(spec, f"{LEMON}/table", [robot], second=(geom, names.TABLE_GEOM), force=False)
    shapes.add_soft_grip_sensors(spec, [(geom, names.TABLE_GEOM), (body, JUICER), (body, STAND)])
