"""Which of several things in a picture an instruction means: crops and words in one space, trained on clips.

The table-plane segmentation finds every thing that stands on the table. In a scene of several, the instruction says
which one to take. A small network maps a thing's crop and the instruction's vector to unit vectors; the thing whose
vector is nearest to the instruction's is taken. It learns from the same clips as f: the object that the hand touches
is what the narration speaks of, every other object that the detector saw in the first frame is not. Neither the rig's
truth nor anything else of the simulator goes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deft_env.encoders.checkpoints import Weights, fit
from deft_env.encoders.inference import normalise, single_thread
from deft_env.encoders.resnet import ResNet18
from deft_env.episode import generator
from deft_env.prior import checkpoint
from deft_env.prior.text import StandInText, TextEncoder, make_text_encoder
from deft_env.video import crops

FORMAT: Final = "deft-choice-1"
SHIPPED: Final = "choice-small-synthetic.safetensors"
"""Weights trained on synthetic videos, in half precision; the card of the affordance network speaks of them too."""
IMAGE_PX: Final = 96
ZOOM: Final = (0.55, 1.15)
SHIFT: Final = 0.25
TURN_RAD: Final = 0.35
"""Augmentation: side of what is seen over the crop's, shift in half sides, turn (our choice)."""
VIEW_ZOOM: Final = (ZOOM[0] * ZOOM[1]) ** 0.5
"""Side of what is scored over the crop's: the middle of what the training showed, 0.80, which is about the thing's own
box; a whole crop is as wide as training seldom had it, and shows more of what lies beside the thing (our choice)."""
Progress = Callable[[Mapping[str, Any]], None]


class ChoiceNetwork(nn.Module):
    """A narrow ResNet18 for crops, a linear map for text vectors, and the temperature of their products."""

    def __init__(self, width: int = 8, text_dim: int = 512, dim: int = 64) -> None:
        """Random weights."""
        super().__init__()
        self.trunk = ResNet18(width=width)
        self.image = nn.Linear(self.trunk.dim, dim)
        self.text = nn.Linear(text_dim, dim)
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: Tensor, text: Tensor) -> Tensor:
        """Normalised crops (B, 3, S, S) and text vectors (C, t) -> logits (C, B)."""
        z = nn.functional.normalize(self.image(self.trunk.pooled(images)), dim=-1)
        t = nn.functional.normalize(self.text(text), dim=-1)
        return self.log_scale.exp() * t @ z.T


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """What clips teach about words.

    Attributes:
        images: (M, S, S, 3) uint8 crops of first frames.
        clip: (M,) which clip each comes from.
        right: (M,) bool, whether it is the object that the hand touches.
        words: instruction of each clip.
    """

    images: NDArray[np.uint8]
    clip: NDArray[np.int64]
    right: NDArray[np.bool_]
    words: tuple[str, ...]


def read_choices(dataset: Any, config: Any = None) -> Choices:
    """The objects in the first frames of a ``video.records.Dataset`` with detector outputs, labelled by contact.

    Args:
        dataset: as ``video.extract.open_dataset`` opens it.
        config: a ``video.labels.LabelConfig``; thresholds of the detections.

    Raises:
        ValueError: if no clip can be read.
    """
    from deft_env.video import labels
    from deft_env.video.records import UnreadableError, instruction

    config = config or labels.LabelConfig()
    images: list[NDArray[np.uint8]] = []
    owner: list[int] = []
    right: list[bool] = []
    words: list[str] = []
    for clip in dataset.clips():
        text = instruction(clip.narration)
        if not text:
            continue
        try:
            frame, hand = labels.find_contact(dataset, clip, config)
            touched = labels.touched_box(hand, dataset.touched(clip, frame), config.object_score)
            seen = dataset.objects(clip, clip.start)
            box = labels.first_box(touched, seen, config.object_score)
            picture = dataset.image(clip, clip.start)
        except (labels.SkippedError, UnreadableError):
            continue
        others = [o.box for o in seen if o.score >= config.object_score and labels.overlap(o.box, box) < 0.1]
        for one, is_right in ((box, True), *((b, False) for b in others)):
            try:
                square = crops.square_box(one, picture.shape, config.margin)
            except crops.EmptyCropError:
                continue
            images.append(crops.cut(picture, square, IMAGE_PX))
            owner.append(len(words))
            right.append(is_right)
        words.append(text)
    if not words:
        raise ValueError(f"dataset: no clip of {dataset.root} has words, a contact and an object in its first frame")
    return Choices(np.stack(images), np.array(owner), np.array(right), tuple(words))


@dataclass(frozen=True, slots=True)
class ChoiceTrainConfig:
    """One training, on a CPU in a minute or two (our choice throughout).

    Attributes:
        out: file of the weights.
        width, dim: sizes of the network.
        steps, batch, lr: Adam with a cosine; clips a step.
        text: name of the text encoder.
        seed: of first weights, order and augmentation.
    """

    out: str
    width: int = 8
    dim: int = 64
    steps: int = 400
    batch: int = 24
    lr: float = 2e-3
    text: str = StandInText.name
    seed: int = 0


def _cut_out(images: Tensor, theta: NDArray[np.float64]) -> Tensor:
    """What affine maps (N, 2, 3) of normalised crops (N, 3, S, S) show, at the same size."""
    grid = nn.functional.affine_grid(
        torch.from_numpy(theta.astype(np.float32)), list(images.shape), align_corners=False
    )
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _views(image: Tensor) -> Tensor:
    """How a normalised crop (1, 3, S, S) is scored: its middle, ``VIEW_ZOOM`` wide, and that mirrored, (2, 3, S, S)."""
    theta = VIEW_ZOOM * np.array([[[m, 0.0, 0.0], [0.0, 1.0, 0.0]] for m in (1.0, -1.0)])
    return _cut_out(image.expand(2, -1, -1, -1), theta)


def _augmented(images: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Crops as another detector would cut them, in other light: zoomed, moved, turned, mirrored, tinted.

    The segmentation by depth leaves out what is low, such as the foot of a thing, so its boxes are tighter.
    """
    n = len(images)
    zoom, turn = (
        np.exp(rng.uniform(float(np.log(ZOOM[0])), float(np.log(ZOOM[1])), n)),
        rng.uniform(-TURN_RAD, TURN_RAD, n),
    )
    cos, sin, mirror = zoom * np.cos(turn), zoom * np.sin(turn), rng.choice([-1.0, 1.0], n)
    shift = rng.uniform(-SHIFT, SHIFT, (n, 2))
    theta = np.stack(
        [np.stack([mirror * cos, -sin, shift[:, 0]], -1), np.stack([mirror * sin, cos, shift[:, 1]], -1)], axis=1
    )
    out = _cut_out(normalise(torch.from_numpy(images)), theta)
    gain = rng.uniform(0.75, 1.25, (n, 1, 1, 1)) * rng.uniform(0.9, 1.1, (n, 3, 1, 1))
    return out * torch.from_numpy(gain.astype(np.float32))


def loss(logits: Tensor, clip: NDArray[np.int64], right: NDArray[np.bool_], words: Sequence[str]) -> Tensor:
    """InfoNCE both ways: each clip's words against all crops, each touched object against all words.

    Args:
        logits: (C, M) of C clips and M crops.
        clip: (M,) row of each crop's clip.
        right: (M,) whether it is the touched object.
        words: of the C clips; the touched objects of other clips with the same words are left out.
    """
    same = np.array([[a == b for b in words] for a in words])
    mine = clip[None] == np.arange(len(words))[:, None]
    hidden = torch.from_numpy(same[:, clip] & right[None] & ~mine)
    target = torch.from_numpy(np.flatnonzero(right)[np.argsort(clip[right])])
    by_words = nn.functional.cross_entropy(logits.masked_fill(hidden, -1e4), target)
    first = [words.index(w) for w in words]  # one row a distinct text
    rows = sorted(set(first))
    by_crop = nn.functional.cross_entropy(
        logits[rows][:, target].T, torch.tensor([rows.index(first[c]) for c in range(len(words))])
    )
    return by_words + by_crop


def train_choice(choices: Choices, config: ChoiceTrainConfig, progress: Progress = lambda row: None) -> Path:
    """Trains on clips and writes the weights.

    Raises:
        ValueError: if there are fewer than four clips.
    """
    if len(choices.words) < 4:
        raise ValueError(f"choices: expected at least 4 clips, got {len(choices.words)}")
    text = make_text_encoder(config.text)
    vectors = torch.from_numpy(text(choices.words))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = ChoiceNetwork(config.width, vectors.shape[1], config.dim).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    rng = generator("train-choice", config.seed)
    of_clip = [np.flatnonzero(choices.clip == c) for c in range(len(choices.words))]
    usable = np.array([c for c, rows in enumerate(of_clip) if choices.right[rows].any()])
    for step in range(config.steps):
        chosen = rng.permutation(usable)[: config.batch]
        rows = np.concatenate([of_clip[c] for c in chosen])
        place = np.concatenate([np.full(len(of_clip[c]), i) for i, c in enumerate(chosen)])
        logits = network(_augmented(choices.images[rows], rng), vectors[chosen])
        value = loss(logits, place, choices.right[rows], [choices.words[c] for c in chosen])
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 50 == 0 or step + 1 == config.steps:
            progress({"step": step + 1, "of": config.steps, "loss": float(value.detach())})
    training = {**asdict(config), "clips": len(usable), "crops": len(choices.images), "out": Path(config.out).name}
    metadata = {"format": FORMAT, "width": config.width, "dim": config.dim, "text": config.text, "training": training}
    Path(config.out).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_tensors(config.out, {k: _half(v) for k, v in network.state_dict().items()}, metadata)
    return Path(config.out)


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def weights_file(weights: Weights | None) -> Path:
    """``weights["choice"]``, or the shipped file."""
    if weights and "choice" in weights:
        return Path(weights["choice"]).expanduser()
    return Path(str(resources.files("deft_env.prior") / SHIPPED))


class Choice:
    """Scores crops by an instruction, one crop at a time on one thread."""

    def __init__(self, weights: Weights | None = None) -> None:
        """Reads ``weights["choice"]`` or the shipped file (``clip`` where it was trained with CLIP's text tower).

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is not one of these.
        """
        path = weights_file(weights)
        tensors, data = checkpoint.load_tensors(path)
        sizes = [data.get(name) for name in ("width", "dim")]
        if data.get("format") != FORMAT or not all(isinstance(s, int) and 1 <= s <= 512 for s in sizes):
            raise ValueError(f"{path}: expected a {FORMAT} file, got {data.get('format')!r}")
        self._text: TextEncoder = make_text_encoder(str(data.get("text")), (weights or {}).get("clip"))
        self._network = ChoiceNetwork(int(data["width"]), self._text.dim, int(data["dim"]))
        fit(self._network, tensors, path, "the choice network")
        self._network.eval()

    def scores(self, images: Sequence[NDArray[np.uint8]], instruction: str) -> NDArray[np.float64]:
        """How well each crop (S, S, 3) fits an instruction, (N,): mean over two views of it; the largest fits best."""
        text = torch.from_numpy(self._text([instruction]))
        out = []
        with single_thread():
            for image in images:
                x = normalise(torch.from_numpy(crops.shrink(image[None], IMAGE_PX).copy()))
                out.append(float(self._network(_views(x), text).mean()))
        return np.array(out)
