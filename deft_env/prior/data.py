"""Labels on the device: images stay there as bytes where they fit; order and augmentation follow seed, epoch and
step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deft_env.encoders.inference import normalise
from deft_env.episode import generator
from deft_env.prior.loss import mean_rotation, near_reference
from deft_env.prior.text import TextEncoder
from deft_env.video.crops import shrink
from deft_env.video.shards import Labels

RESIDENT_SHARE: Final = 0.6
"""Images stay on the device where they take at most this share of its free memory."""
SCALE: Final = 0.20
SHIFT: Final = 0.10
LIGHT: Final = 0.25
"""Augmentation (our choice): crops are scaled by up to 20 %, moved by 10 % of their side, lit by 25 % more or less."""


def in_validation(clip: str, share: float) -> bool:
    """Whether a clip belongs to the validation set: a function of its name, so that it never changes sides."""
    return int.from_bytes(hashlib.sha256(clip.encode()).digest()[:4], "little") < share * 2**32


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of B labels on the device: images normalised (B, 3, S, S); the rest as in ``video.shards``."""

    images: Tensor
    text: Tensor
    contacts: Tensor
    wrist: Tensor
    pose: Tensor


class LabelSet:
    """Labels as tensors."""

    def __init__(
        self,
        labels: Labels,
        text: TextEncoder,
        image_px: int,
        device: torch.device,
        reference: NDArray[np.float64] | None = None,
    ) -> None:
        """Moves ``labels`` to the device; wrists are written near ``reference``, by default their own mean."""
        self.labels, self.device = labels, device
        self.reference = mean_rotation(labels.wrist) if reference is None else reference
        texts = sorted(set(labels.instructions))
        row = {t: i for i, t in enumerate(texts)}
        self._texts = torch.from_numpy(text(texts)).to(device)
        self._text_row = torch.tensor([row[t] for t in labels.instructions], device=device)
        wrist = near_reference(labels.wrist, self.reference).astype(np.float32)
        self._targets = [torch.from_numpy(a).to(device) for a in (labels.contacts, wrist, labels.pose)]
        images = torch.from_numpy(np.ascontiguousarray(shrink(labels.images, image_px)))
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
            images = images.to(device) if images.numel() < RESIDENT_SHARE * free else images.pin_memory()
        self._images = images

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def resident(self) -> bool:
        """Whether the images lie on the device itself."""
        return self._images.device.type == self.device.type

    def batch(self, rows: Sequence[int] | NDArray[np.int64], jitter: np.random.Generator | None = None) -> Batch:
        """The labels ``rows``, augmented with draws of ``jitter``."""
        index = torch.as_tensor(np.asarray(rows), dtype=torch.int64)
        at = index.to(self.device)
        pictures = self._images[at if self.resident else index].to(self.device, non_blocking=True)
        images = normalise(pictures)
        contacts, wrist, pose = (t[at] for t in self._targets)
        if jitter is not None:
            images, contacts = _augment(images, contacts, jitter)
        return Batch(images, self._texts[self._text_row[at]], contacts, wrist, pose)


def _augment(images: Tensor, contacts: Tensor, jitter: np.random.Generator) -> tuple[Tensor, Tensor]:
    n = len(images)
    draws = torch.from_numpy(jitter.uniform(-1.0, 1.0, (n, 8)).astype(np.float32)).to(images.device)
    scale, shift = 1.0 + SCALE * draws[:, :1], SHIFT * draws[:, 1:3]
    # Output position u shows input position (u - 1/2) scale + 1/2 + shift.
    theta = torch.zeros(n, 2, 3, device=images.device)
    theta[:, 0, 0] = theta[:, 1, 1] = scale[:, 0]
    theta[:, :, 2] = 2.0 * shift
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    contacts = ((contacts - 0.5 - shift[:, None]) / scale[:, None] + 0.5).clamp(0.0, 1.0)
    gain = 1.0 + LIGHT * draws[:, 3, None, None, None]
    tint = LIGHT * draws[:, 4:7, None, None] + LIGHT * draws[:, 7, None, None, None]
    return images * gain + tint, contacts


def epoch_rows(count: int, batch: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The batches of an epoch, all of one size (the rest is left out), a function of seed and epoch."""
    order = generator("train-affordance", seed, "order", epoch).permutation(count)
    size = min(batch, count)
    return [order[i * size : (i + 1) * size] for i in range(count // size)]
