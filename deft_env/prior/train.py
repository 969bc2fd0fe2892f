"""Training of the affordance network (paper, 3.1 and appendix D): Adam 2e-4, cosine, batch 224, 70 epochs; exact
resume.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deft_env import paper
from deft_env.encoders.checkpoints import load_imagenet, load_r3m, weights_path
from deft_env.episode import generator
from deft_env.prior import checkpoint, loss, overlay
from deft_env.prior.data import LabelSet, epoch_rows, in_validation
from deft_env.prior.network import PRESETS, AffordanceNetwork
from deft_env.prior.text import StandInText, make_text_encoder
from deft_env.video import shards

Progress = Callable[[Mapping[str, Any]], None]
TRUNKS = ("random", "r3m", "resnet18")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run.

    Attributes:
        data: folders of label shards.
        out: folder of the results: ``affordance.safetensors``, ``last.safetensors`` (to go on), ``log.jsonl``,
            overlays.
        preset: ``paper`` or ``small``.
        trunk: first weights of the trunk: ``random``, ``r3m`` or ``resnet18`` (the last two need ``weights``).
        text: ``stand-in-text`` or ``clip-vit-b-32`` (needs ``weights`` "clip").
        weights: name -> path.
        start: file of a network of the same preset that the weights start from; none for random or the trunk's.
        epochs, batch, lr: paper, appendix D.
        validation: share of clips held out, by their names.
        augment: scale, shift and light of the crops (our choice).
        device: ``auto``, ``cpu`` or ``cuda``.
        amp, channels_last, compiled: bf16, memory layout and torch.compile; by default on a GPU only.
        threads: CPU threads; part of what makes a run repeatable.
    """

    data: tuple[str, ...]
    out: str
    preset: str = "paper"
    trunk: str = "random"
    text: str = StandInText.name
    weights: Mapping[str, str] = field(default_factory=dict)
    start: str = ""
    seed: int = 0
    epochs: int = paper.AFFORDANCE_EPOCHS
    batch: int = paper.AFFORDANCE_BATCH
    lr: float = paper.AFFORDANCE_LR
    validation: float = 0.1
    validate_every: int = 5
    augment: bool = True
    device: str = "auto"
    amp: bool | None = None
    channels_last: bool | None = None
    compiled: bool | None = None
    threads: int = 1
    resume: bool = True

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset: expected one of {sorted(PRESETS)}, got {self.preset!r}")
        if self.trunk not in TRUNKS:
            raise ValueError(f"trunk: expected one of {TRUNKS}, got {self.trunk!r}")
        for name in ("epochs", "batch", "threads", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.validation < 1.0:
            raise ValueError(f"validation: expected a share in [0, 1), got {self.validation}")

    @property
    def fingerprint(self) -> str:
        """What must be equal for a run to go on: everything but where it writes."""
        content = {k: v for k, v in asdict(self).items() if k not in ("out", "resume")}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training run gave: the file of weights, the last validation figures, and its speed."""

    weights: Path
    figures: Mapping[str, float]
    images_per_s: float
    resumed_at_epoch: int


class Trainer:
    """Network, optimiser and step, without any file; ``train`` is the usual way in."""

    def __init__(self, config: TrainConfig, steps: int, text_dim: int = paper.EMBEDDING_DIM) -> None:
        """Builds network and optimiser for a run of ``steps``; the global generator of torch is left as it was."""
        self.config, self.steps, self.step_count = config, steps, 0
        name = config.device if config.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.device(name)
        gpu = self.device.type == "cuda"
        self.amp = gpu if config.amp is None else config.amp
        self.layout = (
            torch.channels_last
            if (gpu if config.channels_last is None else config.channels_last)
            else torch.contiguous_format
        )
        sizes = PRESETS[config.preset]
        if text_dim != sizes.text_dim:
            raise ValueError(f"text: the encoder gives {text_dim} numbers, the preset expects {sizes.text_dim}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = AffordanceNetwork(sizes)
        if config.trunk != "random":
            load = {"r3m": load_r3m, "resnet18": load_imagenet}[config.trunk]
            self.network.load_trunk(load(weights_path(config.weights, config.trunk)))
        if config.start:
            network, card = checkpoint.load_network(config.start)
            if card.config != sizes or card.text_encoder != config.text:
                raise ValueError(
                    f"start: {config.start} is a network of other sizes or of text encoder {card.text_encoder!r}; "
                    f"expected preset {config.preset!r} with {config.text!r}"
                )
            self.network.load_state_dict(network.state_dict(), strict=True)
        self.network.to(self.device, memory_format=self.layout)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.lr, fused=gpu)
        compiled = gpu if config.compiled is None else config.compiled
        self._forward = torch.compile(self.network) if compiled else self.network

    def learning_rate(self) -> float:
        """Cosine from ``lr`` to 0 over the run."""
        return self.config.lr * 0.5 * (1.0 + math.cos(math.pi * self.step_count / self.steps))

    def step(self, data: LabelSet, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """One step of Adam on the labels ``rows``; returns the terms of the loss, on the device."""
        self.network.train()
        jitter = generator("train-affordance", self.config.seed, "augment", self.step_count)
        batch = data.batch(rows, jitter if self.config.augment else None)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            images = batch.images.contiguous(memory_format=self.layout)
            contacts, wrist, pose, _ = self._forward(images, batch.text)
        total, terms = loss.affordance_loss(contacts, wrist, pose, batch.contacts, batch.wrist, batch.pose)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self.step_count += 1
        return {"loss": total.detach(), **{k: v.detach() for k, v in terms.items()}}

    @torch.inference_mode()
    def predict(self, data: LabelSet, size: int = 64) -> dict[str, NDArray[np.float32]]:
        """Contacts, wrist, pose and heatmaps of every label."""
        self.network.eval()
        parts: list[tuple[Tensor, ...]] = []
        for start in range(0, len(data), size):
            batch = data.batch(np.arange(start, min(start + size, len(data))))
            parts.append(tuple(t.float().cpu() for t in self.network(batch.images, batch.text)))
        names = ("contacts", "wrist", "pose", "heatmaps")
        return {name: torch.cat([p[i] for p in parts]).numpy() for i, name in enumerate(names)}

    def validate(self, data: LabelSet) -> dict[str, float]:
        """Mean and median errors over ``data``; see ``loss.errors`` for names and units."""
        p, t = self.predict(data), data.labels
        rows = loss.errors(p["contacts"], p["wrist"], p["pose"], t.contacts, t.wrist, t.pose)
        out = {name: float(values.mean()) for name, values in rows.items()}
        return out | {f"{name}_median": float(np.median(values)) for name, values in rows.items()}

    def state(self) -> dict[str, Tensor]:
        """Everything that a later step depends on, as tensors."""
        out = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                out[f"adam.{key}.{name}"] = torch.as_tensor(value)
        return out

    def load_state(self, tensors: Mapping[str, Tensor], step_count: int) -> None:
        """Puts back what ``state`` gave."""
        network = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        self.network.load_state_dict(network, strict=True)
        for name, parameter in self.network.named_parameters():
            entries = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = tensors[f"adam.{key}.{name}"]
                entries[key] = value.clone() if key == "step" and self.device.type == "cpu" else value.to(self.device)
                if key != "step":
                    entries[key] = entries[key].clone(memory_format=torch.preserve_format)
            self.optimizer.state[parameter] = entries
        self.step_count = step_count


def train(config: TrainConfig, progress: Progress = lambda row: None) -> TrainResult:
    """Trains f on label shards; writes weights, a log and overlays; goes on exactly where an interrupted run stopped.

    Raises:
        ValueError: for empty data, a file of another run in ``out``, or unfitting weights.
    """
    torch.set_num_threads(config.threads)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    labels = shards.read_folders(config.data)
    held = np.array([in_validation(c, config.validation) for c in labels.clips])
    if held.all():
        raise ValueError(f"data: {len(labels)} labels leave nothing to train on; extract more clips")
    text = make_text_encoder(config.text, config.weights.get("clip"))
    first = min(config.batch, int((~held).sum()))
    trainer = Trainer(config, config.epochs * (int((~held).sum()) // first), text.dim)
    px = trainer.network.config.image_px
    data = LabelSet(labels.take(np.flatnonzero(~held)), text, px, trainer.device)
    rest = labels.take(np.flatnonzero(held if held.any() else ~held))
    check = LabelSet(rest, text, px, trainer.device, data.reference)
    start = _resume(config, trainer, out / "last.safetensors")
    figures: dict[str, float] = {}
    seen, spent = 0, 0.0
    for epoch in range(start, config.epochs):
        begun = time.perf_counter()
        rows = epoch_rows(len(data), config.batch, config.seed, epoch)
        terms = [trainer.step(data, r) for r in rows]
        means = {name: float(torch.stack([t[name] for t in terms]).mean()) for name in terms[0]}
        spent, seen = spent + time.perf_counter() - begun, seen + sum(len(r) for r in rows)
        if not math.isfinite(means["loss"]):
            raise ValueError(f"lr: the loss became {means['loss']} in epoch {epoch + 1}; lower the learning rate")
        last = epoch + 1 == config.epochs
        if last or (epoch + 1) % config.validate_every == 0:
            figures = trainer.validate(check)
            _save(config, trainer, out, epoch + 1, labels, figures)
        row = {"epoch": epoch + 1, "epochs": config.epochs, **means, "images_per_s": seen / max(spent, 1e-9)}
        with (out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({**row, "validation": figures}) + "\n")
        progress({**row, **figures})
    if not figures:  # a finished run that is started again
        figures = trainer.validate(check)
    p = trainer.predict(check)
    overlay.save_picture(
        out / "overlay.png",
        overlay.sheet(
            rest.images[:32],
            rest.contacts[:32],
            p["contacts"][:32],
            p["heatmaps"][:32],
            rest.instructions[:32],
        ),
    )
    return TrainResult(out / "affordance.safetensors", figures, seen / max(spent, 1e-9), start)


def _save(
    config: TrainConfig, trainer: Trainer, out: Path, epoch: int, labels: shards.Labels, figures: Mapping[str, float]
) -> None:
    position = {"fingerprint": config.fingerprint, "epoch": epoch, "step": trainer.step_count}
    checkpoint.save_tensors(out / "last.safetensors", trainer.state(), position)
    content = hashlib.sha256("\n".join(labels.clips).encode()).hexdigest()[:16]
    training = {
        "preset": config.preset,
        "seed": config.seed,
        "epoch": epoch,
        "epochs": config.epochs,
        "batch": config.batch,
        "lr": config.lr,
        "labels": len(labels),
        "clips_hash": content,
        "validation": dict(figures),
        "device": trainer.device.type,
        "start": hashlib.sha256(Path(config.start).read_bytes()).hexdigest()[:16] if config.start else "",
    }
    card = checkpoint.Card(trainer.network.config, config.text, config.trunk, training)
    checkpoint.save_network(out / "affordance.safetensors", trainer.network, card)


def _resume(config: TrainConfig, trainer: Trainer, path: Path) -> int:
    if not config.resume or not path.is_file():
        return 0
    tensors, position = checkpoint.load_tensors(path)
    if position.get("fingerprint") != config.fingerprint:
        raise ValueError(
            f"out: {path} belongs to a run with another configuration; take another folder or resume=False"
        )
    trainer.load_state(tensors, int(position["step"]))
    return int(position["epoch"])
