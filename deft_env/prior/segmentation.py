"""Finds things in a first frame by geometry alone: what stands out of the table plane.

No learned model: the table is the plane z = 0 of the robot base frame, and depth, K and T_base_cam say where each pixel
lies. The paper segments by Segment-Anything; this is the dependency-free way of the heuristic baseline (our choice).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import Frame
from deft_env.prior.prior import PriorFailureError
from deft_env.video import crops

if TYPE_CHECKING:
    from deft_env.prior.choice import Choice
    from deft_env.registries import Weights

LEAST_HEIGHT_M: Final = 0.008
"""What rises less than this over the table is table (our choice: above the noise of a depth camera at 1 m)."""
LEAST_PIXELS: Final = 40
"""A smaller component is noise (our choice)."""
LEAST_CHOICE_PIXELS: Final = 120
"""Beside the largest thing, smaller ones are pieces or noise and are not chosen among (our choice)."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """The object in a frame.

    Attributes:
        mask: (480, 640) bool.
        box: left, top, right, bottom in px, right and bottom exclusive.
        depth_m: median depth of the mask.
    """

    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    depth_m: float


def base_points(frame: Frame) -> NDArray[np.float64]:
    """Every pixel's point in the robot base frame, (480, 640, 3) m; NaN where the depth is a hole."""
    rows, columns = frame.depth_m.shape
    depth = np.where(frame.depth_m > 0.0, frame.depth_m.astype(np.float64), np.nan)
    rays = np.stack(np.broadcast_arrays(*np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), 1.0), axis=-1)
    camera_from_pixel = np.linalg.inv(frame.K)
    turn = frame.T_base_cam[:3, :3] @ camera_from_pixel
    points: NDArray[np.float64] = rays @ turn.T
    points *= depth[..., None]
    points += frame.T_base_cam[:3, 3]
    return points


def segments(frame: Frame) -> list[Segment]:
    """Every connected region over the table and inside the workspace, the largest first.

    Raises:
        PriorFailureError: if nothing of at least ``LEAST_PIXELS`` pixels stands there.
    """
    from scipy import ndimage  # here: most runs segment nothing

    points = base_points(frame)
    low, high = grasp.WORKSPACE_LOW_M, grasp.WORKSPACE_HIGH_M
    with np.errstate(invalid="ignore"):  # a hole is NaN, and NaN is nowhere
        above = (points[..., 2] > LEAST_HEIGHT_M) & (points[..., 2] < high[2])
        inside = ((points[..., :2] > low[:2]) & (points[..., :2] < high[:2])).all(axis=-1)
    labels, count = ndimage.label(above & inside)
    sizes = np.bincount(labels.ravel())[1:] if count else np.zeros(0, dtype=np.intp)
    if not len(sizes) or sizes.max() < LEAST_PIXELS:
        raise PriorFailureError(
            f"nothing of at least {LEAST_PIXELS} pixels stands {1000 * LEAST_HEIGHT_M:.0f} mm over the table inside "
            "the workspace; put the object there, and check depth and camera calibration"
        )
    return [_one(frame, labels == i + 1) for i in np.argsort(-sizes, kind="stable") if sizes[i] >= LEAST_PIXELS]


def _one(frame: Frame, mask: NDArray[np.bool_]) -> Segment:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Segment(mask, box, float(np.median(frame.depth_m[mask])))


class Finder:
    """The thing in a frame that an instruction means: of several, the one that ``prior.choice`` scores highest.

    The network is read when a frame first shows several things, so that scenes of one need none.
    """

    def __init__(self, weights: Weights | None = None) -> None:
        """``weights["choice"]``, or the shipped file."""
        self._weights = dict(weights or {})
        self._choice: Choice | None = None

    def __call__(self, frame: Frame, instruction: str) -> Segment:
        """The thing that is meant.

        Raises:
            PriorFailureError: if nothing stands on the table.
        """
        found = [s for i, s in enumerate(segments(frame)) if not i or s.mask.sum() >= LEAST_CHOICE_PIXELS]
        if len(found) == 1:
            return found[0]
        from deft_env.prior.choice import IMAGE_PX, Choice

        if self._choice is None:
            self._choice = Choice(self._weights)
        squares = [crops.square_box(np.array(s.box, dtype=np.float64), frame.rgb.shape) for s in found]
        pictures = [crops.cut(frame.rgb, square, IMAGE_PX) for square in squares]
        return found[int(self._choice.scores(pictures, instruction).argmax())]


def segment(frame: Frame) -> Segment:
    """The largest of ``segments``.

    Raises:
        PriorFailureError: as ``segments``.
    """
    return segments(frame)[0]


def box_centre_m(frame: Frame, found: Segment) -> NDArray[np.float64]:
    """The centre of the object's bounding box, lifted to (3,) m in the base frame at the object's median depth."""
    left, top, right, bottom = found.box
    pixel = np.array([(left + right) / 2, (top + bottom) / 2, 1.0])
    camera = np.linalg.solve(frame.K, pixel) * found.depth_m
    return frame.T_base_cam[:3, :3] @ camera + frame.T_base_cam[:3, 3]
