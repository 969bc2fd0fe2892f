"""Encoders that are networks: R3M, ImageNet's ResNet18, and a random one that is named so."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from deft_env.encoders import checkpoints
from deft_env.encoders.encoder import Encoder
from deft_env.encoders.inference import ImageCache, normalise, single_thread, to_input
from deft_env.encoders.resnet import ResNet18


class NetworkEncoder(Encoder):
    """Pooled features of a ResNet18 trunk, on one thread, cached."""

    def __init__(self, trunk: ResNet18) -> None:
        """Wraps a trunk, which is put into evaluation mode."""
        self._trunk = trunk.eval()
        self._cache = ImageCache()
        self.dim = trunk.dim

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Features (N, 512)."""
        if not len(images):
            return np.zeros((0, self.dim))
        return self._cache(images, self._encode_one)

    def _encode_one(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        with single_thread():
            out: NDArray[np.float64] = self._trunk.pooled(self._input(image))[0].double().numpy()
        return out

    def _input(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """What the trunk sees of one image: (1, 3, S, S)."""
        return normalise(torch.from_numpy(to_input(image).copy())[None])

    def spatial(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features before pooling, (N, 512, 7, 7), one image at a time; not cached."""
        rows = []
        with single_thread():
            for image in images:
                rows.append(self._trunk.spatial(self._input(image))[0].numpy())
        return np.array(rows, dtype=np.float32)


class R3MEncoder(NetworkEncoder):
    """R3M's ResNet18 (Nair et al. 2022), from the user's copy of the published checkpoint."""

    name = "r3m"

    def __init__(self, weights: checkpoints.Weights | None = None) -> None:
        """Reads ``weights["r3m"]``; see ``checkpoints`` for errors."""
        super().__init__(checkpoints.load_r3m(checkpoints.weights_path(weights, "r3m")))


class ResNet18Encoder(NetworkEncoder):
    """ResNet18 trained on ImageNet, from the user's copy of the published checkpoint."""

    name = "resnet18"

    def __init__(self, weights: checkpoints.Weights | None = None) -> None:
        """Reads ``weights["resnet18"]``; see ``checkpoints`` for errors."""
        super().__init__(checkpoints.load_imagenet(checkpoints.weights_path(weights, "resnet18")))


class RandomResNet18Encoder(NetworkEncoder):
    """ResNet18 with random weights: a stand-in that needs no file, never to be called R3M or ImageNet."""

    name = "resnet18-random"
    stand_in = True

    def __init__(self, seed: int = 0) -> None:
        """Draws the weights from ``seed``, leaving torch's global generator as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            trunk = ResNet18()
        super().__init__(trunk)


class TimeContrastiveEncoder(NetworkEncoder):
    """A small network trained on synthetic videos with R3M's objective (``time_contrastive``); not R3M itself.

    Pictures are reduced to ``time_contrastive.IMAGE_PX``; 128 features at the usual width.
    """

    name = "time-contrastive"

    def __init__(self, weights: checkpoints.Weights | None = None) -> None:
        """Reads ``weights["time-contrastive"]``, which ``time_contrastive.train_encoder`` wrote, or the shipped file.

        Raises:
            ValueError: if the file is not one of these.
            FileNotFoundError: if there is no such file.
        """
        from deft_env.encoders import time_contrastive
        from deft_env.prior.checkpoint import load_tensors

        path = checkpoints.weights_path(
            weights if weights and self.name in weights else {self.name: time_contrastive.shipped()}, self.name
        )
        tensors, metadata = load_tensors(path)
        tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        width = metadata.get("width")
        if metadata.get("format") != time_contrastive.FORMAT or not isinstance(width, int) or not 1 <= width <= 64:
            raise ValueError(f"{path}: expected a {time_contrastive.FORMAT} file, got {metadata.get('format')!r}")
        trunk = ResNet18(width=width)
        checkpoints.fit(trunk, tensors, path, "the time-contrastive encoder")
        super().__init__(trunk)

    def _input(self, image: NDArray[np.uint8]) -> torch.Tensor:
        from deft_env.encoders.time_contrastive import IMAGE_PX
        from deft_env.video.crops import shrink

        return normalise(torch.from_numpy(np.ascontiguousarray(shrink(to_input(image)[None], IMAGE_PX))))
