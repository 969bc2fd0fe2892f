"""The contract of an encoder, and the two that need no network."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class Encoder(ABC):
    """Maps images to features, shared by rewards, policies and the prior.

    Row i depends on image i alone, bit for bit, whatever the batch size.

    Attributes:
        name: registry name; goes into every context and store beside the features.
        dim: d, length of the features.
        stand_in: whether it stands in for a pretrained network; outputs name it as such.
    """

    name: str = ""
    dim: int = 0
    stand_in: bool = False

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Features (N, d) of images (N, H, W, 3) uint8.

        Raises:
            ValueError: for another shape or type of image, or if a subclass returned a wrong array.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images: expected uint8 of shape (N, H, W, 3), got {images.dtype} {images.shape}")
        features = np.asarray(self.encode(images), dtype=np.float64)
        if features.shape != (len(images), self.dim) or not np.isfinite(features).all():
            raise ValueError(
                f"encoder {self.name!r}: expected finite features {(len(images), self.dim)}, got {features.shape}"
            )
        return features

    @abstractmethod
    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What a subclass computes: the features (N, d)."""


class NoEncoder(Encoder):
    """No features: agents see the prior's grasp alone."""

    name = "none"
    dim = 0

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """An empty array (N, 0)."""
        return np.zeros((len(images), 0))


class ColourGrid(Encoder):
    """Mean colour in each cell of a grid, in [-1, 1]; exact integer sums, so that every machine agrees.

    A small honest encoder for tests and for policies without pretrained weights: it sees where something of which
    colour lies, and no more.
    """

    name = "colour-grid"

    def __init__(self, cells: int = 8) -> None:
        """Divides the image into ``cells`` x ``cells``.

        Raises:
            ValueError: if ``cells`` is not in 1 … 64.
        """
        if not 1 <= cells <= 64:
            raise ValueError(f"cells: expected an integer in 1 … 64, got {cells!r}")
        self.cells = cells
        self.dim = 3 * cells * cells

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Features (N, 3 cells²): row by row, cell by cell, red green blue.

        Raises:
            ValueError: for an image smaller than the grid.
        """
        n, height, width, _ = images.shape
        if min(height, width) < self.cells:
            raise ValueError(f"images: {height} x {width} pixels are too few for a grid of {self.cells}")
        rows = np.linspace(0, height, self.cells + 1).round().astype(np.intp)
        columns = np.linspace(0, width, self.cells + 1).round().astype(np.intp)
        sums = np.add.reduceat(images.astype(np.int64), rows[:-1], axis=1)
        sums = np.add.reduceat(sums, columns[:-1], axis=2)
        area = np.diff(rows)[:, None] * np.diff(columns)[None, :]
        mean = sums / area[None, :, :, None]
        return (mean / 127.5 - 1.0).reshape(n, self.dim)
