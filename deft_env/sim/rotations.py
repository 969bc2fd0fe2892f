"""Small rotation algebra whose bits do not depend on how many rows are computed at once: elementwise, no BLAS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def wrap(angle_rad: Array) -> Array:
    """Angle in [-pi, pi]."""
    return angle_rad - 2.0 * np.pi * np.round(angle_rad / (2.0 * np.pi))


def matmul(a: Array, b: Array) -> Array:
    """Product of 3 x 3 matrices (..., 3, 3), leading axes broadcast."""
    return a[..., :, 0:1] * b[..., 0:1, :] + a[..., :, 1:2] * b[..., 1:2, :] + a[..., :, 2:3] * b[..., 2:3, :]


def rotate(a: Array, v: Array) -> Array:
    """Matrices (..., 3, 3) times vectors (..., 3)."""
    return a[..., :, 0] * v[..., 0:1] + a[..., :, 1] * v[..., 1:2] + a[..., :, 2] * v[..., 2:3]


def about_z(angle_rad: Array) -> Array:
    """Rotation about z (..., 3, 3)."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    out = np.zeros((*np.shape(angle_rad), 3, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 1, 0], out[..., 1, 1], out[..., 2, 2] = c, -s, s, c, 1.0
    return out


def from_vector(rotvec_rad: Array) -> Array:
    """Rotation vectors (..., 3) -> matrices (..., 3, 3), by Rodrigues' formula."""
    x, y, z = rotvec_rad[..., 0], rotvec_rad[..., 1], rotvec_rad[..., 2]
    angle2 = x * x + y * y + z * z
    angle = np.sqrt(angle2)
    small = angle < 1e-6
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1.0 - angle2 / 6.0, np.sin(safe) / safe)
    b = np.where(small, 0.5 - angle2 / 24.0, (1.0 - np.cos(safe)) / (safe * safe))
    out = np.empty((*angle.shape, 3, 3))
    out[..., 0, 0], out[..., 1, 1], out[..., 2, 2] = (
        1 - b * (y * y + z * z),
        1 - b * (x * x + z * z),
        1 - b * (x * x + y * y),
    )
    out[..., 0, 1], out[..., 1, 0] = b * x * y - a * z, b * x * y + a * z
    out[..., 0, 2], out[..., 2, 0] = b * x * z + a * y, b * x * z - a * y
    out[..., 1, 2], out[..., 2, 1] = b * y * z - a * x, b * y * z + a * x
    return out
