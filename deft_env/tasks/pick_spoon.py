"""Pick Spoon: pinch the arched handle of a spoon that lies on the table, and lift it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import judging, shapes
from deft_env.tasks.distractors import Distractor
from deft_env.tasks.spoon import SPOON, build_spoon
from deft_env.tasks.task import FAST_PHYSICS, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]

ARCH_M: Final = 0.042
"""Height of the handle's axis in its middle (assumed): fingertips 17 mm thick cannot get round a rod on the table."""


class PickSpoon(Task):
    """Pick up the spoon.

    Description: a serving spoon lies on the table, resting on its bowl and the end of its arched handle; the hand comes
    from above, pinches the handle, and the demonstration lifts 12 cm.

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: object (train: wooden spoon; test: thinner, heavier, more slippery steel spoon), three sizes, place
    (10 x 16 cm), heading (+-0.6 rad), mass, friction. Test scenes have a knife beside the spoon.

    Success (paper, appendix F): the spoon does not touch the table at the end.

    Score: 0.1 touched, 0.2 held when the lift begins, 0.3 for the height reached (all at 6 cm), 0.4 for the share of
    the last half of the lift during which no part of it touches the table.

    Version history: v0; revised: a knife in the scenes of the test split.
    """

    name = "PickSpoon"
    instruction = "pick up the spoon"
    train = ("wooden_spoon",)
    test = ("steel_spoon",)
    nominal_rotation = hand_nominal(90.0)
    randomisation = Randomisation((0.45, 0.0), (0.05, 0.08), (-0.6, 0.6))
    distractor = Distractor("knife", (-0.02, 0.02), (0.09, 0.11), 0.15)
    physics = FAST_PHYSICS

    @property
    def bodies(self) -> tuple[str, ...]:
        """The spoon."""
        return (SPOON,)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the spoon and its sensors."""
        build_spoon(spec, variant, arch_m=ARCH_M)
        self.build_distractor(spec, variant)

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """The spoon lies on the table, bowl away from the robot."""
        return {SPOON: (scene.position_m, shapes.yaw_quaternion(scene.yaw_rad))}

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The middle of the handle and its heading."""
        return scene.position_m + np.array([0.0, 0.0, ARCH_M]), scene.yaw_rad

    def success(self, signals: Signals) -> bool:
        """No contact with the table through the end, and off where it lay."""
        end = slice(-judging.END_TICKS, None)
        lifted = judging.rise_m(signals, SPOON)[end] > judging.CLEAR_M
        return bool((judging.off_table(signals, SPOON)[end] & lifted).all())

    def score(self, signals: Signals) -> float:
        """See the class."""
        late = judging.late_trajectory(signals)
        rise = judging.rise_m(signals, SPOON)
        clear = judging.off_table(signals, SPOON) & (rise > judging.CLEAR_M)
        return (
            0.1 * judging.touched(signals)
            + 0.2 * judging.held_at_start(signals)
            + 0.3 * judging.fraction(float(rise.max()), 0.06)
            + 0.4 * float(clear[late].mean())
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, lifted, kept."""
        clear = judging.off_table(signals, SPOON) & (judging.rise_m(signals, SPOON) > judging.CLEAR_M)
        return {
            "touched the spoon": judging.touched(signals),
            "held the handle when the lift began": judging.held_at_start(signals),
            "lifted it clear of the table": bool(clear.any()),
            "kept it off the table to the end": self.success(signals),
        }
