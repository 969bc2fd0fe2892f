"""Writes the simulated demonstrations tau: scripted wrist paths of a person, as the tasks' data files.

``python -m deft_env.tasks.demonstrations [TASK …]`` makes the files again. A demonstration extracted from a real video
by ``deft demo-to-trajectory`` has the same format and takes a file's place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import paper
from deft_env.demonstration import Demonstration
from deft_env.sim.rotations import from_vector, rotate

Array = NDArray[np.float64]
_STEPS: Final = paper.TRAJECTORY_STEPS


def eased_steps(total: Array, start: int = 0, end: int = _STEPS) -> Array:
    """Displacements (40, 6) that add up to ``total`` (6,) between two steps, starting and stopping smoothly."""
    s = np.clip((np.arange(_STEPS + 1) - start) / (end - start), 0.0, 1.0)
    share = s * s * (3.0 - 2.0 * s)
    return np.diff(share)[:, None] * np.asarray(total, dtype=np.float64)


def lift() -> Array:
    """Straight up by 12 cm."""
    return eased_steps(np.array([0, 0, 0.12, 0, 0, 0]), 0, 34)


def pull() -> Array:
    """Back along the grasp's heading by 9 cm."""
    return eased_steps(np.array([-0.09, 0, 0, 0, 0, 0]), 0, 34)


def squeeze() -> Array:
    """Up by 8.2 cm, 10 cm ahead, and down by 5.4 cm on the reamer, then a pause of pressing."""
    up = eased_steps(np.array([0, 0, 0.082, 0, 0, 0]), 0, 12)
    ahead = eased_steps(np.array([0.10, 0, 0, 0, 0, 0]), 7, 24)
    return up + ahead + eased_steps(np.array([0, 0, -0.054, 0, 0, 0]), 22, 36)


def flip() -> Array:
    """The blade, 15.5 cm ahead and 7 cm below the hand, goes up by 6.5 cm and turns over to the left by 160 degrees.

    It turns about the forearm's axis, moved through the blade's middle, and shifts 4.5 cm to the left meanwhile: the
    blade follows the bagel that it tipped, and pushes it over.
    """
    blade = np.array([0.155, 0.0, -0.07])
    axis = np.array([np.cos(np.deg2rad(29.0)), 0.0, -np.sin(np.deg2rad(29.0))])
    middle = np.cumsum(eased_steps(np.array([0, 0, 0.065, 0, 0, 0]), 0, 10)[:, :3], axis=0)
    middle += np.cumsum(eased_steps(np.array([-0.01, 0.045, 0, 0, 0, 0]), 9, 36)[:, :3], axis=0)
    angle = np.cumsum(eased_steps(np.array([np.deg2rad(-160.0), 0, 0, 0, 0, 0]), 9, 36)[:, 0])
    hand = blade + middle - rotate(from_vector(angle[:, None] * axis), np.broadcast_to(blade, (_STEPS, 3)))
    steps = np.zeros((_STEPS, 6))
    steps[:, :3] = np.diff(hand, axis=0, prepend=np.zeros((1, 3)))
    steps[:, 3:] = np.diff(angle, prepend=0.0)[:, None] * axis
    return steps


def pour() -> Array:
    """Up by 10 cm, then 135 degrees about the forearm (20 degrees below the heading), as a right hand pours."""
    forearm = np.array([np.cos(np.deg2rad(20.0)), 0.0, -np.sin(np.deg2rad(20.0))])
    up = eased_steps(np.array([0, 0, 0.10, 0, 0, 0]), 0, 18)
    return up + eased_steps(np.concatenate([np.zeros(3), -np.deg2rad(135.0) * forearm]), 8, 39)


def stir() -> Array:
    """A little up, then 1.1 turns counter-clockwise on a circle of 3.8 cm, whose far point is the start."""
    angle = np.cumsum(eased_steps(np.array([np.deg2rad(400.0), 0, 0, 0, 0, 0]), 3, 40)[:, 0])
    path = 0.038 * np.column_stack([np.cos(angle) - 1.0, np.sin(angle), np.zeros(_STEPS)])
    steps = np.diff(path, axis=0, prepend=np.zeros((1, 3)))
    return eased_steps(np.array([0, 0, 0.012, 0, 0, 0]), 0, 5) + np.column_stack([steps, np.zeros((_STEPS, 3))])


def scoop() -> Array:
    """To the left by 5 cm with a slight press, then the bowl is levelled (39 degrees) and lifted by 10 cm.

    The bowl, 13.5 cm to the left of the hand down the handle, follows the pull and the lift; the hand turns about it.
    """
    tilt = np.deg2rad(39.0)
    bowl = np.cumsum(eased_steps(np.array([0, 0.050, -0.004, 0, 0, 0]), 0, 16), axis=0)
    bowl += np.cumsum(eased_steps(np.array([0, 0, 0.104, 0, 0, 0]), 15, 38), axis=0)
    turned = np.cumsum(eased_steps(np.array([0, 0, 0, tilt, 0, 0]), 13, 36)[:, 3])
    hand = 0.135 * np.column_stack([np.zeros(_STEPS), -np.cos(tilt - turned), np.sin(tilt - turned)])
    start = 0.135 * np.array([[0.0, -np.cos(tilt), np.sin(tilt)]])
    steps = np.zeros((_STEPS, 6))
    steps[:, :3] = np.diff(bowl[:, :3] + hand, axis=0, prepend=start)
    steps[:, 3] = np.diff(turned, prepend=0.0)
    return steps


PATHS: Final[dict[str, Callable[[], Array]]] = {
    "PickCup": lift,
    "PickSpoon": lift,
    "OpenDrawer": pull,
    "PourCup": pour,
    "StirSpoon": stir,
    "ScoopGrape": scoop,
    "SqueezeLemon": squeeze,
    "FlipBagel": flip,
    "PickGrape": lift,
}
"""Task -> its scripted displacements, in the frame of the grasp's heading."""


def main(tasks: list[str]) -> None:
    """Writes the demonstration files of ``tasks`` (all when empty) beside this module."""
    from deft_env import registries

    for name in tasks or sorted(PATHS):
        task = registries.tasks.load(name)()
        path = Path(__file__).parent / "data" / f"{task.data_name}.demonstration.json"
        Demonstration(name, PATHS[name](), goal=f"{name}/train/reference/0/0").save(path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
