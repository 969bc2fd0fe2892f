"""Finger joint angles from markers: one ArUco marker on the palm and one on the back of every link.

How markers must sit (our choice): x along the finger to its tip, z out of the back of the hand, y to the left. Then a
joint bends about +y, spreads about +z, and stuck-on errors cancel against one picture of the open hand.
The pose of a single small marker is noisy: at 0.25 m a 12 mm marker spans about 30 px, a few degrees an angle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import Frame
from deft_env.rigs.real.fiducial import detect_markers

Array = NDArray[np.float64]

LINKS: Final = ("proximal", "middle", "distal")
_PARENT: Final = {"proximal": "palm", "middle": "proximal", "distal": "middle"}


def _default_ids() -> dict[str, int]:
    names = ["palm", *(f"{finger}_{link}" for finger in grasp.FINGER_NAMES for link in LINKS)]
    return {name: i for i, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class MarkerConfig:
    """Markers on the hand.

    Attributes:
        ids: link -> ArUco id; links are ``palm`` and ``<finger>_proximal``, ``_middle``, ``_distal``.
        size_m: edge of each marker.
        dictionary: of OpenCV.
    """

    ids: Mapping[str, int] = field(default_factory=_default_ids)
    size_m: float = 0.012
    dictionary: str = "DICT_4X4_50"

    def __post_init__(self) -> None:
        if set(self.ids) != set(_default_ids()) or len(set(self.ids.values())) != len(self.ids):
            raise ValueError(f"ids: expected one unique id for each of {sorted(_default_ids())}")


def joint_angles(rotations: Mapping[str, Array], open_hand: Mapping[str, Array]) -> Array:
    """Joint angles (16,) from the links' rotations R_cam_link (3, 3) now and with the hand open; NaN where unseen.

    The turn of a link against its parent, with the open hand's taken off, is Rz(side) Ry(forward) at the MCP and
    Ry(angle) at PIP and DIP; what noise adds about other axes is projected away.
    """
    out = np.full(16, np.nan)
    for f, finger in enumerate(grasp.FINGER_NAMES):
        for k, link in enumerate(LINKS):
            child = f"{finger}_{link}"
            parent = "palm" if _PARENT[link] == "palm" else f"{finger}_{_PARENT[link]}"
            if any(name not in seen for name in (child, parent) for seen in (rotations, open_hand)):
                continue
            now = rotations[parent].T @ rotations[child]
            turn = now @ (open_hand[parent].T @ open_hand[child]).T
            if link == "proximal":
                out[4 * f] = np.arctan2(turn[1, 0], turn[0, 0])
                out[4 * f + 1] = np.arctan2(-turn[2, 0], np.hypot(turn[0, 0], turn[1, 0]))
            else:
                # The rotation about y that is nearest to the turn.
                out[4 * f + 1 + k] = np.arctan2(turn[0, 2] - turn[2, 0], turn[0, 0] + turn[2, 2])
    return out


class MarkerObserver:
    """Sees joint angles through a camera: call ``open`` once with the hand open, then the object itself."""

    def __init__(self, capture: Callable[[], Frame], config: MarkerConfig | None = None, *, pictures: int = 3) -> None:
        """``capture`` takes a picture; angles are the median over ``pictures`` of them."""
        self._capture, self.config, self._pictures = capture, config or MarkerConfig(), pictures
        self._open: dict[str, Array] | None = None

    def _look(self) -> dict[str, Array]:
        frame = self._capture()
        found = detect_markers(frame.rgb, frame.K, self.config.size_m, self.config.dictionary)
        return {link: found[i][:3, :3] for link, i in self.config.ids.items() if i in found}

    def open(self) -> tuple[str, ...]:
        """Takes the picture that zeros all angles; returns the links whose markers were not seen."""
        self._open = self._look()
        return tuple(link for link in self.config.ids if link not in self._open)

    def __call__(self) -> Array:
        """(16,) joint angles, rad; NaN for joints whose links are hidden in every picture.

        Raises:
            RuntimeError: before ``open``.
        """
        if self._open is None:
            raise RuntimeError("the open hand was not seen yet: call open() first")
        rows = np.array([joint_angles(self._look(), self._open) for _ in range(self._pictures)])
        out = np.full(16, np.nan)
        for j in range(16):
            seen = rows[np.isfinite(rows[:, j]), j]
            if len(seen):
                out[j] = np.median(seen)
        return out
