"""Contact points in a picture -> one point in the robot's base frame, through depth and calibration (paper, 3.1).

Pixel coordinates here are measured from the picture's edge: pixel i covers [i, i + 1), as boxes do and as K of a
``Frame`` counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.episode import Frame

Array = NDArray[np.float64]

WINDOW_PX: Final = 2
"""Half-width of the window whose median depth is taken (our choice): one noisy pixel must not move the grasp."""
SEARCH_PX: Final = 40
"""How far from the contact valid depth is looked for at all (our choice)."""
SNAP_PX: Final = 16
"""A contact beside a part that stands out towards the camera is moved onto it from at most this far (our choice, about
the network's own error): what a hand takes, a handle or a knob, stands in front of what is behind it."""
STEP_M: Final = 0.012
"""Least step of depth between such a part and what is behind it (our choice)."""
LEAST_FRONT: Final = 6
"""Fewest pixels that count as such a part."""
WIDER: Final = 1.8
"""What is visible at a contact is the held part if it is at most this many times as wide as the hand's opening."""
SPOT_PX: Final = 8.0
"""Pixels of the part that lie so much further away than its nearest ones make up the spot (our choice)."""
EDGE_PX: Final = 24
"""How far from a contact the edge of what hides the held part may be (our choice, about the network's own error)."""
HIDES_M: Final = 0.03
"""Step of depth at the edge of a thing that may hide what is held (our choice): as thick as a knob and a finger."""
LEVEL_M: Final = 0.02
"""Pixels within this height over the table are one level surface (our choice)."""
NEAR_M: Final = 0.1
FAR_M: Final = 10.0
"""Range of the assumed camera; depth outside is a hole."""


class NoDepthError(ValueError):
    """There is no depth at or near the contact point."""


@dataclass(frozen=True, slots=True, eq=False)
class Lifted:
    """A lifted contact.

    Attributes:
        point_base_m: (3,) in the robot base frame.
        pixel: (2,) column and row that was lifted, px.
        depth_m: along the optical axis.
        hole_px: distance from the contact to the nearest valid depth; 0 where the contact itself had depth.
    """

    point_base_m: Array
    pixel: Array
    depth_m: float
    hole_px: float


def average_contact(points: ArrayLike, box: ArrayLike) -> Array:
    """Contact points (k, 2) in [0, 1] of a crop -> their mean as a pixel (2,) of the picture.

    Args:
        points: x and y, 0 at the left and top edge of the crop, 1 at its right and bottom edge.
        box: (4,) crop as x0, y0, x1, y1 in px.

    Raises:
        ValueError: if there are no points, a value is not finite, or the box is empty.
    """
    p, b = np.asarray(points, dtype=np.float64), np.asarray(box, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != 2 or not len(p) or not np.isfinite(p).all():
        raise ValueError(f"points: expected finite (k, 2) with k >= 1, got shape {p.shape}")
    if b.shape != (4,) or not np.isfinite(b).all() or b[2] <= b[0] or b[3] <= b[1]:
        raise ValueError(f"box: expected x0 < x1 and y0 < y1, got {b.tolist()}")
    mean: Array = b[:2] + np.clip(p.mean(axis=0), 0.0, 1.0) * (b[2:] - b[:2])
    return mean


def depth_at(depth_m: ArrayLike, pixel: ArrayLike, mask: ArrayLike | None = None) -> tuple[float, float]:
    """Median depth (m) around a pixel, and the distance (px) to the nearest valid depth when there is a hole.

    Where a mask of the object is given, only depth on the object counts: next to an edge the window would otherwise mix
    the object with the table behind it.

    Raises:
        NoDepthError: if no valid depth lies within ``SEARCH_PX`` of the pixel.
        ValueError: if the pixel lies outside the picture.
    """
    depth = np.asarray(depth_m, dtype=np.float64)
    at = np.asarray(pixel, dtype=np.float64)
    height, width = depth.shape
    if at.shape != (2,) or not (0 <= at[0] <= width and 0 <= at[1] <= height):
        raise ValueError(f"pixel: expected a point inside the {width} x {height} picture, got {at.tolist()}")
    column, row = int(min(at[0], width - 1)), int(min(at[1], height - 1))
    valid = np.isfinite(depth) & (depth >= NEAR_M) & (depth <= FAR_M)
    if mask is not None:
        valid &= np.asarray(mask, dtype=bool)
    hole = 0.0
    if not valid[row, column]:
        r0, c0 = max(row - SEARCH_PX, 0), max(column - SEARCH_PX, 0)
        rows, columns = np.nonzero(valid[r0 : row + SEARCH_PX + 1, c0 : column + SEARCH_PX + 1])
        distance = np.hypot(rows + r0 - row, columns + c0 - column)
        if not len(distance) or distance.min() > SEARCH_PX:
            raise NoDepthError(
                f"depth_m: no valid depth within {SEARCH_PX} px of the contact (column {column}, row {row}); its "
                "surface may be shiny or transparent: change the light or the view"
            )
        nearest = int(distance.argmin())
        hole, row, column = float(distance[nearest]), int(rows[nearest] + r0), int(columns[nearest] + c0)
    window = np.s_[max(row - WINDOW_PX, 0) : row + WINDOW_PX + 1, max(column - WINDOW_PX, 0) : column + WINDOW_PX + 1]
    return float(np.median(depth[window][valid[window]])), hole


def snap(
    depth_m: ArrayLike,
    pixel: ArrayLike,
    mask: ArrayLike | None = None,
    radius_px: float = SNAP_PX,
    held_px: float | None = None,
) -> Array:
    """Moves a contact that fell beside a thin part onto it.

    Where a surface within ``radius_px`` stands at least ``STEP_M`` before the surface at the pixel, the middle of its
    visible pixels round the nearest of them is returned; else the pixel itself. It also stays where ``held_px`` says
    how wide the held thing is, and what is visible at the pixel is no wider than about that: it is the thin part.

    Args:
        depth_m: (H, W), 0 where unknown.
        pixel: (2,) column and row from the picture's edge.
        mask: (H, W) the object; only its pixels count.
        radius_px: how far is looked.
        held_px: opening of the hand, px at the object's distance; None where it is not known.

    Returns:
        (2,) column and row.

    Raises:
        NoDepthError: as ``depth_at``.
    """
    depth, at = np.asarray(depth_m, dtype=np.float64), np.asarray(pixel, dtype=np.float64)
    here, _ = depth_at(depth, at, mask)
    window, centres, away = around(depth, at, radius_px)
    near = depth[window]
    seen = (near >= NEAR_M) & (near <= FAR_M) & (away <= radius_px)
    if mask is not None:
        seen &= np.asarray(mask, dtype=bool)[window]
    if held_px is not None and width_px(centres, seen & (np.abs(near - here) < STEP_M)) < WIDER * held_px:
        return at
    front = seen & (near <= here - STEP_M)
    if front.sum() < LEAST_FRONT:
        return at
    # The few nearest pixels rather than the one: depth cameras have flying pixels.
    reach = float(np.sort(away[front])[LEAST_FRONT - 1])
    first = front & (away <= reach + SPOT_PX)
    depth_there = float(np.median(near[front & (away <= reach)]))
    middle: Array = centres[first & (np.abs(near - depth_there) < STEP_M)].mean(axis=0)
    return middle


def around(depth: Array, at: Array, radius_px: float) -> tuple[tuple[slice, slice], Array, Array]:
    """The square round a pixel, within the picture: where, its pixels' centres (h, w, 2) and distances (h, w)."""
    height, width = depth.shape
    r = int(np.ceil(radius_px))
    r0, c0 = max(int(at[1]) - r, 0), max(int(at[0]) - r, 0)
    window = np.s_[r0 : min(int(at[1]) + r + 1, height), c0 : min(int(at[0]) + r + 1, width)]
    rows, columns = np.indices(depth[window].shape)
    centres = np.stack([columns + c0 + 0.5, rows + r0 + 0.5], axis=-1)
    return window, centres, np.hypot(*np.moveaxis(centres - at, -1, 0))


def behind_edge(frame: Frame, pixel: ArrayLike, mask: ArrayLike, held_px: float) -> float | None:
    """Depth (m) of a held part that the camera does not see, behind the edge of what it sees at the contact.

    A hand holds what fits between its pads. Where the level surface at a contact is far wider than the hand's opening
    and ends within ``EDGE_PX`` in a step down of ``HIDES_M``, the held part is behind that edge, such as the knob of a
    drawer seen from behind its chest: somewhere between the edge and what is seen past it, so halfway (our choice).

    Args:
        frame: depth, K and where the camera is.
        pixel: (2,) contact, column and row from the picture's edge.
        mask: (H, W) the object.
        held_px: opening of the hand, px at the object's distance.

    Returns:
        Depth along the optical axis; None where what is seen may be what is held.

    Raises:
        NoDepthError: as ``depth_at``.
    """
    depth, at = np.asarray(frame.depth_m, dtype=np.float64), np.asarray(pixel, dtype=np.float64)
    here, _ = depth_at(depth, at, mask)
    reach = 2.0 * WIDER * max(held_px, EDGE_PX)  # a part as wide as that fits into the window and shows its width
    window, centres, away = around(depth, at, reach)
    near = depth[window]
    valid = (near >= NEAR_M) & (near <= FAR_M)
    turn = frame.T_base_cam[2, :3] @ np.linalg.inv(frame.K)
    over_m = near * (centres @ turn[:2] + turn[2])  # the camera's own height left out
    level = over_m - here * (at @ turn[:2] + turn[2])
    surface = valid & np.asarray(mask, dtype=bool)[window] & (away <= reach) & (np.abs(level) < LEVEL_M)
    if width_px(centres, surface) < WIDER * held_px:
        return None
    past = valid & (near >= here + HIDES_M) & (away <= EDGE_PX)
    if past.sum() < LEAST_FRONT:
        return None
    first = float(np.sort(away[past])[LEAST_FRONT - 1])
    return 0.5 * (here + float(np.median(near[past & (away <= first + SPOT_PX)])))


def width_px(centres: Array, chosen: NDArray[np.bool_]) -> float:
    """The narrower width of a set of pixels, by its second moments; infinite where there are none."""
    points = centres[chosen]
    if len(points) < LEAST_FRONT:
        return float("inf")
    spread = np.cov(points.T) + np.eye(2) / 12.0
    return float(np.sqrt(12.0 * max(float(np.linalg.eigvalsh(spread)[0]), 0.0)))


def lift(frame: Frame, pixel: ArrayLike, mask: ArrayLike | None = None, held_px: float | None = None) -> Lifted:
    """A pixel (column, row) of a frame -> the point it shows, in the robot base frame.

    The ray goes through the contact itself, also where its depth comes from the nearest pixel that has one. With a mask
    and ``held_px``, the opening of the hand in px, a part that is hidden there is lifted to where ``behind_edge`` says.

    Raises:
        NoDepthError: if there is no depth near the contact; see ``depth_at``.
    """
    at = np.asarray(pixel, dtype=np.float64)
    z, hole = depth_at(frame.depth_m, at, mask)
    if mask is not None and held_px is not None:
        hidden = behind_edge(frame, at, mask, held_px)
        z = z if hidden is None else hidden
    point_cam = z * np.linalg.solve(frame.K, np.array([at[0], at[1], 1.0]))
    point = frame.T_base_cam[:3, :3] @ point_cam + frame.T_base_cam[:3, 3]
    return Lifted(point, at, z, hole)


def project(points_base_m: ArrayLike, K: ArrayLike, T_base_cam: ArrayLike) -> Array:
    """Points (..., 3) in the base frame -> (..., 2) column and row from the picture's edge; NaN behind the camera."""
    T, K = np.asarray(T_base_cam, dtype=np.float64), np.asarray(K, dtype=np.float64)
    camera = (np.asarray(points_base_m, dtype=np.float64) - T[:3, 3]) @ T[:3, :3]
    depth = np.where(camera[..., 2:] > 1e-6, camera[..., 2:], np.nan)
    pixels: Array = (camera / depth) @ K.T
    return pixels[..., :2]
