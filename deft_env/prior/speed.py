"""Training speed beside a plain loop, both measured in one run: images a second, data and augmentation included."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from deft_env import paper
from deft_env.prior.data import LabelSet
from deft_env.prior.text import StandInText
from deft_env.prior.train import TrainConfig, Trainer
from deft_env.video.shards import IMAGE_PX, Labels


@dataclass(frozen=True, slots=True)
class Speed:
    """Images a second of both loops, and their ratio; ``device`` in torch's words."""

    plain_images_per_s: float
    images_per_s: float
    ratio: float
    device: str


def random_labels(count: int, seed: int = 0) -> Labels:
    """Labels without meaning, for measurements."""
    rng = np.random.default_rng(seed)
    return Labels(
        rng.integers(0, 256, (count, IMAGE_PX, IMAGE_PX, 3), dtype=np.uint8),
        rng.random((count, paper.CONTACT_POINTS, 2), dtype=np.float32),
        rng.normal(0, 0.5, (count, 3)).astype(np.float32),
        rng.normal(0, 0.2, (count, paper.MANO_POSE_DIM)).astype(np.float32),
        np.tile(np.array([0, 0, IMAGE_PX, IMAGE_PX], np.float32), (count, 1)),
        tuple(f"pick up thing {i % 50}" for i in range(count)),
        tuple(f"random/{i}" for i in range(count)),
    )


def _rate(
    config: TrainConfig, labels: Labels, steps: int, warmup: int, progress: Callable[[], object]
) -> tuple[float, str]:
    trainer = Trainer(config, steps + warmup)
    data = LabelSet(labels, StandInText(), trainer.network.config.image_px, trainer.device)
    size = min(config.batch, len(data))
    gpu = trainer.device.type == "cuda"
    begun = 0.0
    for step in range(steps + warmup):
        if step == warmup:
            if gpu:
                torch.cuda.synchronize()
            begun = time.perf_counter()
        first = step * size % max(len(data) - size + 1, 1)
        trainer.step(data, np.arange(first, first + size))
        progress()
    if gpu:
        torch.cuda.synchronize()
    name = torch.cuda.get_device_name(trainer.device) if gpu else "cpu"
    return steps * size / (time.perf_counter() - begun), name


STEPS: Final = 60
"""Steps that are timed."""


def measure(
    preset: str = "paper",
    batch: int = paper.AFFORDANCE_BATCH,
    labels: int = 0,
    steps: int = STEPS,
    warmup: int = 15,
    progress: Callable[[], object] = lambda: None,
) -> Speed:
    """Trains on random labels: first a plain fp32 loop, then the loop as ``train`` would run it on this device.

    Args:
        preset: network.
        batch: labels a step.
        labels: how many there are; 0 for eighteen batches.
        steps, warmup: timed, and before that.
        progress: called after each of the 2 (steps + warmup) steps; on a GPU they may still be under way.
    """
    made = random_labels(labels or 18 * batch)
    common: dict[str, Any] = {"data": ("-",), "out": "-", "preset": preset, "batch": batch}
    plain, _ = _rate(
        TrainConfig(**common, amp=False, channels_last=False, compiled=False),
        made,
        steps,
        warmup,
        progress,
    )
    ours, device = _rate(TrainConfig(**common), made, steps, warmup, progress)
    return Speed(plain, ours, ours / plain, device)
