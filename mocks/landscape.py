"""The landscape rig: synthetic 22-D reward landscapes in place of physics, for developing agents and for users' CI.

It is a stand-in and named as such in every output: nothing is grasped. A scene is a coloured blob on a table; its
place, size, heading and colour decide the best grasp, and a function of the deviation from it, in units of sigma,
decides how high the blob is "lifted". The judge sees that lift and a touch signal alone, as a judge of physics would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey, Frame, Outcome, Status, generator
from deft_env.paper import TRAJECTORY_STEPS
from deft_env.registries import TASK_WORDS
from deft_env.rigs.rig import Frames, PriorError, Rig, SceneTruth
from deft_mocks import landscape_view as view

Array = NDArray[np.float64]
Shape = Literal["bowl", "ridge", "cliff", "modes"]
SHAPES: Final[tuple[str, ...]] = get_args(Shape)

IMPORTANCE: Final = (2, 4, 5, 0, 1, 3, *range(6, 22))
"""Order in which coordinates become informative: depth, pitch and yaw first, then x, y, roll, then fingers."""
LIFT_M: Final = 0.2
"""Lift of a perfect grasp; half of it is a success."""
SIGNAL_STEPS: Final = 5
TABLE_MARGIN_M: Final = 0.005
"""A wished grasp this far below the table top is a collision."""
_ROOT3: Final = math.sqrt(3.0)
_BLOBS: Final = {
    "train": {"blob-red": -1.34, "blob-orange": -0.45, "blob-green": 0.45, "blob-blue": 1.34},
    "test": {"blob-yellow": -1.22, "blob-cyan": 0.0, "blob-violet": 1.22},
}
"""Objects of each split and the third coordinate of their descriptor (unit variance in each split)."""


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
def _prior_error(task: str, config: LandscapeConfig) -> PriorError:
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


class LandscapeTask:
    """A task of the landscape: a name, a stand-in demonstration, and a judge of the synthetic signals.

    Attributes:
        name: any task name.
        instruction: as of the real task of this name.
        demonstration: lifts by 20 cm; the landscape does not replay it.
        nominal_rotation: hand straight down.
        stand_in: True.
    """

    stand_in = True
    nominal_rotation = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])

    def __init__(self, name: str) -> None:
        """Makes the task of this name."""
        self.name = name
        self.instruction = TASK_WORDS[name].instruction if name in TASK_WORDS else name
        displacements = np.zeros((TRAJECTORY_STEPS, 6))
        displacements[:, 2] = LIFT_M / TRAJECTORY_STEPS
        self.demonstration = Demonstration(name, displacements, goal=str(EpisodeKey(name, "train", "reference", 0, 0)))

    def objects(self, split: str) -> tuple[str, ...]:
        """Names of the blobs of a split."""
        return tuple(_BLOBS[split])

    def success(self, signals: Mapping[str, Array]) -> bool:
        """At the end the blob is lifted by half of what is possible."""
        return bool(signals["lift_m"][-1, 0] >= LIFT_M / 2)

    def score(self, signals: Mapping[str, Array]) -> float:
        """The final lift, as a share of what is possible."""
        return float(min(max(signals["lift_m"][-1, 0] / LIFT_M, 0.0), 1.0))

    def subgoals(self, signals: Mapping[str, Array]) -> dict[str, bool]:
        """Touched, lifted a little, lifted enough."""
        lift = float(signals["lift_m"][-1, 0])
        return {
            "the hand touches the blob": bool(signals["touch"].max() > 0.5),
            "the blob is lifted by 4 cm": lift >= LIFT_M / 5,
            "the blob is lifted by 10 cm": lift >= LIFT_M / 2,
        }


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
            names = _BLOBS[key.split]
            object_name = list(names)[int(u[i, 4] * len(names))]
            blob = view.Blob(float(best[i, 0]), float(best[i, 1]), float(size[i]), float(best[i, 5]), object_name)
            blobs.append(blob)
            truths.append(
                SceneTruth(
                    object=object_name,
                    human_grasp=best[i].copy(),
                    descriptor=np.array([_ROOT3 * size[i], _ROOT3 * yaw[i], names[object_name]]),
                    prior_error=_prior_error(key.task, self.config),
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
        common = np.stack([_prior_error(key.task, self.config).common for key in self._keys])
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
