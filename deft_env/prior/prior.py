"""The contract of a prior f(image, instruction) -> xi, the grasp that fine-tuning corrects (paper, section 3.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.registries import TaskLike
from deft_env.rigs.rig import Frames

Array = NDArray[np.float64]


def _bound(sign: float) -> Array:
    out = sign * np.array([2.0] * 3 + [np.pi] * 19)
    out.setflags(write=False)
    return out


HIGH: Final = _bound(1.0)
LOW: Final = _bound(-1.0)
"""Box in which every prior's grasp lies (2 m, half a turn); generous, since limits apply to prior + residual alone."""


class PriorFailureError(RuntimeError):
    """A prior found nothing to grasp in a frame: the scene must be reset (the episode is voided), nothing is guessed.

    Attributes:
        index: row of the batch.
    """

    def __init__(self, message: str, index: int = 0) -> None:
        """Keeps the row beside the message."""
        super().__init__(message)
        self.index = index


class Prior(ABC):
    """Maps the first frames of scenes and a task to grasps xi.

    Row i depends on frame, key and truth i alone, bit for bit, whatever the batch size.

    Attributes:
        name: registry name.
        stand_in: whether it stands in for a learned prior; outputs name it as such.
    """

    name: str = ""
    stand_in: bool = False

    def __call__(self, frames: Frames, task: TaskLike) -> Array:
        """The grasps xi (N, 22), m and rad, inside ``LOW`` and ``HIGH``.

        Raises:
            PriorFailureError: if a frame shows nothing to grasp.
            ValueError: if the frames lack what this prior needs, or a subclass returned a wrong array.
        """
        xi = grasp.check(self.predict(frames, task), f"prior {self.name!r}")
        if xi.shape != (len(frames), grasp.DIM):
            raise ValueError(f"prior {self.name!r}: expected shape {(len(frames), grasp.DIM)}, got {xi.shape}")
        if (xi < LOW).any() or (xi > HIGH).any():
            row, column = (int(i) for i in np.argwhere((xi < LOW) | (xi > HIGH))[0])
            raise ValueError(
                f"prior {self.name!r}: {grasp.NAMES[column]} of row {row} is {xi[row, column]:.3f} "
                f"{grasp.UNITS[column]}, outside [{LOW[column]:.3f}, {HIGH[column]:.3f}]"
            )
        return xi

    @abstractmethod
    def predict(self, frames: Frames, task: TaskLike) -> Array:
        """What a subclass computes: the grasps (N, 22)."""
