"""Networks that influence an episode: one thread, one image at a time, so that the same image gives the same bits.

Batches of 1 and 64, or 1 and 2 threads, differ in the last bits of a result, which is enough to flip a chaotic grasp.
One image at a time costs little on one thread, and makes row i a function of image i alone.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
INPUT_PX: Final = 224
_RESIZE_PX: Final = 256


@contextmanager
def single_thread() -> Iterator[None]:
    """Runs torch on one thread and restores the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


def to_input(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3) as R3M and ImageNet networks want it: short side 256, central 224 x 224.

    A picture that already is 224 x 224 (the observation's) stays as it is.
    """
    height, width, _ = image.shape
    if (height, width) == (INPUT_PX, INPUT_PX):
        return image
    from PIL import Image

    scale = _RESIZE_PX / min(height, width)
    size = (max(round(width * scale), _RESIZE_PX), max(round(height * scale), _RESIZE_PX))
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    top, left = (size[1] - INPUT_PX) // 2, (size[0] - INPUT_PX) // 2
    return np.ascontiguousarray(resized[top : top + INPUT_PX, left : left + INPUT_PX])


def normalise(images: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W), ImageNet's mean and deviation taken out (R3M does the same)."""
    x = images.permute(0, 3, 1, 2).to(torch.float32) / 255.0
    mean = torch.tensor(IMAGENET_MEAN, device=x.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=x.device).view(1, 3, 1, 1)
    return (x - mean) / std


class ImageCache:
    """The newest results by content of the image; the first frame of a scene is encoded by agents and rewards alike."""

    def __init__(self, limit: int = 4096) -> None:
        """Keeps at most ``limit`` results."""
        self._limit = limit
        self._kept: OrderedDict[bytes, NDArray[np.float64]] = OrderedDict()
        self.hits = 0

    def __call__(
        self, images: NDArray[np.uint8], compute: Callable[[NDArray[np.uint8]], NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Results of images (N, H, W, 3), one by one; ``compute`` sees those that are not known."""
        rows = []
        for image in images:
            key = hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()
            if key in self._kept:
                self._kept.move_to_end(key)
                self.hits += 1
            else:
                self._kept[key] = compute(image)
                if len(self._kept) > self._limit:
                    self._kept.popitem(last=False)
            rows.append(self._kept[key])
        return np.array(rows)
