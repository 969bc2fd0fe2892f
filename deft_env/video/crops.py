"""The object's crop: one square cut of a picture, the same for training labels and at test time."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

MARGIN: Final = 1.3
"""Side of the crop over the longer side of the object's box (our choice): the object with a rim of its surroundings."""
SMALLEST_PX: Final = 8.0
_PAD: Final = 124
"""Grey of what lies outside the picture."""


class EmptyCropError(ValueError):
    """There is nothing to crop: the box is empty, tiny or outside the picture."""


def square_box(box: ArrayLike, shape: tuple[int, ...], margin: float = MARGIN) -> NDArray[np.float64]:
    """A box (x0, y0, x1, y1), px, -> the square around its centre, ``margin`` times its longer side.

    Args:
        box: in a picture of ``shape``, measured from the picture's edge.
        shape: (H, W, …).
        margin: see ``MARGIN``.

    Raises:
        EmptyCropError: if the box, cut to the picture, is shorter than 8 px on its longer side, or not finite.
    """
    b = np.asarray(box, dtype=np.float64)
    if b.shape != (4,) or not np.isfinite(b).all():
        raise EmptyCropError(f"box: expected four finite numbers x0, y0, x1, y1, got {b.tolist()}")
    cut = np.clip(b, 0, [shape[1], shape[0]] * 2)
    size = cut[2:] - cut[:2]
    if size.min() <= 0 or size.max() < SMALLEST_PX:
        raise EmptyCropError(f"box: {b.round(1).tolist()} leaves nothing to see in a {shape[1]} x {shape[0]} picture")
    centre, half = 0.5 * (cut[:2] + cut[2:]), 0.5 * margin * size.max()
    return np.concatenate([centre - half, centre + half])


def cut(image: NDArray[np.uint8], square: ArrayLike, side_px: int) -> NDArray[np.uint8]:
    """Cuts a square box out of a picture (H, W, 3) and resizes it to (side_px, side_px, 3); grey outside."""
    from PIL import Image

    x0, y0, x1, y1 = np.asarray(square, dtype=np.float64)
    left, top = int(np.floor(min(x0, 0))), int(np.floor(min(y0, 0)))
    right = int(np.ceil(max(x1, image.shape[1])))
    bottom = int(np.ceil(max(y1, image.shape[0])))
    if left or top or right > image.shape[1] or bottom > image.shape[0]:
        padded = np.full((bottom - top, right - left, 3), _PAD, np.uint8)
        padded[-top : image.shape[0] - top, -left : image.shape[1] - left] = image
        image = padded
    region = (x0 - left, y0 - top, x1 - left, y1 - top)
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.array(picture.resize((side_px, side_px), Image.Resampling.BILINEAR, box=region), dtype=np.uint8)


def shrink(images: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Square pictures (N, S, S, 3) -> (N, side_px, side_px, 3), one by one, so that row i depends on picture i
    alone.
    """
    if images.shape[1:3] == (side_px, side_px):
        return images
    from PIL import Image

    size = (side_px, side_px)
    out = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in images]
    return np.array(out, dtype=np.uint8).reshape(len(images), side_px, side_px, 3)
