"""Finger joint angles from markers: one ArUco marker on the back of every link, and two on the palm.

How markers must sit (our choice): x along the finger to its tip, z out of the back of the finger, y to the left. Then a
joint bends about +y, a finger spreads about +z, and stuck-on errors cancel against one picture of the open hand. The
thumb opposes the fingers, so its back looks the other way: it has a palm marker of its own, ``palm_thumb``, which sits
like those on the thumb, and is seen in a take of its own. Every side joint is positive towards the index, which for
the thumb's markers is about -z.
A single small marker is noisy, and its picture may be that of two poses: those are taken that make a hand together.
Measured on the mock rig at 0.22 m: 16 mm markers, about a degree an angle; 12 mm, two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import Frame
from deft_env.rigs.real.calibration.fiducial import Sighting, detect_markers

Array = NDArray[np.float64]

MAX_OFF_AXIS_RAD: Final = 0.25
"""A link that turned about another axis than its joint's by more was not seen as it is (our choice)."""
_NOISE_PX: Final = 0.3
_NOISE_RAD: Final = 0.1
_STUCK_RAD: Final = 0.3
"""What is usual: of corners, of angles, and of how askew markers are stuck on (assumed)."""
LINKS: Final = ("proximal", "middle", "distal")
PALMS: Final = {finger: "palm_thumb" if finger == "thumb" else "palm" for finger in grasp.FINGER_NAMES}
"""Marker on the palm that a finger's proximal link is seen against."""


def _default_ids() -> dict[str, int]:
    links = (f"{finger}_{link}" for finger in grasp.FINGER_NAMES for link in LINKS)
    return {name: i for i, name in enumerate(("palm", *links, "palm_thumb"))}


def markers_of(fingers: Iterable[str]) -> tuple[str, ...]:
    """Names of the markers that angles of these fingers need."""
    fingers = tuple(fingers)
    palms = dict.fromkeys(PALMS[finger] for finger in fingers)
    return (*palms, *(f"{finger}_{link}" for finger in fingers for link in LINKS))


@dataclass(frozen=True, slots=True)
class MarkerConfig:
    """Markers on the hand.

    Attributes:
        ids: link -> ArUco id; links are ``palm``, ``palm_thumb`` and ``<finger>_proximal``, ``_middle``, ``_distal``.
        size_m: edge of each marker; as large as the links allow, since angles are as noisy as the marker is small. Only
            directions are used, so that those on the palm may be larger.
        dictionary: of OpenCV.
    """

    ids: Mapping[str, int] = field(default_factory=_default_ids)
    size_m: float = 0.016
    dictionary: str = "DICT_4X4_50"

    def __post_init__(self) -> None:
        if set(self.ids) != set(_default_ids()) or len(set(self.ids.values())) != len(self.ids):
            raise ValueError(f"ids: expected one unique id for each of {sorted(_default_ids())}")
        if not 0.0 < self.size_m <= 0.2:
            raise ValueError(f"size_m: expected an edge of more than 0 and at most 0.2 m, got {self.size_m}")


def _turns(finger: str, k: int, turn: Array) -> tuple[Array, Array]:
    """Joint angles behind the turn (3, 3) of link ``k`` against its parent, and the rotation (3, 3) they would make."""
    if k == 0:
        spread, bend = np.arctan2(turn[1, 0], turn[0, 0]), np.arctan2(-turn[2, 0], np.hypot(turn[0, 0], turn[1, 0]))
        made = _about(2, spread) @ _about(1, bend)
        return np.array([-spread if finger == "thumb" else spread, bend]), made
    # The rotation about y that is nearest to the turn.
    bend = np.arctan2(turn[0, 2] - turn[2, 0], turn[0, 0] + turn[2, 2])
    return np.array([bend]), _about(1, bend)


def _about(axis: int, angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[i, i], out[i, j], out[j, i], out[j, j] = c, -s, s, c
    return out


def _angle(rotation: Array) -> float:
    return float(np.arccos(np.clip((np.trace(rotation) - 1.0) / 2.0, -1.0, 1.0)))


def joint_angles(rotations: Mapping[str, Array], open_hand: Mapping[str, Array]) -> Array:
    """Joint angles (16,) from the links' rotations R_cam_link (3, 3) now and with the hand open; NaN where unseen.

    The turn of a link against its parent, with the open hand's taken off, is Rz(side) Ry(forward) at the MCP and
    Ry(angle) at PIP and DIP; what noise adds about other axes is projected away, and where that is more than noise
    (``MAX_OFF_AXIS_RAD``) the link counts as not seen.
    """
    out = np.full(16, np.nan)
    for f, finger in enumerate(grasp.FINGER_NAMES):
        for k, link in enumerate(LINKS):
            child = f"{finger}_{link}"
            parent = f"{finger}_{LINKS[k - 1]}" if k else PALMS[finger]
            if any(name not in seen for name in (child, parent) for seen in (rotations, open_hand)):
                continue
            turn = rotations[parent].T @ rotations[child] @ (open_hand[parent].T @ open_hand[child]).T
            angles, made = _turns(finger, k, turn)
            if _angle(made.T @ turn) <= MAX_OFF_AXIS_RAD:
                first = 4 * f + (k + 1 if k else 0)
                out[first : first + len(angles)] = angles
    return out


Sightings = Mapping[str, Sequence[Sighting]]


def choose(seen: Sightings, open_hand: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """Rotations R_cam_link (3, 3): of the poses that each marker may have, those that make a hand together.

    A chain of links is likely if its markers' corners fit, its joints turn about their own axes and stay near their
    ranges; without ``open_hand``, for the picture of the open hand itself, if the links are nearly parallel.
    """
    out: dict[str, Array] = {}
    for palm in dict.fromkeys(PALMS.values()):
        fingers = [finger for finger in grasp.FINGER_NAMES if PALMS[finger] == palm]
        best = inf
        for sighting in seen.get(palm, ()) or (None,):
            cost = 0.0 if sighting is None else (sighting.error_px / _NOISE_PX) ** 2
            made = {} if sighting is None else {palm: sighting.T_cam_marker[:3, :3]}
            for finger in fingers:
                more, chain = _likeliest(finger, made, seen, open_hand)
                cost, made = cost + more, made | chain
            if cost < best:
                best, chosen = cost, made
        out |= chosen
    return out


def _likeliest(
    finger: str, palm: Mapping[str, Array], seen: Sightings, open_hand: Mapping[str, Array] | None
) -> tuple[float, dict[str, Array]]:
    """(cost, rotations) of the likeliest chain of a finger's links on a palm."""
    best: tuple[float, dict[str, Array]] = (inf, {})
    for chain in product(*((seen.get(f"{finger}_{link}", ()) or (None,)) for link in LINKS)):
        cost, made = 0.0, {}
        for k, (link, sighting) in enumerate(zip(LINKS, chain, strict=True)):
            if sighting is None:
                continue
            child, parent = f"{finger}_{link}", f"{finger}_{LINKS[k - 1]}" if k else PALMS[finger]
            made[child] = sighting.T_cam_marker[:3, :3]
            cost += (sighting.error_px / _NOISE_PX) ** 2
            if parent in palm or parent in made:
                cost += _oddity(finger, k, (made if k else palm)[parent].T @ made[child], (parent, child), open_hand)
        best = min(best, (cost, made), key=lambda found: found[0])
    return best


def _oddity(finger: str, k: int, turn: Array, pair: tuple[str, str], open_hand: Mapping[str, Array] | None) -> float:
    """How unlikely a turn between two links is, in squared standard deviations."""
    if open_hand is None:
        return (_angle(turn) / _STUCK_RAD) ** 2
    if any(name not in open_hand for name in pair):
        return 0.0
    turn = turn @ (open_hand[pair[0]].T @ open_hand[pair[1]]).T
    angles, made = _turns(finger, k, turn)
    joints = ("side", "forward") if k == 0 else (grasp.JOINTS_PER_FINGER[k + 1],)
    where = [grasp.FINGERS.start + grasp.JOINT_NAMES.index(f"{finger}_{joint}") for joint in joints]
    beyond = np.maximum(grasp.LOW[where] - angles, angles - grasp.HIGH[where]).clip(0.0)
    return (_angle(made.T @ turn) / _NOISE_RAD) ** 2 + float(((beyond / _NOISE_RAD) ** 2).sum())


class MarkerObserver:
    """Sees joint angles through a camera: call ``open`` once with the hand open, then the object itself."""

    def __init__(self, capture: Callable[[], Frame], config: MarkerConfig | None = None, *, pictures: int = 3) -> None:
        """``capture`` takes a picture; angles are the median over ``pictures`` of them."""
        self._capture, self.config, self._pictures = capture, config or MarkerConfig(), pictures
        self._open: dict[str, Array] | None = None

    def _look(self) -> dict[str, Array]:
        frame = self._capture()
        found = detect_markers(frame.rgb, frame.K, self.config.size_m, self.config.dictionary)
        return choose({link: found[i] for link, i in self.config.ids.items() if i in found}, self._open)

    def open(self) -> tuple[str, ...]:
        """Takes the picture that zeros all angles; returns the links whose markers were not seen."""
        self._open = None
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
