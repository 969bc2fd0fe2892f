"""The contract of a rig: what resets a scene, executes a grasp and reports what happened.

Hardware is just another rig: nothing above this contract knows whether it is real.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey, Frame, Outcome, Status


@dataclass(frozen=True, slots=True, eq=False)
class PriorError:
    """How a simulated affordance prior errs, in units of sigma (the rules it keeps: docs/tasks.md).

    Attributes:
        common: (22,) the same in every episode: the human-to-robot error that fine-tuning can learn.
        dependent: (22,) scale of the part that depends on object and pose: a policy with context can learn it.
        noise: (22,) standard deviation of what nobody can learn.
    """

    common: NDArray[np.float64]
    dependent: NDArray[np.float64]
    noise: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SceneTruth:
    """What only a simulator knows of a scene; for simulated priors, calibration and tests, never for agents or judges.

    Attributes:
        object: name of the object on the table.
        human_grasp: (22,) how a person would grasp this object here, retargeted without error.
        descriptor: (d,) of zero mean and unit variance over scenes (size, yaw, …): what the dependent error follows.
        prior_error: the task's calibrated error.
        parameters: whatever else, by name, in physical units.
    """

    object: str
    human_grasp: NDArray[np.float64]
    descriptor: NDArray[np.float64]
    prior_error: PriorError
    parameters: Mapping[str, Any] = field(default_factory=dict)


T = TypeVar("T")


def one_by_one(works: Sequence[Callable[[], T]]) -> list[T]:
    """What each of ``works`` returns."""
    return [work() for work in works]


class Frames(Sequence[Frame]):
    """The first pictures of a batch of scenes, rendered when asked for and cached.

    Who wants several asks for a slice (``frames[:]``), which a rig may draw in several threads.

    Attributes:
        keys: of the scenes.
        truths: what a simulator knows of them; None on a real rig.
        many: calls several functions and returns their results, in several threads where the rig has them.
    """

    def __init__(
        self,
        keys: Sequence[EpisodeKey],
        render: Callable[[int], Frame],
        truths: Sequence[SceneTruth] | None = None,
        many: Callable[[Sequence[Callable[[], Any]]], list[Any]] = one_by_one,
    ) -> None:
        """Wraps ``render(i) -> Frame``; ``truths`` is None on a real rig; ``many`` calls several, as ``Rig.many``."""
        self.keys = tuple(keys)
        self.truths = None if truths is None else tuple(truths)
        self._render, self.many = render, many
        self._cache: dict[int, Frame] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            wanted = range(*index.indices(len(self)))
            missing = [i for i in wanted if i not in self._cache]
            self._cache.update(zip(missing, self.many([partial(self._render, i) for i in missing]), strict=True))
            return [self._cache[i] for i in wanted]
        i = range(len(self))[index]
        if i not in self._cache:
            self._cache[i] = self._render(i)
        return self._cache[i]


class SceneLostError(RuntimeError):
    """A real rig could not bring about a scene: ``reset_batch`` has no outcome to say so in.

    Attributes:
        status: ``faulted`` (a device, nobody there) or ``voided`` (the operator's word).
    """

    def __init__(self, status: Status, reason: str) -> None:
        """Says why there is no scene."""
        super().__init__(f"{status}: {reason}")
        self.status = status


class Rig(ABC):
    """Resets scenes and executes grasps, in batches; a real rig has a batch of one.

    A rig never raises for what can happen on a robot: it returns an ``Outcome`` with a status and a reason. It raises
    ``ValueError`` for a programmer's mistake (wrong shapes, ``execute_batch`` without ``reset_batch``). Use it as a
    context manager: leaving it always leaves every device safe.

    Attributes:
        name: registry name.
        stand_in: whether the rig stands in for physics or hardware; outputs name it as such.
        real: whether a person must prepare scenes and wait.
        max_batch: most episodes in one batch; None for no limit.
    """

    name: str = ""
    stand_in: bool = False
    real: bool = False
    max_batch: int | None = None

    @abstractmethod
    def reset_batch(self, keys: Sequence[EpisodeKey]) -> Frames:
        """Builds the scenes of ``keys`` and returns their first frames (lazily).

        Raises:
            SceneLostError: on a real rig, if devices or operator cannot bring the scene about; try again.
        """

    @abstractmethod
    def execute_batch(self, grasps: ArrayLike, demonstrations: Sequence[Demonstration]) -> list[Outcome]:
        """Executes one grasp (N, 22) in each scene of the last reset, then the demonstration's 40 displacements.

        The wished grasps may lie anywhere; the rig limits them (``grasp.executable``) and reports what it commanded.
        A scene is executed once; the next call needs a new ``reset_batch``.
        """

    def many(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """What each of ``works`` returns, in their order: pictures of a batch, which a rig may draw in several threads.

        Raises:
            Exception: what one of ``works`` raises, of several the first.
        """
        return one_by_one(works)

    def close(self) -> None:  # noqa: B027 - rigs without devices have nothing to release
        """Releases everything and leaves devices safe; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
