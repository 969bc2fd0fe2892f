"""Pick Cup: grasp a cup from the side and lift it."""

from __future__ import annotations

from deft_env.tasks import judging
from deft_env.tasks.cup import CUP, CupTask
from deft_env.tasks.distractors import Distractor
from deft_env.tasks.task import Randomisation, Signals


class PickCup(CupTask):
    """Pick up the cup.

    Description: a cup stands on the table; the hand closes round it from the side, and the demonstration lifts 12 cm.

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: object (train: tapered solo cup; test: straight blue cup with a handle, heavier and more slippery),
    three sizes, place (10 x 16 cm), heading (+-0.45 rad, which turns the approach), mass, friction. Test scenes have a
    sugar bag beside the cup.

    Success (paper, appendix F): the cup leaves the table and stays grasped to the end of the trial.

    Score: 0.1 touched, 0.2 held when the lift begins, 0.3 for the height reached (all at 6 cm), 0.4 for the share of
    the last half of the lift during which it is held clear of the table.

    Version history: v0; revised: a sugar bag in the scenes of the test split; sparse matrices in the solver (the
    same equations, a fifth cheaper).
    """

    name = "PickCup"
    instruction = "pick up the cup"
    test = ("blue_cup",)
    randomisation = Randomisation((0.46, 0.0), (0.05, 0.08), (-0.45, 0.45))
    distractor = Distractor("sugar_bag", (-0.02, 0.05), (0.13, 0.16), 0.5)

    def success(self, signals: Signals) -> bool:
        """The cup is clear of the table and held through the end of the trial."""
        return judging.held_at_end(signals) and bool(self.in_hand(signals)[-judging.END_TICKS :].mean() >= 0.8)

    def score(self, signals: Signals) -> float:
        """See the class."""
        carried = float(self.in_hand(signals)[judging.late_trajectory(signals)].mean())
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
            "lifted it clear of the table": bool(self.in_hand(signals).any()),
            "kept it to the end": self.success(signals),
        }
