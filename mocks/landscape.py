"""The landscape rig: synthetic 22-D reward landscapes in place of physics, for developing agents and for users' CI.

It is a stand-in and named as such in every output: nothing is grasped. A scene is a coloured blob on a table; its
place, size, heading and colour decide the best grasp, and a function of the deviation from it, in units of sigma,
decides how high the blob is "lifted". The judge sees that lift and a touch signal alone, as a judge of physics would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey, Frame, Outcome, Status
from deft_env.rigs.rig import Frames, Rig, SceneTruth
from deft_mocks import landscape_view as view
from deft_mocks.landscape_surface import LandscapeConfig, altitude, prior_error
from deft_mocks.landscape_task import BLOBS, LIFT_M, LandscapeTask

Array = NDArray[np.float64]
SIGNAL_STEPS: Final = 5
TABLE_MARGIN_M: Final = 0.005
"""A wished grasp this far below the table top is a collision."""
_ROOT3: Final = math.sqrt(3.0)


class LandscapeRig(Rig):
    """A stand-in for physics: 22-D landscapes, tens of microseconds an episode in a batch, lazily drawn frames.

    ``failed: collision`` when the wished grasp lies below the table top. Everything else is ``completed``.
    """

    name = "landscape"
    stand_in = True
    Config = LandscapeConfig

    def __init__(self, config: LandscapeConfig | None = None) -> None:
        """Makes the rig; ``config`` holds the knobs."""
        self.config = config or LandscapeConfig()
        self._keys: tuple[EpisodeKey, ...] = ()
        self._blobs: list[view.Blob] = []
        self._best: Array | None = None
        self._tasks: dict[str, LandscapeTask] = {}

    def task(self, name: str) -> LandscapeTask:
        """The landscape's own task of this name, with a judge for its own signals."""
        if name not in self._tasks:
            self._tasks[name] = LandscapeTask(name)
        return self._tasks[name]

    def reset_batch(self, keys: Sequence[EpisodeKey]) -> Frames:
        """Draws a blob for each key; nothing is rendered yet."""
        n = len(keys)
        u = np.empty((n, 5))
        for i, key in enumerate(keys):
            u[i] = key.generator("scene").random(5)
        place = 2.0 * u - 1.0
        best = np.zeros((n, grasp.DIM))
        size, yaw = place[:, 2], place[:, 3]
        best[:, 0] = 0.45 + 0.1 * place[:, 0]
        best[:, 1] = 0.15 * place[:, 1]
        best[:, 2] = 0.08 + 0.02 * size
        best[:, 5] = 0.5 * yaw
        best[:, 7:22:4] = (0.6 - 0.2 * size)[:, None]
        best[:, 8:22:4] = (0.5 - 0.2 * size)[:, None]
        best[:, 9:22:4] = grasp.DIP_PER_PIP * best[:, 8:22:4]
        best = grasp.executable(best)
        blobs, truths = [], []
        for i, key in enumerate(keys):
            names = BLOBS[key.split]
            object_name = list(names)[int(u[i, 4] * len(names))]
            blob = view.Blob(float(best[i, 0]), float(best[i, 1]), float(size[i]), float(best[i, 5]), object_name)
            blobs.append(blob)
            truths.append(
                SceneTruth(
                    object=object_name,
                    human_grasp=best[i].copy(),
                    descriptor=np.array([_ROOT3 * size[i], _ROOT3 * yaw[i], names[object_name]]),
                    prior_error=prior_error(key.task, self.config),
                    parameters={"x_m": blob.x_m, "y_m": blob.y_m, "yaw_rad": blob.yaw_rad, "height_m": blob.height_m},
                )
            )
        self._keys, self._blobs, self._best = tuple(keys), blobs, best
        return Frames(keys, lambda i: view.picture(blobs[i], 0.0), truths)

    def execute_batch(self, grasps: ArrayLike, demonstrations: Sequence[Demonstration]) -> list[Outcome]:
        """Reads the landscape at the executed grasps (N, 22); the demonstrations are checked in number only.

        Raises:
            ValueError: without a ``reset_batch`` before, or for wrong shapes.
        """
        if self._best is None:
            raise ValueError("execute_batch: there is no scene; call reset_batch first (one execution a scene)")
        wished = grasp.check(grasps, "grasps")
        if wished.shape != self._best.shape or len(demonstrations) != len(wished):
            raise ValueError(
                f"grasps, demonstrations: expected shape {self._best.shape} and as many demonstrations, "
                f"got {wished.shape} and {len(demonstrations)}"
            )
        commanded = grasp.executable(wished)
        deviation = (commanded - self._best) / grasp.SIGMA
        if self.config.noise:
            for i, key in enumerate(self._keys):
                deviation[i] += self.config.noise * key.generator("execution").standard_normal(grasp.DIM)
        common = np.stack([prior_error(key.task, self.config).common for key in self._keys])
        height = altitude(deviation, self.config, common)
        ramp = np.linspace(0.0, 1.0, SIGNAL_STEPS)[:, None]
        outcomes = []
        for i, key in enumerate(self._keys):
            collided = bool(wished[i, 2] < -TABLE_MARGIN_M)
            lift_m = 0.0 if collided else LIFT_M * float(height[i])
            touch = 0.0 if collided or height[i] < 0.1 else 1.0
            outcomes.append(self._outcome(key, self._blobs[i], commanded[i], collided, ramp * lift_m, ramp * touch))
        self._best = None
        return outcomes

    def _outcome(
        self, key: EpisodeKey, blob: view.Blob, commanded: Array, collided: bool, lift_m: Array, touch: Array
    ) -> Outcome:
        signals = {"lift_m": lift_m, "touch": touch}
        task = self.task(key.task)
        return Outcome(
            key=key,
            executed_grasp=commanded.copy(),
            status=Status.FAILED if collided else Status.COMPLETED,
            reason="collision" if collided else "",
            success=not collided and task.success(signals),
            score=0.0 if collided else task.score(signals),
            subgoals=task.subgoals(signals),
            signals=signals,
            last_frame=lambda: view.picture(blob, float(lift_m[-1, 0])),
            film=lambda: [view.picture(blob, float(lift)).rgb for lift in np.linspace(0.0, lift_m[-1, 0], 12)],
        )


def render(key: EpisodeKey, config: LandscapeConfig | None = None) -> Frame:
    """The first frame of an episode, from its key alone."""
    frame: Frame = LandscapeRig(config).reset_batch([key])[0]
    return frame
