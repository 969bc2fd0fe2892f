"""The post-grasp trajectory tau: 40 wrist displacements from ONE human demonstration (paper, section 3.1)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import paper

FRAMES: Final = ("grasp-yaw", "base")
SOURCES: Final = ("simulated", "human video")
_FORMAT: Final = "deft-demonstration-1"


@dataclass(frozen=True, slots=True, eq=False)
class Demonstration:
    """Forty displacements of the wrist, and where they came from.

    Attributes:
        task: the task it demonstrates.
        displacements: (40, 6); columns 0-2 translation (m), 3-5 rotation vector (rad), each in a gravity-aligned frame
            whose yaw is that of the demonstrated grasp. The rotation is applied about the grasp site, on the left.
        frame: ``"grasp-yaw"`` (replayed turned by the executed grasp's yaw; our choice) or ``"base"`` (not turned).
        yaw_rad: wrist yaw of the demonstrated grasp.
        goal: scene key (``str(EpisodeKey)``) or file name of the image of the demonstration's end.
        source: ``"simulated"`` or ``"human video"``.

    Raises:
        ValueError: for a wrong shape, a value that is not finite, or an unknown frame or source.
    """

    task: str
    displacements: NDArray[np.float64]
    frame: str = "grasp-yaw"
    yaw_rad: float = 0.0
    goal: str = ""
    source: str = "simulated"

    def __post_init__(self) -> None:
        d = np.array(self.displacements, dtype=np.float64)
        if d.shape != (paper.TRAJECTORY_STEPS, 6) or not np.isfinite(d).all():
            raise ValueError(f"displacements: expected finite ({paper.TRAJECTORY_STEPS}, 6), got {d.shape}")
        d.setflags(write=False)
        object.__setattr__(self, "displacements", d)
        if self.frame not in FRAMES:
            raise ValueError(f"frame: expected one of {FRAMES}, got {self.frame!r}")
        if self.source not in SOURCES:
            raise ValueError(f"source: expected one of {SOURCES}, got {self.source!r}")

    def _fields(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "task": self.task,
            "frame": self.frame,
            "yaw_rad": float(self.yaw_rad),
            "goal": self.goal,
            "source": self.source,
            "displacements": self.displacements.tolist(),
        }

    @property
    def hash(self) -> str:
        """SHA-256 of the content, 16 hex digits; recorded with every run."""
        return hashlib.sha256(json.dumps(self._fields(), sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Writes the demonstration as JSON, hash included."""
        Path(path).write_text(json.dumps({**self._fields(), "hash": self.hash}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Demonstration:
        """Reads what ``save`` wrote.

        Raises:
            ValueError: if the file is no demonstration, has unknown or missing fields, or its hash does not fit.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a demonstration file (no JSON: {error})") from None
        want = {"format", "task", "frame", "yaw_rad", "goal", "source", "displacements", "hash"}
        if not isinstance(data, dict) or set(data) != want or data["format"] != _FORMAT:
            raise ValueError(f"{path}: expected a {_FORMAT} file with the fields {sorted(want)}")
        stated = data.pop("hash")
        data.pop("format")
        demonstration = cls(**data)
        if demonstration.hash != stated:
            raise ValueError(f"{path}: the content does not fit its hash {stated}; the file was edited or cut short")
        return demonstration
