"""Errors of trained weights on label shards, and pictures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft_env.encoders.checkpoints import Weights
from deft_env.prior import loss, overlay
from deft_env.prior.affordance import AffordancePrior
from deft_env.prior.data import in_validation
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


def constant_errors(train: shards.Labels, held: shards.Labels, by_words: bool = False) -> dict[str, float]:
    """Mean errors on ``held`` of the mean answer of ``train``: what a network that sees nothing can reach.

    Args:
        train: labels whose mean is the answer.
        held: labels on which it is measured.
        by_words: one mean for each instruction (the mean of all where ``train`` does not have it) instead of one.
    """
    words = np.array(train.instructions)
    rows = []
    for text in held.instructions:
        mine = np.flatnonzero(words == text) if by_words else np.arange(len(train))
        mine = mine if len(mine) else np.arange(len(train))
        rows.append((train.contacts[mine].mean(0), loss.mean_rotation(train.wrist[mine]), train.pose[mine].mean(0)))
    contacts, wrist, pose = (np.stack([r[i] for r in rows]) for i in range(3))
    found = loss.errors(contacts, wrist, pose, held.contacts, held.wrist, held.pose)
    return {name: float(values.mean()) for name, values in found.items()}


def held_out(weights: Weights | None, folders: Sequence[str | Path], share: float = 0.1) -> dict[str, Any]:
    """Mean errors on the labels that a training with ``validation=share`` did not see, of weights and of constants.

    Returns:
        ``labels``: how many; ``network``, ``constant``, ``constant by words``: error by name (see ``loss.errors``).

    Raises:
        ValueError: if nothing is held out, or everything.
    """
    labels = shards.read_folders(folders)
    mask = np.array([in_validation(clip, share) for clip in labels.clips], dtype=bool)
    if mask.all() or not mask.any():
        raise ValueError(f"share: of {len(labels)} labels {int(mask.sum())} are held out; take more clips")
    train, held = (labels.take(np.flatnonzero(rows)) for rows in (~mask, mask))
    prior = AffordancePrior(weights)
    answers = [prior.predict_crop(image, text)[:3] for image, text in zip(held.images, held.instructions, strict=True)]
    contacts, wrist, pose = (np.stack([a[i] for a in answers]) for i in range(3))
    found = loss.errors(contacts, wrist, pose, held.contacts, held.wrist, held.pose)
    return {
        "labels": len(held),
        "network": {name: float(values.mean()) for name, values in found.items()},
        "constant": constant_errors(train, held),
        "constant by words": constant_errors(train, held, by_words=True),
    }
