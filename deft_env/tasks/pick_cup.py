"""Pick Cup: grasp a cup from the side and lift it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import judging
from deft_env.tasks.cup import CUP, arrange_cup, build_cup, cup_frame
from deft_env.tasks.distractors import Distractor
from deft_env.tasks.task import FAST_PHYSICS, Randomisation, Scene, Signals, Task, Variant, hand_nominal

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]


class PickCup(Task):
    """Pick up the cup.

    Description: a cup stands on the table; the hand closes round it from the side, and the demonstration lifts 12 cm.

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: object (train: tapered solo cup; test: straight blue cup with a handle, heavier and more slippery),
    three sizes, place (10 x 16 cm), heading (+-0.45 rad, which turns the approach), mass, friction. Test scenes have a
    sugar bag beside the cup.

    Success (paper, appendix F): the cup leaves the table and stays grasped to the end of the trial.

    Score: 0.1 touched, 0.2 held when the lift begins, 0.3 for the height reached (all at 6 cm), 0.4 for the share of
    the last half of the lift during which it is held clear of the table.

    Version history: v0; revised: a sugar bag in the scenes of the test split.
    """

    name = "PickCup"
    instruction = "pick up the cup"
    train = ("solo_cup",)
    test = ("blue_cup",)
    nominal_rotation = hand_nominal(25.0)
    randomisation = Randomisation((0.46, 0.0), (0.05, 0.08), (-0.45, 0.45))
    distractor = Distractor("sugar_bag", (-0.02, 0.05), (0.13, 0.16), 0.5)
    physics = FAST_PHYSICS

    @property
    def bodies(self) -> tuple[str, ...]:
        """The cup."""
        return (CUP,)

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the cup and its sensors."""
        build_cup(spec, variant)
        self.build_distractor(spec, variant)

    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """The cup stands upright, its handle anywhere a hand from the front does not meet it."""
        return arrange_cup(scene, generator)

    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The cup's axis at 55 % of its height; heading of the scene."""
        return cup_frame(scene)

    def _clear(self, signals: Signals) -> NDArray[np.bool_]:
        return np.asarray(
            judging.held(signals) & judging.off_table(signals, CUP) & (judging.rise_m(signals, CUP) > judging.CLEAR_M)
        )

    def success(self, signals: Signals) -> bool:
        """The cup is clear of the table and held through the end of the trial."""
        return judging.held_at_end(signals) and bool(self._clear(signals)[-judging.END_TICKS :].mean() >= 0.8)

    def score(self, signals: Signals) -> float:
        """See the class."""
        carried = float(self._clear(signals)[judging.late_trajectory(signals)].mean())
        return (
            0.1 * judging.touched(signals)
            + 0.2 * judging.held_at_start(signals)
            + 0.3 * judging.fraction(float(judging.rise_m(signals, CUP).max()), 0.06)
            + 0.4 * carried
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, lifted, kept."""
        return {
            "touched the cup": judging.touched(signals),
            "held the cup when the lift began": judging.held_at_start(signals),
            "lifted it clear of the table": bool(self._clear(signals).any()),
            "kept it to the end": self.success(signals),
        }
