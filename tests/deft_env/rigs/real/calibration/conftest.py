"""Pictures of flat things before a camera, drawn with OpenCV."""

from collections.abc import Callable

import numpy as np
import pytest

from deft_env.episode import Frame


def _paste(
    canvas: np.ndarray, tile: np.ndarray, size_m: tuple[float, float], T_cam: np.ndarray, K: np.ndarray
) -> np.ndarray:
    import cv2

    scale = np.diag([size_m[0] / tile.shape[1], size_m[1] / tile.shape[0], 1.0])
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    double = np.array([[2, 0, -0.5], [0, 2, -0.5], [0, 0, 1.0]])  # from the edge to OpenCV's pixel centres
    H = double @ K @ T_cam[:3, [0, 1, 3]] @ scale @ centre
    size = (canvas.shape[1], canvas.shape[0])
    return np.where(
        cv2.warpPerspective(np.ones_like(tile), H, size) > 0,
        cv2.warpPerspective(tile, H, size, flags=cv2.INTER_LINEAR),
        canvas,
    )


def _shoot(draw: Callable[[np.ndarray], np.ndarray], K: np.ndarray, T_base_cam: np.ndarray) -> Frame:
    import cv2

    canvas = draw(np.full((960, 1280), 160, np.uint8))
    grey = cv2.resize(canvas, (640, 480), interpolation=cv2.INTER_AREA)
    return Frame(np.repeat(grey[:, :, None], 3, axis=2), np.full((480, 640), 0.5, np.float32), K, T_base_cam)


@pytest.fixture(scope="session")
def paste() -> Callable[..., np.ndarray]:
    """Draws a flat picture whose upper left corner is the origin of ``T_cam``, x right, y down, on a 2x canvas."""
    return _paste


@pytest.fixture(scope="session")
def shoot() -> Callable[..., Frame]:
    """The frame of what was drawn on a 2x canvas."""
    return _shoot
