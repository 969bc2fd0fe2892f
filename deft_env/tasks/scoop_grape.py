"""Scoop Grape: take the handle of a spoon that leans in a dish, and scoop a grape out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.sim.rotations import about_z
from deft_env.tasks import judging, shapes
from deft_env.tasks.scoop import (
    DISH,
    DISH_BOTTOM_M,
    DISH_HEIGHT_M,
    DISH_RIM_M,
    GRAPES,
    HANDLE_HEIGHT,
    SLOPE_RAD,
    build_dish,
    build_grapes,
    build_hollow_spoon,
    front_drop_m,
)
from deft_env.tasks.spoon import SPOON
from deft_env.tasks.task import SPARSE_PHYSICS, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]

SIDEWAYS_RAD: Final = -np.pi / 2
"""The handle points to the robot's right, where a right hand takes it, turned by the scene's heading (our choice)."""
GRIP_M: Final = 0.135
"""Where a person takes the handle, from the middle of the bowl (our choice)."""
GRAPE_JITTER_M: Final = (0.002, 0.003)
"""Half-widths of the grapes' place in the dish, along and across the spoon (our choice)."""
BOWL_REACH_M: Final = 0.026
"""A grape is in the bowl when its centre is no farther from the bowl's axis (our choice) …"""
BOWL_HIGH_M: Final = 0.016
"""… and no higher over the bowl's rim."""
RAISED_M: Final = 0.03
"""A grape is out of the dish when it is this far above where it lay (our choice)."""


class ScoopGrape(Task):
    """Scoop the grape.

    Description: three grapes lie in a dish, and a spoon with a hollow bowl leans on its far rim; the hand pinches the
    handle, and the demonstration draws the bowl under the grapes towards the dish's near wall, levels and lifts it.

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: objects (train: wooden spoon, green grapes, white dish; test: thinner, shorter, heavier, more
    slippery steel spoon, larger purple grapes, yellow dish), four dimensions in 25 sizes, place (8 x 10 cm), heading
    (+-0.4 rad) of the group, place of the grapes in the dish (+-2 and +-3 mm), mass and friction of the spoon.

    Success (paper, appendix F): at the end the spoon holds a grape and the hand holds the spoon. The end is the last
    0.3 s; a grape is held when it lies in the bowl, touches the spoon and is out of the dish.

    Score: 0.1 touched, 0.15 held when the scooping begins, 0.2 for how near a grape's centre came to the middle of the
    bowl (from 4.5 cm to 1.5 cm) in the hand, 0.2 for how high a grape rose in the held bowl (all at 5 cm), 0.1 for
    holding the spoon at the end, 0.25 for the share of the last third of the episode with a grape in the held spoon.

    Version history: v0; 25 sizes instead of 625 (same task, other draws of all but the first two dimensions);
    sparse matrices in the solver (the same equations, a quarter cheaper).
    """

    name = "ScoopGrape"
    instruction = "scoop the grape"
    train = ("dish_and_wooden_spoon",)
    test = ("dish_and_steel_spoon",)
    physics = SPARSE_PHYSICS
    nominal_rotation = about_z(np.array(SIDEWAYS_RAD)) @ hand_nominal(51.0)
    randomisation = Randomisation((0.46, 0.06), (0.04, 0.05), (-0.4, 0.4))

    @property
    def bodies(self) -> tuple[str, ...]:
        """The spoon; the dish stands fast and the grapes are alike."""
        return (SPOON,)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the dish, the spoon, the grapes and the sensors."""
        build_dish(spec, variant.spec.rgba[2])
        build_hollow_spoon(spec, variant)
        build_grapes(spec, variant)

    # --- geometry: the handle rising along +x of the dish's frame -----------------------------------------------------
    @staticmethod
    def _origin_m(variant: Variant) -> Array:
        """Place of the bowl's middle such that its front lies on the floor and the handle touches the far rim."""
        size = variant.size
        z = DISH_BOTTOM_M + front_drop_m(size["bowl"]) + 0.0002
        x = DISH_RIM_M - (
            DISH_HEIGHT_M + 0.0005 + HANDLE_HEIGHT * size["handle_radius"] / np.cos(SLOPE_RAD) - z
        ) / np.tan(SLOPE_RAD)
        return np.array([x, 0.0, z])

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """The dish on the table; the spoon leaning in it along the heading; the grapes before the spoon."""
        import mujoco

        size, heading = scene.variant.size, scene.yaw_rad + SIDEWAYS_RAD
        upright = shapes.yaw_quaternion(heading)
        tilted = np.zeros(4)
        mujoco.mju_mulQuat(tilted, upright, np.array([np.cos(SLOPE_RAD / 2), 0.0, -np.sin(SLOPE_RAD / 2), 0.0]))
        origin = self._origin_m(scene.variant)
        lip = origin[0] - size["bowl"] * np.cos(SLOPE_RAD)
        poses = {
            DISH: (scene.position_m, upright),
            SPOON: (scene.position_m + shapes.turn(heading, origin), tilted),
        }
        radius = size["berry_radius"]
        # A triangle whose foremost corner lies before the lip, which is thin enough to reach under a sphere.
        nudge = generator.uniform(-1.0, 1.0, size=2) * np.array(GRAPE_JITTER_M)
        half = radius + 0.0005
        front = lip - 0.65 * radius - 0.003
        spots = ((front, 0.0), (front - np.sqrt(3.0) * half, -half), (front - np.sqrt(3.0) * half, half))
        for name, (ahead, across) in zip(GRAPES, spots, strict=True):
            place = np.array([ahead + nudge[0], across + nudge[1], DISH_BOTTOM_M + radius + 0.0002])
            poses[name] = (scene.position_m + shapes.turn(heading, place), shapes.UPRIGHT)
        return poses

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """A point of the handle beyond the dish's rim; heading of the group."""
        along = np.array([np.cos(SLOPE_RAD), 0.0, np.sin(SLOPE_RAD)])
        point = self._origin_m(scene.variant) + GRIP_M * along
        return scene.position_m + shapes.turn(scene.yaw_rad + SIDEWAYS_RAD, point), scene.yaw_rad

    # --- the judge --------------------------------------------------------------------------------------------------
    @staticmethod
    def _in_bowl(signals: Signals, grape: str) -> NDArray[np.bool_]:
        """(T,) whether a grape lies in the bowl and touches the spoon."""
        place = signals[f"{grape}/in_spoon"]
        inside = (np.hypot(place[:, 0], place[:, 1]) < BOWL_REACH_M) & (np.abs(place[:, 2]) < BOWL_HIGH_M)
        return np.asarray(inside & (signals[f"{grape}/touch"][:, 0] > 0))

    def _carried(self, signals: Signals) -> NDArray[np.bool_]:
        """(T,) whether some grape is in the bowl and out of the dish."""
        held = [self._in_bowl(signals, g) & (judging.rise_m(signals, g) > RAISED_M) for g in GRAPES]
        return np.asarray(np.any(held, axis=0))

    def success(self, signals: Signals) -> bool:
        """Through the end, a grape in the spoon and the spoon in the hand."""
        end = self._carried(signals)[-judging.END_TICKS :]
        return judging.held_at_end(signals) and bool(end.mean() >= 0.8)

    def score(self, signals: Signals) -> float:
        """See the class."""
        held = judging.held(signals)
        scooping = held & (judging.phase(signals, "trajectory") | judging.phase(signals, "settle"))
        near, height = 0.0, 0.0
        for grape in GRAPES if scooping.any() else ():
            distance = np.linalg.norm(signals[f"{grape}/in_spoon"], axis=1)[scooping].min()
            near = max(near, judging.fraction(0.045 - float(distance), 0.030))
            rise = np.where(scooping & self._in_bowl(signals, grape), judging.rise_m(signals, grape), 0.0)
            height = max(height, judging.fraction(float(rise.max()), 0.05))
        last = held.size - held.size // 3
        return (
            0.10 * judging.touched(signals)
            + 0.15 * judging.held_at_start(signals)
            + 0.20 * near
            + 0.20 * height
            + 0.10 * judging.held_at_end(signals)
            + 0.25 * judging.fraction(float((held & self._carried(signals))[last:].mean()), 0.7)
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, scooped, lifted, kept."""
        held = judging.held(signals)
        scooped = np.any([self._in_bowl(signals, grape) for grape in GRAPES], axis=0)
        return {
            "touched the spoon": judging.touched(signals),
            "held the handle when the scooping began": judging.held_at_start(signals),
            "got a grape into the spoon": bool((held & scooped).any()),
            "lifted a grape out of the dish": bool((held & self._carried(signals)).any()),
            "kept grape and spoon to the end": self.success(signals),
        }
