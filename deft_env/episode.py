"""Frozen records of an episode, and the seeding of everything random in it.

``EpisodeKey`` names one episode. All randomness of the world is spawned from the key and a purpose; all randomness of
an agent from (seed, purpose), not from the agent's name, so that agents meet the same scenes and share draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp as _grasp

Split = Literal["train", "test"]
SPLITS: Final[tuple[str, ...]] = get_args(Split)
ROLES: Final = ("train", "eval", "calibrate", "reference")
"""What an episode is for: fine-tuning, evaluation, calibration of a prior, evidence for a reference grasp."""
FRAME_SHAPE: Final = (480, 640)


def generator(*words: str | int) -> np.random.Generator:
    """A PCG64 generator whose stream is a function of the words alone (SHA-256 of them), on every platform."""
    digest = hashlib.sha256("\x1f".join(str(w) for w in words).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def agent_generator(seed: int, purpose: str) -> np.random.Generator:
    """The generator of an agent: the same for every agent with this seed and purpose (common random numbers)."""
    return generator("agent", seed, purpose)


@dataclass(frozen=True, slots=True, order=True)
class EpisodeKey:
    """Names one episode: ``k``-th of run ``seed`` on a split of a task, in a role.

    Raises:
        ValueError: for an unknown split or role, an empty task, or a negative seed or k.
    """

    task: str
    split: str
    role: str
    seed: int
    k: int

    def __post_init__(self) -> None:
        if not self.task or "/" in self.task:
            raise ValueError(f"task: expected a task name such as 'PickCup', got {self.task!r}")
        if self.split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}, got {self.split!r}")
        if self.role not in ROLES:
            raise ValueError(f"role: expected one of {ROLES}, got {self.role!r}")
        for name in ("seed", "k"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name}: expected an integer >= 0, got {value!r}")

    def __str__(self) -> str:
        return f"{self.task}/{self.split}/{self.role}/{self.seed}/{self.k}"

    @classmethod
    def parse(cls, text: str) -> EpisodeKey:
        """Reads what ``str(key)`` wrote.

        Raises:
            ValueError: if the text is not ``task/split/role/seed/k``.
        """
        parts = text.split("/")
        if len(parts) != 5 or not (parts[3].isdecimal() and parts[4].isdecimal()):
            raise ValueError(
                f"key: expected 'task/split/role/seed/k', for example 'PickCup/train/eval/0/3', got {text!r}"
            )
        return cls(parts[0], parts[1], parts[2], int(parts[3]), int(parts[4]))

    def generator(self, purpose: str) -> np.random.Generator:
        """The generator of this episode for a purpose, such as ``"scene"``, ``"perception"`` or ``"judge"``."""
        return generator("episode", self.task, self.split, self.role, self.seed, self.k, purpose)


class Status(StrEnum):
    """How an episode ended. Only ``completed`` and ``failed`` count as one of N and are told to the agent."""

    COMPLETED = "completed"
    FAILED = "failed"
    FAULTED = "faulted"
    VOIDED = "voided"

    @property
    def counts(self) -> bool:
        """Whether the episode counts as one of N and is told; otherwise the same trial runs again on a fresh scene."""
        return self in (Status.COMPLETED, Status.FAILED)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One RGBD picture, 640 x 480, whatever the rig.

    Attributes:
        rgb: (480, 640, 3) uint8.
        depth_m: (480, 640) float32, metres along the optical axis; 0 is a hole.
        K: (3, 3) pinhole intrinsics, px. Pixel coordinates count from the picture's edge: pixel i covers [i, i + 1),
            its centre is i + 0.5, and a principal point in the middle is (320, 240). Rigs whose camera counts from
            pixel centres (librealsense, OpenCV) add 0.5 to the principal point.
        T_base_cam: (4, 4), maps camera points (x right, y down, z forward) to the robot base frame.
    """

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    K: NDArray[np.float64]
    T_base_cam: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.rgb.shape != (*FRAME_SHAPE, 3) or self.rgb.dtype != np.uint8:
            raise ValueError(f"rgb: expected uint8 of shape {(*FRAME_SHAPE, 3)}, got {self.rgb.dtype} {self.rgb.shape}")
        if self.depth_m.shape != FRAME_SHAPE or self.depth_m.dtype != np.float32:
            raise ValueError(f"depth_m: expected float32 {FRAME_SHAPE}, got {self.depth_m.dtype} {self.depth_m.shape}")
        if self.K.shape != (3, 3) or self.T_base_cam.shape != (4, 4):
            raise ValueError(
                f"K, T_base_cam: expected (3, 3) and (4, 4), got {self.K.shape} and {self.T_base_cam.shape}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one executed episode was.

    Attributes:
        key: the episode.
        executed_grasp: (22,) what the rig commanded after limits and the projection onto twelve motors.
        status: see ``Status``.
        reason: one of a rig's documented words, such as ``"unreachable"`` or ``"collision"``; empty when completed.
        success: the task's boolean; None where nobody said (a real rig before its operator spoke).
        score: the judge's graded rubric in [0, 1]; None where nobody said.
        subgoals: sub-goal in words -> reached or not, in order; explains a failure.
        signals: named sensor series (T, d) that the judge saw; empty where the rig has none.
        last_frame: renders or returns the last picture; may be called more than once; None where there is none.
        film: renders the frames of the episode; None where the rig kept none.
    """

    key: EpisodeKey
    executed_grasp: NDArray[np.float64]
    status: Status
    reason: str = ""
    success: bool | None = None
    score: float | None = None
    subgoals: Mapping[str, bool] = field(default_factory=dict)
    signals: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    last_frame: Callable[[], Frame] | None = None
    film: Callable[[], list[NDArray[np.uint8]]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What an agent sees before it decides: never pixels.

    Attributes:
        prior: xi, (22,) the affordance prior's grasp, m and rad.
        features: (d,) float64 encoding of the first image; d may be 0.
        encoder: name of the encoder that made ``features``; empty when d is 0.
    """

    prior: NDArray[np.float64]
    features: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    encoder: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prior", _grasp.check(self.prior, "prior"))
        features = np.asarray(self.features, dtype=np.float64)
        if features.ndim != 1 or not np.isfinite(features).all():
            raise ValueError(f"features: expected a finite vector, got shape {features.shape}")
        object.__setattr__(self, "features", features)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A proposal for one episode.

    Attributes:
        id: unique within the agent; asks count 0, 1, 2, …; foreign trials carry negative ids.
        residual: epsilon, (22,), m and rad.
        context: what the agent saw.
    """

    id: int
    residual: NDArray[np.float64]
    context: Context

    def __post_init__(self) -> None:
        object.__setattr__(self, "residual", _grasp.check(self.residual, "residual"))


def jsonable(value: Any) -> Any:
    """Numpy scalars and arrays, enums, keys and mappings as plain JSON values (floats keep every bit through repr)."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, EpisodeKey | StrEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    return value
