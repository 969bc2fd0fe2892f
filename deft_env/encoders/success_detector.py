"""Was the instruction done? A small network that compares the pictures before and after, trained on synthetic attempts.

    python -m deft_env.encoders.success_detector OUT        # draws the attempts (``attempts``), trains, halves

The question is that of R3M's language term and of LOReL (Nair et al. 2021): G(before, after, words). Both pictures go
in together, since the camera stands still and what counts is what moved; pooled features of each, as
``time_contrastive`` has, no longer know what was where. Sizes, draws and augmentation are our choice.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deft_env.encoders import checkpoints
from deft_env.encoders.attempts import DONE, IMAGE_PX, KINDS, Attempts, Pictures
from deft_env.encoders.inference import single_thread, to_input
from deft_env.episode import generator
from deft_env.video.crops import shrink

FORMAT: Final = "deft-success-detector-1"
NAME: Final = "success-detector"
SHIPPED: Final = "success-detector-synthetic.safetensors"
"""Weights trained on synthetic attempts, in half precision; their card lies beside them."""
OTHER_WORDS: Final = 0.12
"""Share of training pairs that get the words of a scene with another thing: not done."""
TURNED_ROUND: Final = 0.04
"""Share with before and after exchanged: not done."""
STEPS: Final = 6000
"""Of training (our choice)."""
Progress = Callable[[Mapping[str, Any]], None]


def shipped() -> Path:
    """The file of the weights that come with the package."""
    return Path(str(resources.files("deft_env.encoders") / SHIPPED))


class Detector(nn.Module):
    """Convolutions over both pictures and their difference, modulated by the words (FiLM), then mean and maximum."""

    def __init__(self, width: int = 16, text_dim: int = 512) -> None:
        """Random weights; ``width`` channels in the first stage."""
        super().__init__()
        w = width

        def stage(channels_in: int, channels: int, size: int = 3, stride: int = 1) -> nn.Sequential:
            convolution = nn.Conv2d(channels_in, channels, size, stride, size // 2, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())

        self.stem = nn.Sequential(
            stage(9, w, 5, 2),
            stage(w, 2 * w, 3, 2),
            stage(2 * w, 2 * w),
            stage(2 * w, 4 * w, 3, 2),
            stage(4 * w, 4 * w),
        )
        self.words = nn.Linear(text_dim, 8 * w)
        self.head = nn.Sequential(stage(4 * w, 4 * w), stage(4 * w, 6 * w, 3, 2), stage(6 * w, 6 * w))
        self.out = nn.Sequential(nn.Linear(12 * w, 4 * w), nn.ReLU(), nn.Linear(4 * w, 1))
        nn.init.normal_(self.words.weight, 0.0, 0.02)  # words matter little at first

    def forward(self, before: Tensor, after: Tensor, text: Tensor) -> Tensor:
        """(B, 3, S, S) and (B, 3, S, S) in about [-1, 1], (B, t) -> logits (B,)."""
        x = self.stem(torch.cat([before, after, after - before], dim=1))
        gain, offset = self.words(text)[:, :, None, None].chunk(2, dim=1)
        x = self.head(x * (1.0 + gain) + offset)
        out: Tensor = self.out(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))[:, 0]
        return out


def _scaled(pictures: Pictures) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


class SuccessDetector:
    """The trained network, one pair of pictures at a time on one thread: row i depends on pair i alone, to the bit."""

    def __init__(self, weights: checkpoints.Weights | None = None) -> None:
        """Reads ``weights["success-detector"]``, which ``train`` wrote, or the shipped file.

        Raises:
            ValueError: if the file is not one of these.
            FileNotFoundError: if there is no such file.
        """
        from deft_env.prior.checkpoint import load_tensors
        from deft_env.prior.text import StandInText

        path = checkpoints.weights_path(weights if weights and NAME in weights else {NAME: shipped()}, NAME)
        tensors, metadata = load_tensors(path)
        width = metadata.get("width")
        if metadata.get("format") != FORMAT or not isinstance(width, int) or not 1 <= width <= 64:
            raise ValueError(f"{path}: expected a {FORMAT} file, got {metadata.get('format')!r}")
        self._text, self._network = StandInText(), Detector(width).eval()
        tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        checkpoints.fit(self._network, tensors, path, "the success detector")

    def __call__(self, before: Pictures, after: Pictures, words: str) -> NDArray[np.float64]:
        """Probabilities (N,) that ``words`` were done between the pictures (N, H, W, 3) before and after."""
        text = torch.from_numpy(self._text([words]))
        out = np.empty(len(before))
        with single_thread():
            for i, pair in enumerate(zip(before, after, strict=True)):
                small = [_scaled(shrink(to_input(picture)[None], IMAGE_PX)) for picture in pair]
                out[i] = float(self._network(*small, text)[0].double().sigmoid())
        return out


@dataclass(frozen=True, slots=True)
class DetectorTrainConfig:
    """One training.

    Attributes:
        attempts: folder of ``make_attempts``.
        out: file of the weights.
        width: channels of the first stage.
        steps, batch, lr: AdamW, one cycle; pairs a step.
        seed: of first weights and draws.
    """

    attempts: str
    out: str
    width: int = 16
    steps: int = STEPS
    batch: int = 32
    lr: float = 2e-3
    seed: int = 0


def _covered(pictures: Sequence[Pictures], most_px: int, rng: np.random.Generator) -> None:
    """Paints one rectangle of one colour over the same place of all ``pictures``."""
    high, wide = rng.integers(6, most_px, 2)
    top, left = rng.integers(0, IMAGE_PX - high), rng.integers(0, IMAGE_PX - wide)
    colour = rng.integers(0, 255, 3)
    for picture in pictures:
        picture[top : top + high, left : left + wide] = colour


def draw(attempts: Attempts, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, list[int], Tensor]:
    """A batch: pictures before and after (B, 3, px, px), whose scene's words it gets, and whether they are done (B,).

    Half of the pairs are drawn from what was done. Pictures are mirrored, covered in places (the one after more, since
    a robot's arm hides more than a person's) and recoloured, a pair alike.
    """
    done = np.array([kind == DONE for kind in KINDS])
    things = [words.split()[-1] for words in attempts.words]
    rows = rng.integers(len(things), size=count)
    wanted = rng.random(count) < 0.5
    before, after = np.empty((2, count, IMAGE_PX, IMAGE_PX, 3), np.uint8)
    words = rows.tolist()
    for i, row in enumerate(rows):
        first, then = attempts.before[row], attempts.after[row, rng.choice(np.flatnonzero(done == wanted[i]))]
        kind, other = rng.random(), int(rng.integers(len(things)))
        if kind < OTHER_WORDS and things[other] != things[row]:
            words[i], wanted[i] = other, False
        elif OTHER_WORDS <= kind < OTHER_WORDS + TURNED_ROUND:
            first, then, wanted[i] = then, first, False
        mirror = slice(None, None, -1 if rng.random() < 0.5 else 1)
        before[i], after[i] = first[:, mirror], then[:, mirror]
        if rng.random() < 0.5:
            _covered([after[i]], 28, rng)
        if rng.random() < 0.3:
            _covered([before[i], after[i]], 40, rng)

    def uniform(low: float, high: float, channels: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (count, channels, 1, 1)).astype(np.float32))

    gain, own, shift = uniform(0.75, 1.25, 3), uniform(0.97, 1.03, 1), uniform(-0.15, 0.15, 3)
    labels = torch.from_numpy(wanted.astype(np.float32))
    return _scaled(before) * gain + shift, _scaled(after) * gain * own + shift, words, labels


def _fit(config: DetectorTrainConfig, attempts: Attempts, progress: Progress) -> tuple[Detector, float]:
    """The trained network and its loss, a mean that decays over 100 steps."""
    from deft_env.prior.text import StandInText

    vectors = torch.from_numpy(StandInText()(attempts.words))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Detector(config.width, vectors.shape[1]).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=config.steps)
    rng = generator("train-success-detector", config.seed)
    recent = 0.0
    for step in range(config.steps):
        before, after, words, labels = draw(attempts, config.batch, rng)
        loss = nn.functional.binary_cross_entropy_with_logits(network(before, after, vectors[words]), labels)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise ValueError(f"lr: the loss became {value} in step {step + 1}; lower the learning rate")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        recent = value if step == 0 else 0.99 * recent + 0.01 * value
        if (step + 1) % 200 == 0 or step + 1 == config.steps:
            progress({"step": step + 1, "of": config.steps, "loss": round(recent, 4)})
    return network, round(recent, 4)


def train(config: DetectorTrainConfig, progress: Progress = lambda row: None) -> Path:
    """Trains on one thread, so that the bits do not depend on their number, and writes the network; returns its file.

    Raises:
        ValueError: if there are too few attempts, or the loss is not finite.
    """
    from deft_env.encoders.attempts import read_attempts
    from deft_env.prior.checkpoint import save_tensors

    attempts = read_attempts(config.attempts)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network, loss = _fit(config, attempts, progress)
    finally:
        torch.set_num_threads(threads)
    note = {**asdict(config), "attempts": Path(config.attempts).name, "out": Path(config.out).name}
    training = {**note, "scenes": len(attempts.words), "loss": loss}
    Path(config.out).parent.mkdir(parents=True, exist_ok=True)
    save_tensors(config.out, network.state_dict(), {"format": FORMAT, "width": config.width, "training": training})
    return Path(config.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Attempts, training, half precision, in one folder; resumable between the parts."""
    from deft_env.encoders.attempts import AttemptsConfig, make_attempts
    from deft_env.prior.checkpoint import halve

    parser = argparse.ArgumentParser(description="Trains the small success detector on synthetic attempts.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--scenes-seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args(arguments)
    folder = str(args.out / "attempts")
    make_attempts(AttemptsConfig(folder, args.scenes, args.scenes_seed, args.workers), print)
    trained = train(
        DetectorTrainConfig(folder, str(args.out / "full.safetensors"), steps=args.steps, seed=args.seed), print
    )
    made = args.out / f"{NAME}.safetensors"
    halve(trained, made)
    print(f"{made}; use it with: --reward {NAME} --weights {NAME}={made}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
