"""A tenth task in one file: pick up the toy tomato, an object of the paper's photograph that no task of deft uses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey
from deft_env.tasks import judging
from deft_env.tasks.demonstrations import eased_steps
from deft_env.tasks.task import FAST_PHYSICS, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]
TOMATO = "tomato"
_BENDS_RAD = {"side": 0.0, "forward": 0.6, "pip": 0.7, "dip": 0.49}


class PickTomato(Task):
    """Pick up the tomato, a ball of 28 to 33 mm radius. Both splits have the same ball here; a real task has two.

    Success: it is held and clear of the table to the end. Score: 0.3 touched, 0.7 for the height (all at 6 cm).
    """

    name = "PickTomato"
    instruction = "pick up the tomato"
    train = test = ("toy_tomato",)
    nominal_rotation = hand_nominal(45.0)
    randomisation = Randomisation((0.44, 0.0), (0.04, 0.06), (-0.3, 0.3))
    physics = FAST_PHYSICS

    # Without the next two, JSON files in a folder `data` beside this one are read; a task may as well say them itself.
    @cached_property
    def data(self) -> dict[str, Any]:
        """How a person grasps it, found by hand, and what the simulated prior gets wrong (units of sigma)."""
        fingers = {joint: _BENDS_RAD[joint.split("_")[1]] for joint in grasp.JOINT_NAMES}
        reference = {"offset_m": [-0.02, 0.0, 0.015], "wrist_rad": [0.0, 0.0, 0.0], "fingers_rad": fingers}
        error = {"common": {"mu_x": -1.5, "mu_z": 1.0}, "dependent": {"mu": 0.5}, "noise": {"mu": 0.1}}
        return {"reference": {"default": reference}, "prior_error_sigma": error}

    @cached_property
    def demonstration(self) -> Demonstration:
        """Straight up by 12 cm."""
        up = eased_steps(np.array([0, 0, 0.12, 0, 0, 0]), 0, 34)
        return Demonstration(self.name, up, goal=str(EpisodeKey(self.name, "train", "reference", 0, 0)))

    @property
    def bodies(self) -> tuple[str, ...]:
        """The tomato, whose mass and friction vary."""
        return (TOMATO,)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the tomato and its sensors ``tomato/position|up|table`` and ``grip/…``."""
        import mujoco  # not at the top: listing tasks imports no simulator

        from deft_env.tasks import shapes

        look, radius = variant.spec, variant.size["radius"]
        geom = shapes.free_body(spec, TOMATO).add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius, 0, 0])
        shapes.touchable(geom, float(np.mean(look.friction)), float(np.mean(look.mass_kg)), look.rgba[0])
        for add in (shapes.add_pose_sensors, shapes.add_table_sensor, shapes.add_grip_sensors):
            add(spec, TOMATO)

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """It lies on the table."""
        upright = np.array([1.0, 0.0, 0.0, 0.0])
        return {TOMATO: (scene.position_m + np.array([0.0, 0.0, scene.variant.size["radius"]]), upright)}

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The ball's middle, and the heading of the scene."""
        return scene.position_m + np.array([0.0, 0.0, scene.variant.size["radius"]]), scene.yaw_rad

    def success(self, signals: Signals) -> bool:
        """Held, and clear of the table, through the end."""
        clear = judging.off_table(signals, TOMATO)[-judging.END_TICKS :]
        return judging.held_at_end(signals) and bool(clear.all())

    def score(self, signals: Signals) -> float:
        """See the class."""
        height = float(judging.rise_m(signals, TOMATO)[-1])
        return 0.3 * judging.touched(signals) + 0.7 * judging.fraction(height, 0.06)

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, kept."""
        return {"touched the tomato": judging.touched(signals), "kept it to the end": self.success(signals)}
