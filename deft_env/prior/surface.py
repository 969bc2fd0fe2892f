"""The part of an object that is visible round a contact: how wide it is, and how far from end-on it is seen.

What a hand holds is between its pads. Depth shows the surface of that part, and so its width and where its axis runs;
a network that guesses a hand's opening from a small crop knows less of both.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.prior.lifting import FAR_M, LEAST_FRONT, NEAR_M, STEP_M, around, depth_at, width_px

Array = NDArray[np.float64]

SLENDER: Final = 2.0
"""A part has an axis if its visible surface is so many times as long as wide (our choice)."""


def seen_width_m(depth_m: ArrayLike, pixel: ArrayLike, mask: ArrayLike, focal_px: float, reach_m: float) -> float:
    """Narrower width (m) of the visible surface at a contact: what a hand that takes it there has between its pads.

    The surface is what hangs together with the contact by steps of depth below ``lifting.STEP_M`` from pixel to pixel,
    within ``reach_m`` of it. A long part shows its thickness, a round one some 0.87 of it (second moments), and one
    wider than twice the reach shows 1.7 times the reach.

    Args:
        depth_m: (H, W), 0 where unknown.
        pixel: (2,) contact, column and row from the picture's edge.
        mask: (H, W) the object; only its pixels count.
        focal_px: focal length of the camera, px.
        reach_m: how far from the contact is looked, at the contact's distance.

    Returns:
        Infinity where fewer than ``lifting.LEAST_FRONT`` pixels hang together.

    Raises:
        NoDepthError: as ``lifting.depth_at``.
    """
    at = np.asarray(pixel, dtype=np.float64)
    centres, _, own, here = _surface(np.asarray(depth_m, dtype=np.float64), at, mask, focal_px, reach_m)
    return width_px(centres, own) * here / focal_px


def slant(depth_m: ArrayLike, pixel: ArrayLike, mask: ArrayLike, K: ArrayLike, reach_m: float) -> float:
    """Sine of the angle between the view through a contact and the axis of the part there; 1 for one without an axis.

    The axis is the longest of the second moments, in space, of the surface round the contact (see ``seen_width_m``); a
    part has one where it is ``SLENDER`` times as long as the next. A part that is seen nearly end-on hides its own
    middle: from its surface to its axis it is half its width over this sine along the view.

    Args:
        depth_m: (H, W), 0 where unknown.
        pixel: (2,) contact, column and row from the picture's edge.
        mask: (H, W) the object; only its pixels count.
        K: (3, 3) camera matrix.
        reach_m: how far from the contact is looked, at the contact's distance: about the part's width.

    Raises:
        NoDepthError: as ``lifting.depth_at``.
    """
    at, matrix = np.asarray(pixel, dtype=np.float64), np.asarray(K, dtype=np.float64)
    depth = np.asarray(depth_m, dtype=np.float64)
    centres, near, own, _ = _surface(depth, at, mask, float(matrix[0, 0]), reach_m)
    if own.sum() < LEAST_FRONT:
        return 1.0
    pixels = np.concatenate([centres[own], np.ones((int(own.sum()), 1))], axis=1)
    spread, axes = np.linalg.eigh(np.cov(np.linalg.solve(matrix, pixels.T) * near[own]))
    if spread[2] < SLENDER**2 * spread[1]:
        return 1.0
    view = np.linalg.solve(matrix, np.array([at[0], at[1], 1.0]))
    return float(np.linalg.norm(np.cross(axes[:, 2], view / np.linalg.norm(view))))


def _surface(
    depth: Array, at: Array, mask: ArrayLike, focal_px: float, reach_m: float
) -> tuple[Array, Array, NDArray[np.bool_], float]:
    """Pixels' centres (h, w, 2) and depths (h, w) round a contact, which of them hang together with it, its depth."""
    from scipy import sparse  # here: most runs lift nothing
    from scipy.sparse import csgraph

    here, _ = depth_at(depth, at, mask)
    reach_px = reach_m * focal_px / here
    window, centres, away = around(depth, at, reach_px)
    near = depth[window]
    on = np.asarray(mask, dtype=bool)[window] & (near >= NEAR_M) & (near <= FAR_M) & (away <= reach_px)
    number = np.arange(near.size).reshape(near.shape)
    pairs = []
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        joined = on[one] & on[other] & (np.abs(near[one] - near[other]) < STEP_M)
        pairs.append((number[one][joined], number[other][joined]))
    rows, columns = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    graph = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(near.size, near.size))
    surface = csgraph.connected_components(graph, directed=False)[1].reshape(near.shape)
    nearest = np.where(on & (np.abs(near - here) < STEP_M), away, np.inf)
    if not np.isfinite(nearest).any():
        return centres, near, np.zeros_like(on), here
    return centres, near, on & (surface == surface[np.unravel_index(int(nearest.argmin()), near.shape)]), here
