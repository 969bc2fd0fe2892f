"""Pour Cup: grasp a cup from the side, lift it and turn it over."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env.tasks import judging
from deft_env.tasks.cup import CUP, CupTask
from deft_env.tasks.task import Randomisation, Signals

Array = NDArray[np.float64]

HELD_SHARE: Final = 0.9
"""Grasped throughout: held in at least this share of the trajectory's ticks; soft contacts blink (our choice)."""
_FULL_TILT_RAD: Final = np.deg2rad(110.0)


class PourCup(CupTask):
    """Pour the cup.

    Description: a cup stands on the table; the hand closes round it from the side, and the demonstration lifts it 10 cm
    and turns it by 135 degrees about the forearm to the robot's left, as a right hand pours.

    Action, observation, arguments: those of ``deft_env.env.GraspEnv``.

    Randomisation: object (train: tapered solo cup; test: taller blue cup with a handle, heavier and more slippery),
    three sizes, place (10 x 16 cm), heading (+-0.4 rad, which turns the approach and the pour), mass, friction.

    Success (paper, appendix F): grasped throughout, and rotated until its top is lower than its base. Throughout is the
    whole trajectory and the rest after it; the cup counts as rotated while it is held clear of the table.

    Score: 0.1 touched, 0.15 held when the lift begins, 0.15 for the height reached in the hand (all at 6 cm), 0.35 for
    the tilt reached in the hand (all at 110 degrees), 0.25 for the share of trajectory and rest in which it is held
    clear of the table.

    Version history: v0; the test cup is tapered and more slippery, as the straight one turned over far more easily;
    sparse matrices in the solver (the same equations, a quarter cheaper).
    """

    name = "PourCup"
    instruction = "pour the cup"
    test = ("tall_blue_cup",)
    randomisation = Randomisation((0.46, 0.0), (0.05, 0.08), (-0.4, 0.4))

    def _tilt_rad(self, signals: Signals) -> Array:
        """(T,) angle between the cup's axis and the vertical while it is in the hand, else 0."""
        tilt = np.arccos(np.clip(signals[f"{CUP}/up"][:, 2], -1.0, 1.0))
        return np.where(self.in_hand(signals), tilt, 0.0)

    def _grasped_throughout(self, signals: Signals) -> bool:
        held = judging.held(signals)
        return judging.held_at_end(signals) and bool(held[judging.phase(signals, "trajectory")].mean() >= HELD_SHARE)

    def success(self, signals: Signals) -> bool:
        """Grasped through trajectory and rest, and its top lower than its base at some time in the hand."""
        return self._grasped_throughout(signals) and bool(self._tilt_rad(signals).max() > np.pi / 2)

    def score(self, signals: Signals) -> float:
        """See the class."""
        in_hand = self.in_hand(signals)
        after = judging.phase(signals, "trajectory") | judging.phase(signals, "settle")
        rise = np.where(judging.held(signals), judging.rise_m(signals, CUP), 0.0)
        # The lift takes the first quarter of the trajectory: held from there to the end is all.
        kept = judging.fraction(float(in_hand[after].mean()), 0.85)
        return (
            0.10 * judging.touched(signals)
            + 0.15 * judging.held_at_start(signals)
            + 0.15 * judging.fraction(float(rise.max()), 0.06)
            + 0.35 * judging.fraction(float(self._tilt_rad(signals).max()), float(_FULL_TILT_RAD))
            + 0.25 * kept
        )

    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Touched, held, lifted, turned over, kept."""
        return {
            "touched the cup": judging.touched(signals),
            "held the cup when the lift began": judging.held_at_start(signals),
            "lifted it clear of the table": bool(self.in_hand(signals).any()),
            "turned its top below its base": bool(self._tilt_rad(signals).max() > np.pi / 2),
            "kept it in the hand to the end": self._grasped_throughout(signals),
        }
