"""The surfaces of the landscape rig: their knobs, their height over the 22 coordinates, and where the prior errs to."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import generator
from deft_env.rigs.rig import PriorError

Array = NDArray[np.float64]
Shape = Literal["bowl", "ridge", "cliff", "modes"]
SHAPES: Final[tuple[str, ...]] = get_args(Shape)

IMPORTANCE: Final = (2, 4, 5, 0, 1, 3, *range(6, 22))
"""Order in which coordinates become informative: depth, pitch and yaw first, then x, y, roll, then fingers."""


@dataclass(frozen=True, slots=True)
class LandscapeConfig:
    """The knobs of a landscape; lengths are in units of sigma.

    Attributes:
        shape: ``bowl`` (smooth, one mode), ``ridge`` (flat along one direction, steep across), ``cliff`` (a bowl that
            breaks off where the hand is too deep), ``modes`` (a bowl, and two lower hills where the prior misleads).
        offset: norm of the prior's common error, most of it in the first three informative coordinates.
        difficulty: the bowl's width is 1.8 sigma divided by this.
        informative: how many of the 22 coordinates matter, most important first.
        context: rms, in each of the first six coordinates, of the prior's error that depends on the scene.
        perception: standard deviation of the prior's error that nobody can know.
        noise: standard deviation of the executed grasp around the commanded one.

    Raises:
        ValueError: for a value out of range.
    """

    shape: Shape = "bowl"
    offset: float = 2.0
    difficulty: float = 1.0
    informative: int = 6
    context: float = 0.5
    perception: float = 0.1
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape: expected one of {', '.join(SHAPES)}, got {self.shape!r}")
        if isinstance(self.informative, bool) or self.informative not in range(2, grasp.DIM + 1):
            raise ValueError(f"informative: expected an integer in 2 … {grasp.DIM}, got {self.informative!r}")
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name not in ("shape", "informative") and not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{f.name}: expected a finite number >= 0, got {value!r}")
        if self.difficulty == 0.0:
            raise ValueError("difficulty: expected a number > 0, got 0")

    @property
    def width(self) -> float:
        """Standard deviation of the bowl, in sigma."""
        return 1.8 / self.difficulty


@lru_cache(maxsize=64)
def prior_error(task: str, config: LandscapeConfig) -> PriorError:
    """The error of the prior of one task: signs from the task's name, sizes from the knobs."""
    g = generator("landscape", "common", task)
    signs = np.where(g.random(grasp.DIM) < 0.5, -1.0, 1.0)
    weight = np.zeros(grasp.DIM)
    main = [i for i in IMPORTANCE[:3] if i in IMPORTANCE[: config.informative]]
    weight[list(IMPORTANCE[: config.informative])] = 0.1
    weight[main] = 1.0
    common = config.offset * signs * weight / np.sqrt((weight**2).sum())
    dependent = np.zeros(grasp.DIM)
    dependent[:6] = config.context
    return PriorError(common, dependent, np.full(grasp.DIM, config.perception))


def _squares(z: Array) -> Array:
    """Sum of squares (N,) of rows (N, m), column by column: other sums may round differently in other batches."""
    out = np.zeros(len(z))
    for column in z.T:
        out += column * column
    return out


def altitude(deviation: Array, config: LandscapeConfig, common: Array | None = None) -> Array:
    """Height (N,) in [0, 1] of the landscape; 1 at the best grasp.

    Args:
        deviation: (N, 22) from the best grasp, in sigma.
        config: the knobs.
        common: (N, 22) or (22,) where the prior errs to, in sigma; ``modes`` puts its misleading hills around there.
    """
    use = list(IMPORTANCE[: config.informative])
    z = deviation[:, use]
    scale = -0.5 / config.width**2

    def hill(q: Array, height: float = 1.0) -> Array:
        # math.exp, row by row: vectorised exponentials may round differently in batches of other sizes.
        return np.array([height * math.exp(scale * value) for value in q.tolist()])

    q = _squares(z)
    if config.shape == "ridge":
        along, across = z[:, 0] + z[:, 1], z[:, 0] - z[:, 1]
        return hill(0.05 * along**2 + 1.5 * across**2 + _squares(z[:, 2:]))
    height = hill(q)
    if config.shape == "cliff":
        return np.where(z[:, 0] < -0.5, 0.1 * height, height)
    if config.shape == "modes":
        middle = np.zeros_like(z) if common is None else np.broadcast_to(common, deviation.shape)[:, use]
        aside = middle.copy()
        aside[:, 0], aside[:, 1] = middle[:, 0] + middle[:, 1], middle[:, 1] - middle[:, 0]
        for centre, top in ((1.8 * middle, 0.48), (1.2 * aside, 0.4)):
            height = np.maximum(height, hill(_squares(z - centre), top))
    return height
