"""Pictures of the landscape rig: a camera straight above a table with one coloured blob, drawn with numpy alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from deft_env.episode import FRAME_SHAPE, Frame

CAMERA_HEIGHT_M: Final = 1.0
FOCAL_PX: Final = 600.0
K: Final = np.array([[FOCAL_PX, 0.0, 320.0], [0.0, FOCAL_PX, 240.0], [0.0, 0.0, 1.0]])
T_BASE_CAM: Final = np.array(
    [[0.0, -1.0, 0.0, 0.45], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, CAMERA_HEIGHT_M], [0.0, 0.0, 0.0, 1.0]]
)
"""Image right is base -y, image down is base -x, the optical axis points down."""
TABLE_RGB: Final = (196, 190, 182)
BLOB_RGB: Final = {
    "blob-red": (200, 40, 40),
    "blob-orange": (230, 130, 30),
    "blob-green": (60, 160, 70),
    "blob-blue": (40, 80, 200),
    "blob-yellow": (225, 205, 50),
    "blob-cyan": (50, 190, 200),
    "blob-violet": (140, 60, 180),
}


@dataclass(frozen=True, slots=True)
class Blob:
    """What lies on the table: an elliptic disc.

    Attributes:
        x_m, y_m: centre, robot base frame.
        size: in [-1, 1]; decides the half-axes and the height.
        yaw_rad: heading of the long axis from base x.
        object: name, decides the colour.
    """

    x_m: float
    y_m: float
    size: float
    yaw_rad: float
    object: str

    @property
    def axes_m(self) -> tuple[float, float]:
        """Half-axes, long and short."""
        return 0.07 + 0.02 * self.size, 0.04 + 0.01 * self.size

    @property
    def height_m(self) -> float:
        """Height of the top over the table."""
        return 0.06 + 0.02 * self.size


def picture(blob: Blob, lift_m: float) -> Frame:
    """The frame of a scene whose blob is lifted by ``lift_m``; colour, depth and camera agree with each other."""
    rows, columns = FRAME_SHAPE
    rgb = np.empty((rows, columns, 3), dtype=np.uint8)
    rgb[:] = TABLE_RGB
    depth_m = np.full((rows, columns), CAMERA_HEIGHT_M, dtype=np.float32)
    top_m = CAMERA_HEIGHT_M - blob.height_m - lift_m
    scale = FOCAL_PX / top_m
    long_px, short_px = (axis * scale for axis in blob.axes_m)
    u0, v0 = K[0, 2] - blob.y_m * scale, K[1, 2] - (blob.x_m - T_BASE_CAM[0, 3]) * scale
    left, right = max(0, math.floor(u0 - long_px)), min(columns, math.ceil(u0 + long_px) + 1)
    top, bottom = max(0, math.floor(v0 - long_px)), min(rows, math.ceil(v0 + long_px) + 1)
    v, u = np.mgrid[top:bottom, left:right] + 0.5
    x, y = (v0 - v), (u0 - u)  # base x and y, in pixels
    c, s = math.cos(blob.yaw_rad), math.sin(blob.yaw_rad)
    inside = ((c * x + s * y) / long_px) ** 2 + ((c * y - s * x) / short_px) ** 2 <= 1.0
    rgb[top:bottom, left:right][inside] = BLOB_RGB[blob.object]
    depth_m[top:bottom, left:right][inside] = top_m
    return Frame(rgb, depth_m, K, T_BASE_CAM)
