"""From a 640 x 480 RGBD frame to the observation's 224 x 224 image: one documented crop and resize, with its own K.

The central 480 x 480 square is cut out (80 columns on each side go) and reduced by 15/7. Colour is averaged over the
area that each pixel covers; depth is sampled at the nearest pixel, so that holes (0) and edges are never mixed.
Pixel coordinates of K count from the picture's edge: pixel i covers [i, i + 1), its centre is i + 0.5.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import FRAME_SHAPE, Frame

SIZE: Final = 224
MAX_DEPTH_M: Final = 10.0
"""Depth beyond this is shown as this: the observation space is bounded."""
_SQUARE: Final = min(FRAME_SHAPE)
_LEFT: Final = (FRAME_SHAPE[1] - _SQUARE) // 2
_TOP: Final = (FRAME_SHAPE[0] - _SQUARE) // 2
_SCALE: Final = SIZE / _SQUARE
_NEAREST: Final = np.floor((np.arange(SIZE) + 0.5) / _SCALE).astype(np.intp)


def image(frame: Frame) -> NDArray[np.uint8]:
    """Colour of the observation, (224, 224, 3) uint8, a fresh array."""
    from PIL import Image  # here: priors and encoders import this module, and most runs look at no picture

    square = np.ascontiguousarray(frame.rgb[_TOP : _TOP + _SQUARE, _LEFT : _LEFT + _SQUARE])
    small = Image.fromarray(square).resize((SIZE, SIZE), Image.Resampling.BOX)
    return np.array(small, dtype=np.uint8)


def depth(frame: Frame) -> NDArray[np.float32]:
    """Depth of the observation, (224, 224, 1) float32, m, 0 = hole, at most ``MAX_DEPTH_M``; a fresh array."""
    picked = frame.depth_m[np.ix_(_TOP + _NEAREST, _LEFT + _NEAREST)]
    return np.clip(picked, 0.0, MAX_DEPTH_M)[..., None]


def intrinsics(frame: Frame) -> NDArray[np.float64]:
    """K (3, 3) of the observation: the frame's (u, v) is seen at ((u - left) s, (v - top) s), s = 224 / 480."""
    to_small = np.array([[_SCALE, 0.0, -_LEFT * _SCALE], [0.0, _SCALE, -_TOP * _SCALE], [0.0, 0.0, 1.0]])
    return to_small @ frame.K
