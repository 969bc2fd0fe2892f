"""Pictures to check by eye: contact points, heatmaps and labels drawn over crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

TILE_PX = 224
_TRUTH, _PREDICTED = (40, 220, 90), (250, 60, 60)


def draw_points(image: NDArray[np.uint8], points: ArrayLike, colour: tuple[int, int, int], radius: int = 4) -> None:
    """Draws discs at points (k, 2) in [0, 1] into a picture (S, S, 3), in place."""
    side = image.shape[0]
    rows, columns = np.mgrid[:side, :side]
    for x, y in np.asarray(points, dtype=np.float64):
        distance = np.hypot(columns + 0.5 - x * side, rows + 0.5 - y * side)
        image[distance <= radius + 1.5] = 0
        image[distance <= radius] = colour


def sheet(
    images: NDArray[np.uint8],
    truth: ArrayLike | None = None,
    predicted: ArrayLike | None = None,
    heatmaps: NDArray[np.float32] | None = None,
    captions: tuple[str, ...] = (),
    columns: int = 8,
) -> NDArray[np.uint8]:
    """Crops (N, S, S, 3) in a grid; truth green, prediction red, the summed heatmap as a veil, captions below.

    Raises:
        ValueError: if there are no crops.
    """
    from PIL import Image, ImageDraw

    if not len(images):
        raise ValueError("images: expected at least one crop")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    caption_px = 14 if captions else 0
    page = Image.new("RGB", (columns * TILE_PX, rows * (TILE_PX + caption_px)), (20, 20, 24))
    pen = ImageDraw.Draw(page)
    for i, image in enumerate(images):
        tile = np.array(Image.fromarray(image).resize((TILE_PX, TILE_PX), Image.Resampling.BILINEAR))
        if heatmaps is not None:
            heat = heatmaps[i].sum(0)
            veil = np.asarray(Image.fromarray((255 * heat / heat.max()).astype(np.uint8)).resize((TILE_PX, TILE_PX)))
            weight = 0.6 * veil[..., None] / 255.0
            tile = (tile * (1 - weight) + np.array([255, 190, 0]) * weight).astype(np.uint8)
        if truth is not None:
            draw_points(tile, np.asarray(truth)[i], _TRUTH)
        if predicted is not None:
            draw_points(tile, np.asarray(predicted)[i], _PREDICTED, 3)
        x, y = (i % columns) * TILE_PX, (i // columns) * (TILE_PX + caption_px)
        page.paste(Image.fromarray(tile), (x, y))
        if captions:
            pen.text((x + 3, y + TILE_PX + 1), captions[i][:36], fill=(220, 220, 220))
    return np.array(page, dtype=np.uint8)


def save_picture(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Writes a PNG, atomically."""
    import io

    from PIL import Image

    from deft_env.files import write_atomically

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    write_atomically(Path(path), buffer.getvalue())
