"""The simulated affordance prior: a person's grasp of the scene, with the calibrated error of a learned prior.

    xi = human_grasp + scale * sigma * (common + dependent * g(descriptor) + noise * n),     n ~ N(0, I)

It stands in for the network f of the paper, which needs weights and human video. ``common`` is what fine-tuning can
learn, ``dependent`` what a policy that sees the scene can learn, ``noise`` what nobody can. ``scale`` is 1 for the
calibrated prior and less for a better one (0: a person's grasp). The function g is fixed per
task: g_j(d) = c sin(w_j . d) with a random unit vector w_j and c = sqrt(2 / (1 - e^-2)), so that each coordinate is
smooth and odd, with zero mean and unit rms over standard normal descriptors (our choice).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import episode, grasp
from deft_env.prior.prior import Prior
from deft_env.registries import TaskLike
from deft_env.rigs.rig import Frames

_AMPLITUDE: Final = float(np.sqrt(2.0 / (1.0 - np.exp(-2.0))))


@lru_cache(maxsize=64)
def _directions(task: str, size: int) -> NDArray[np.float64]:
    w = episode.generator("prior", "dependent", task, size).normal(size=(grasp.DIM, size))
    w /= np.sqrt((w**2).sum(axis=1, keepdims=True))
    w.setflags(write=False)
    return w


def dependent_error(task: str, descriptor: NDArray[np.float64]) -> NDArray[np.float64]:
    """g(descriptor): (d,) -> (22,), in units of the dependent scale; zero for an empty descriptor."""
    if descriptor.size == 0:
        return np.zeros(grasp.DIM)
    # Elementwise, one scene at a time: the same bits whatever the batch.
    phase = (_directions(task, descriptor.size) * descriptor).sum(axis=1)
    return _AMPLITUDE * np.sin(phase)


class SimulatedPrior(Prior):
    """Needs a rig that knows the truth of its scenes; its noise is drawn from the key's purpose ``"perception"``."""

    name = "simulated"
    stand_in = True

    def __init__(self, scale: float = 1.0) -> None:
        """Makes the prior.

        Args:
            scale: how much of each task's calibrated error it makes.

        Raises:
            ValueError: if ``scale`` is negative or not finite.
        """
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0.0 <= scale < np.inf:
            raise ValueError(f"scale: expected a number >= 0, got {scale!r}")
        self.scale = float(scale)

    def predict(self, frames: Frames, task: TaskLike) -> NDArray[np.float64]:
        """Grasps (N, 22); see the module.

        Raises:
            ValueError: if the rig knows no truth (a real one).
        """
        if frames.truths is None:
            raise ValueError(
                "prior 'simulated' needs the truth of simulated scenes, which this rig does not have; "
                "use prior='affordance' or prior='heuristic'"
            )
        xi = np.empty((len(frames), grasp.DIM))
        for i, (key, truth) in enumerate(zip(frames.keys, frames.truths, strict=True)):
            error = truth.prior_error
            offset = error.common + error.dependent * dependent_error(task.name, truth.descriptor)
            if error.noise.any():
                offset = offset + error.noise * key.generator("perception").standard_normal(grasp.DIM)
            xi[i] = truth.human_grasp + self.scale * grasp.SIGMA * offset
        return xi
