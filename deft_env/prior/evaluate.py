"""Errors of trained weights on label shards, and pictures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deft_env.encoders.checkpoints import Weights
from deft_env.prior import loss, overlay
from deft_env.prior.affordance import AffordancePrior
from deft_env.video import shards


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Errors of N labels by name (see ``loss.errors``), each (N,), and their clips."""

    errors: Mapping[str, NDArray[np.float64]]
    clips: tuple[str, ...]

    def means(self) -> dict[str, float]:
        """Mean of each error."""
        return {name: float(values.mean()) for name, values in self.errors.items()}


def evaluate(weights: Weights | None, folders: Sequence[str | Path], picture: str | Path | None = None) -> Evaluation:
    """Runs weights (the shipped ones where None) on labels, one at a time as a rig would.

    Args:
        weights: as ``AffordancePrior`` takes them.
        folders: label shards.
        picture: where to draw the first 32 crops with labels, predictions and heatmaps.

    Raises:
        ValueError: if there are no labels.
    """
    prior, labels = AffordancePrior(weights), shards.read_folders(folders)
    if not len(labels):
        raise ValueError(f"folders: no labels in {[str(f) for f in folders]}")
    rows = [prior.predict_crop(image, text) for image, text in zip(labels.images, labels.instructions, strict=True)]
    contacts, wrist, pose, heat = (np.stack([r[i] for r in rows]) for i in range(4))
    found = loss.errors(contacts, wrist, pose, labels.contacts, labels.wrist, labels.pose)
    if picture is not None:
        page = overlay.sheet(
            labels.images[:32],
            labels.contacts[:32],
            contacts[:32],
            heat[:32].astype(np.float32),
            labels.instructions[:32],
        )
        overlay.save_picture(picture, page)
    return Evaluation(found, labels.clips)
