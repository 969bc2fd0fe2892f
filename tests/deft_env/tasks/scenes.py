"""What tests of tasks share: episodes made by hand as sensors would see them, and a person's grasps, played."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deft_env.episode import EpisodeKey, Outcome
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim.controls import ControlOptions
from deft_env.tasks.judging import PHASES

DIGITS = ("index", "middle", "ring", "thumb", "palm")
TICKS = ControlOptions().phases["settle"][1]
TRAJECTORY = slice(*ControlOptions().phases["trajectory"])
Signals = dict[str, np.ndarray]


def taken(digits: Sequence[str] = ("index", "middle", "thumb")) -> Signals:
    """Phases and grip of an episode in which ``digits`` take the object shortly before the hand is closed."""
    phases = ControlOptions().phases
    signals = {f"grip/{digit}": np.zeros((TICKS, 4)) for digit in DIGITS} | {"phase": np.zeros((TICKS, 1))}
    for name, (start, end) in phases.items():
        signals["phase"][start:end] = PHASES.index(name)
    for digit in digits:
        signals[f"grip/{digit}"][phases["close"][1] - 5 :, 0] = 1
    return signals


def moved(ticks: float) -> np.ndarray:
    """(TICKS,) share of a movement that begins with the trajectory and takes so many ticks."""
    return np.clip((np.arange(TICKS) - TRAJECTORY.start) / ticks, 0.0, 1.0)


def let_go(signals: Signals, start: int, end: int | None = None) -> Signals:
    """No digit touches the object from ``start`` to ``end``; changes ``signals`` and returns it."""
    for digit in DIGITS:
        signals[f"grip/{digit}"][start:end, 0] = 0
    return signals


def persons(task_name: str, split: str, count: int) -> list[Outcome]:
    """Episodes ``0 … count - 1`` of reference seed 1 with the grasps that a person would take."""
    keys = [EpisodeKey(task_name, split, "reference", 1, k) for k in range(count)]
    with SimulatedRig(film=False) as rig:
        truths = rig.reset_batch(keys).truths
        assert truths is not None
        return rig.execute_batch([t.human_grasp for t in truths], [rig.task(task_name).demonstration] * count)
