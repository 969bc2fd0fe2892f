"""Stir Spoon: take the handle of a spoon that leans in a pot, and stir."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import judging, shapes
from deft_env.tasks.pot import FLOOR_M, POT, build_pot
from deft_env.tasks.spoon import BOWL_DEPTH, SPOON, build_spoon
from deft_env.tasks.task import FAST_PHYSICS, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]

BASE: Final = "spoon/base"
"""Sensor of the bowl's centre, (T, 3)."""
LEAN_RAD: Final = np.deg2rad(25.0)
"""Angle between the handle and the vertical: the handle leans on the far rim (our choice)."""
BOWL_SHARE: Final = 0.65
"""Share of the spoon's mass in its bowl (assumed): a light handle, else it tips out of the pot."""
GRIP_FROM_TOP_M: Final = 0.045
"""Where a person takes the handle, from its upper end (our choice)."""
ENOUGH_RAD: Final = np.pi
"""The base goes at least this far round the pot (paper, appendix F)."""
NEAR_CENTRE_M: Final = 0.008
"""A base closer to the pot's axis has no direction: it goes nowhere round the pot (our choice)."""
_FULL_RAD: Final = np.deg2rad(270.0)


class StirSpoon(Task):
    """Stir with the spoon.

    Description: a spoon stands in a pot, its handle leaning on the far rim; the hand pinches the handle above the rim,
    and the demonstration leads it round the pot, 1.1 turns on a circle of 3.8 cm. The pot is heavy and stands fast.

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: objects (train: wooden spoon in a steel pot; test: thinner, shorter, heavier, more slippery steel
    spoon in a blue pot), five dimensions in 25 sizes, place (8 x 12 cm), heading (+-0.4 rad) of the group, lean
    direction (+-0.1 rad) and base (+-4 mm) of the spoon in the pot, mass and friction of the spoon.

    Success (paper, appendix F): the spoon's base goes at least 180 degrees round the pot while grasped. The way round
    is the net angle about the pot's axis while the base is inside the pot and the spoon held.

    Score: 0.1 touched, 0.2 held when the stirring begins, 0.5 for the way round while held (all at 270 degrees), 0.2
    for the share of the trajectory in which the spoon is held with its base in the pot.

    Version history: v0; 25 sizes instead of 3125 (same task, other draws of all but the first two dimensions).
    """

    name = "StirSpoon"
    instruction = "stir with the spoon"
    train = ("pot_and_wooden_spoon",)
    test = ("pot_and_steel_spoon",)
    physics = FAST_PHYSICS
    nominal_rotation = hand_nominal(25.0)
    randomisation = Randomisation((0.48, 0.0), (0.04, 0.06), (-0.4, 0.4))

    @property
    def bodies(self) -> tuple[str, ...]:
        """The spoon; the pot stands fast."""
        return (SPOON,)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the pot, the spoon and the sensors."""
        import mujoco

        size, look = variant.size, variant.spec
        build_pot(spec, size["pot_radius"], size["pot_height"], (look.rgba[2], look.rgba[3]))
        build_spoon(spec, variant)
        mass = float(np.mean(look.mass_kg))
        spec.geom("spoon_handle0").mass = (1.0 - BOWL_SHARE) * mass
        bowl = spec.geom("spoon_bowl")
        bowl.mass = BOWL_SHARE * mass
        spec.body(SPOON).add_site(name=BASE, pos=bowl.pos, size=[0.004] * 3, group=4)
        spec.add_sensor(
            name=BASE, type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=BASE
        )

    # --- geometry: the spoon in the pot's frame, its handle leaning along +x ---------------------------------------
    @staticmethod
    def _bowl_centre_m(variant: Variant) -> Array:
        """The bowl's centre in the spoon's frame (see ``build_spoon``)."""
        size = variant.size
        depth = max(size["handle_radius"], BOWL_DEPTH * size["bowl"])
        return np.array([0.5 * (size["length"] - 2 * size["bowl"]) + 0.8 * size["bowl"], 0.0, depth])

    @staticmethod
    def _axes() -> Array:
        """(3, 3) R_pot_spoon: the spoon's x axis down along the handle, its hollow side up."""
        s, c = np.sin(LEAN_RAD), np.cos(LEAN_RAD)
        return np.array([[-s, 0.0, -c], [0.0, -1.0, 0.0], [-c, 0.0, s]])

    def _origin_m(self, variant: Variant) -> Array:
        """Place of the spoon's origin such that its bowl stands on the bottom and its handle touches the rim."""
        size, axes = variant.size, self._axes()
        bowl = self._bowl_centre_m(variant)
        s, c = np.sin(LEAN_RAD), np.cos(LEAN_RAD)
        reach = np.hypot(1.25 * size["bowl"] * c, bowl[2] * s)
        origin = np.array([0.0, 0.0, FLOOR_M + reach]) - axes @ bowl
        # A point of the handle's axis, and where that axis is at the height of the rim.
        point = origin + axes @ np.array([0.0, 0.0, size["handle_radius"]])
        at_rim = point[0] + (size["pot_height"] - point[2]) * s / c
        origin[0] += size["pot_radius"] - (size["handle_radius"] + 0.0005) / c - at_rim
        return origin

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """The pot on the table; the spoon in it, leaning along the heading but for a small jitter."""
        import mujoco

        heading = scene.yaw_rad + generator.uniform(-0.1, 0.1)
        aside = shapes.turn(heading, np.array([0.0, generator.uniform(-0.004, 0.004), 0.0]))
        quaternion, turned = np.zeros(4), np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, self._axes().flatten())
        mujoco.mju_mulQuat(turned, shapes.yaw_quaternion(heading), quaternion)
        place = scene.position_m + shapes.turn(heading, self._origin_m(scene.variant)) + aside
        return {
            POT: (scene.position_m, shapes.yaw_quaternion(scene.yaw_rad)),
            SPOON: (place, turned),
        }

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """A point of the handle near its upper end; heading of the group."""
        size = scene.variant.size
        half = 0.5 * (size["length"] - 2 * size["bowl"])
        local = np.array([GRIP_FROM_TOP_M - half, 0.0, size["handle_radius"]])
        point = self._origin_m(scene.variant) + self._axes() @ local
        return scene.position_m + shapes.turn(scene.yaw_rad, point), scene.yaw_rad

    # --- the judge -------------------------------------------------------------------------------------------------
    def _stirring(self, signals: Signals) -> NDArray[np.bool_]:
        """(T,) held during the trajectory with the base below the height of a rim and inside a pot."""
        offset = signals[BASE] - signals[f"{POT}/position"]
        inside = (np.hypot(offset[:, 0], offset[:, 1]) < 0.085) & (offset[:, 2] < 0.085)
        return np.asarray(judging.phase(signals, "trajectory") & judging.held(signals) & inside)

    def _way_round_rad(self, signals: Signals) -> float:
        """Greatest net angle that the base covers about the pot's axis while it is stirred."""
        offset = (signals[BASE] - signals[f"{POT}/position"])[:, :2]
        angle = np.arctan2(offset[:, 1], offset[:, 0])
        step = np.diff(angle, prepend=angle[:1])
        step -= 2 * np.pi * np.round(step / (2 * np.pi))
        counts = self._stirring(signals) & (np.hypot(offset[:, 0], offset[:, 1]) > NEAR_CENTRE_M)
        way = np.cumsum(np.where(counts, step, 0.0))
        return float(way.max() - way.min())

    def success(self, signals: Signals) -> bool:
        """At least 180 degrees round the pot in the hand."""
        return self._way_round_rad(signals) >= ENOUGH_RAD

    def score(self, signals: Signals) -> float:
        """See the class."""
        trajectory = judging.phase(signals, "trajectory")
        return (
            0.1 * judging.touched(signals)
            + 0.2 * judging.held_at_start(signals)
            + 0.5 * judging.fraction(self._way_round_rad(signals), float(_FULL_RAD))
            + 0.2 * float(self._stirring(signals)[trajectory].mean())
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, stirred, stirred enough, kept."""
        way = self._way_round_rad(signals)
        return {
            "touched the spoon": judging.touched(signals),
            "held the handle when the stirring began": judging.held_at_start(signals),
            "stirred a quarter of the way round": way >= np.pi / 2,
            "stirred half-way round the pot": way >= ENOUGH_RAD,
            "held the spoon to the end": judging.held_at_end(signals),
        }
