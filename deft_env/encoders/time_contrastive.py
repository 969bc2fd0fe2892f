"""R3M's objective on clips of a hand: time-contrastive, aligned with language, sparse (Nair et al. 2022, section 3.2).

With frames 0 < i < j < k of a clip, z = e(frame) and the similarity S(a, b) = -|a - b|:

* time: S(z_i, z_j) above S(z_i, z_k) and above S(z_i, z of another clip), as InfoNCE;
* language: a score G(z_0, z_t, words) of how far the clip's words are done, for a later frame above that of an earlier
  one, and above that of another clip's frames, as InfoNCE;
* sparsity: L1 and L2 of z.

The network here is a narrow ResNet18 trained from random weights on this project's synthetic videos: not R3M.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deft_env.encoders.inference import normalise
from deft_env.encoders.resnet import ResNet18
from deft_env.episode import generator
from deft_env.video.crops import shrink

FORMAT: Final = "deft-time-contrastive-1"
SHIPPED: Final = "time-contrastive-synthetic.safetensors"
"""Weights trained on synthetic videos, in half precision; their card lies beside them."""
IMAGE_PX: Final = 96
"""Side of the pictures that the network sees (our choice, for CPUs)."""
LEARNING_RATE: Final = 1e-3
"""Of Adam (our choice for the small network)."""
Progress = Callable[[Mapping[str, Any]], None]


def shipped() -> Path:
    """The file of the weights that come with the package."""
    return Path(str(resources.files("deft_env.encoders") / SHIPPED))


@dataclass(frozen=True, slots=True)
class EncoderTrainConfig:
    """One training.

    Attributes:
        videos: folder of synthetic videos with every picture (``SyntheticConfig(pictures="all")``).
        out: file of the weights.
        width: channels of the first stage; 16 gives 128 features and 2.8 MB.
        steps, batch, lr: Adam with a cosine; clips a step (our choice for the small network).
        time, language, l1, l2: weights of the terms (Nair et al. 2022: 1, 1, 1e-5, 1e-5).
        seed: of first weights and draws.
    """

    videos: str
    out: str
    width: int = 16
    steps: int = 600
    batch: int = 16
    lr: float = LEARNING_RATE
    time: float = 1.0
    language: float = 1.0
    l1: float = 1e-5
    l2: float = 1e-5
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Pictures (N, T, px, px, 3) uint8 of N clips, and their words."""

    images: NDArray[np.uint8]
    words: tuple[str, ...]


def read_clips(folder: str | Path) -> Clips:
    """The clips of a folder of synthetic videos that have words and every picture.

    Raises:
        ValueError: if there are fewer than four.
    """
    from PIL import Image

    from deft_env import observation

    root, images, words = Path(folder), [], []
    with (root / "EPIC_100_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        names = sorted((root / "frames" / row["video_id"]).glob("frame_*.jpg"))
        if not row["narration"] or len(names) < int(row["stop_frame"]):
            continue
        frames = []
        for name in names:
            with Image.open(name) as picture:
                side = min(picture.size)
                left, top = (picture.width - side) // 2, (picture.height - side) // 2
                square = picture.convert("RGB").crop((left, top, left + side, top + side))
            frames.append(np.asarray(square.resize((observation.SIZE,) * 2, Image.Resampling.BOX)))
        images.append(shrink(np.stack(frames), IMAGE_PX))
        words.append(row["narration"])
    if len(images) < 4:
        raise ValueError(f"videos: {root} holds {len(images)} clips with words and all pictures; make them with "
                         "pictures='all'")  # fmt: skip
    return Clips(np.stack(images), tuple(words))


class Score(nn.Module):
    """G(z_0, z_t, words): an MLP, used in training alone."""

    def __init__(self, dim: int, text_dim: int) -> None:
        """Random weights."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * dim + text_dim, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, first: Tensor, now: Tensor, text: Tensor) -> Tensor:
        """(B, d), (B, d), (B, t) -> (B,)."""
        out: Tensor = self.layers(torch.cat([first, now, text], dim=-1))[..., 0]
        return out


def _above(good: Tensor, *bad: Tensor) -> Tensor:
    """InfoNCE: the first of the logits (B,) against all others."""
    logits = torch.stack([good, *bad], dim=1)
    return nn.functional.cross_entropy(logits, torch.zeros(len(good), dtype=torch.long))


def terms(z: Tensor, text: Tensor, score: Callable[[Tensor, Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """The four terms for features (B, 4, d) of frames 0, i < j < k of B clips and text vectors (B, t).

    The clip before in the batch is the other clip.
    """
    z0, zi, zj, zk = z.unbind(1)
    other = z.roll(1, 0)

    def near(a: Tensor, b: Tensor) -> Tensor:
        return -(a - b).square().sum(-1).add(1e-8).sqrt()

    time = 0.5 * (_above(near(zi, zj), near(zi, zk), near(zi, other[:, 1]))
                  + _above(near(zk, zj), near(zk, zi), near(zk, other[:, 3])))  # fmt: skip
    stranger = score(other[:, 0], other[:, 3], text)
    language = 0.5 * (_above(score(z0, zj, text), score(z0, zi, text), stranger)
                      + _above(score(z0, zk, text), score(z0, zj, text), stranger))  # fmt: skip
    return {"time": time, "language": language, "l1": z.abs().sum(-1).mean(), "l2": z.square().sum(-1).sqrt().mean()}


def train_encoder(config: EncoderTrainConfig, progress: Progress = lambda row: None) -> Path:
    """Trains and writes the trunk alone; returns its file.

    Raises:
        ValueError: if there are too few clips, or the loss is not finite.
    """
    from deft_env.prior.checkpoint import save_tensors
    from deft_env.prior.text import StandInText

    clips, text = read_clips(config.videos), StandInText()
    vectors = torch.from_numpy(text(clips.words))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trunk = ResNet18(width=config.width).train()
        score = Score(trunk.dim, vectors.shape[1])
    optimiser = torch.optim.Adam([*trunk.parameters(), *score.parameters()], lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    rng = generator("train-encoder", config.seed)
    count, length = clips.images.shape[:2]
    batch = min(config.batch, count)
    parts: dict[str, Tensor] = {}
    for step in range(config.steps):
        rows = rng.permutation(count)[:batch]
        later = np.sort(np.stack([rng.permutation(np.arange(1, length))[:3] for _ in rows]), axis=1)
        at = np.concatenate([np.zeros((batch, 1), dtype=np.int64), later], axis=1)
        x = normalise(torch.from_numpy(clips.images[rows[:, None], at].reshape(-1, *clips.images.shape[2:])))
        gain = torch.from_numpy(rng.uniform(0.8, 1.2, (batch, 1)).repeat(4, 1).reshape(-1, 1, 1, 1).astype(np.float32))
        z = trunk.pooled(x * gain).reshape(batch, 4, -1)
        parts = terms(z, vectors[rows], score)
        total = sum((getattr(config, name) * value for name, value in parts.items()), torch.zeros(()))
        if not bool(total.isfinite()):
            raise ValueError(f"lr: the loss became {float(total)} in step {step + 1}; lower the learning rate")
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 50 == 0 or step + 1 == config.steps:
            progress({"step": step + 1, "of": config.steps, **{n: float(v.detach()) for n, v in parts.items()}})
    training = {**asdict(config), "clips": count, "videos": Path(config.videos).name, "out": Path(config.out).name}
    Path(config.out).parent.mkdir(parents=True, exist_ok=True)
    save_tensors(config.out, trunk.state_dict(), {"format": FORMAT, "width": config.width, "training": training})
    return Path(config.out)
