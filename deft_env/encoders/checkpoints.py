"""Loads published checkpoints into our ResNet18: nothing but tensors is read, and every key must fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from deft_env.encoders.resnet import ResNet18

Weights = Mapping[str, "str | Path"]

SOURCES: Final = {
    "r3m": "model.pt of the r3m_18 model, published at https://github.com/facebookresearch/r3m "
    "(its load_r3m('resnet18') leaves it in ~/.r3m/r3m_18)",
    "resnet18": "resnet18-f37072fd.pth, the ImageNet weights published at "
    "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "time-contrastive": "a file that deft train encoder wrote; without any the shipped weights are read",
    "success-detector": "a file that python -m deft_env.encoders.success_detector wrote; without any the shipped "
    "weights are read",
}
"""Where the weights of each name come from; they are never downloaded by this project."""
_R3M_DROPPED: Final = ("lang_enc.", "lang_rew.")


def weights_path(weights: Weights | None, name: str) -> Path:
    """The path of the weights ``name``.

    Raises:
        ValueError: if none is given; the message says where they come from.
        FileNotFoundError: if there is no such file; likewise.
    """
    if not weights or name not in weights:
        raise ValueError(f"weights: {name!r} needs a file: --weights {name}=PATH. It is {SOURCES.get(name, 'yours')}.")
    path = Path(weights[name]).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"weights: there is no file {path}. {name!r} is {SOURCES.get(name, 'yours')}.")
    return path


def load_tensors(path: str | Path) -> Any:
    """``torch.load`` that accepts tensors and plain containers only.

    Raises:
        ValueError: if the file is broken or holds anything else.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for broken files and refused classes
        raise ValueError(f"{path}: no checkpoint of plain tensors ({type(error).__name__}: {error})") from None


def fit(module: nn.Module, state: Mapping[str, Any], path: str | Path, what: str) -> None:
    """Loads ``state`` into ``module``, every key and shape exactly.

    Raises:
        ValueError: naming the keys that are missing, unknown, of a wrong shape or not finite.
    """
    wanted = module.state_dict()
    missing, unknown = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    if missing or unknown:
        raise ValueError(
            f"{path}: not the weights of {what}: {len(missing)} keys are missing (such as {missing[:2]}), "
            f"{len(unknown)} are unknown (such as {unknown[:2]})"
        )
    for key, value in wanted.items():
        got = state[key]
        if not isinstance(got, Tensor) or got.shape != value.shape:
            shape = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
            raise ValueError(f"{path}: {key}: expected a tensor of shape {tuple(value.shape)}, got {shape}")
        if not bool(got.isfinite().all()):
            raise ValueError(f"{path}: {key}: not every entry is finite")
    module.load_state_dict(dict(state), strict=True)


def load_r3m(path: str | Path) -> ResNet18:
    """R3M's ResNet18 trunk from the published ``model.pt``; its language parts are dropped.

    Raises:
        ValueError: if the file is no R3M checkpoint of a ResNet18.
    """
    data = load_tensors(path)
    if not isinstance(data, dict) or not isinstance(data.get("r3m"), Mapping):
        raise ValueError(f"{path}: expected a dictionary with 'r3m'. R3M is {SOURCES['r3m']}.")
    state = {}
    for full, value in data["r3m"].items():
        key = str(full).removeprefix("module.")
        if key.startswith(_R3M_DROPPED):
            continue
        if not key.startswith("convnet."):
            raise ValueError(f"{path}: unknown key {full!r} in an R3M checkpoint")
        state[key.removeprefix("convnet.")] = value
    trunk = ResNet18()
    fit(trunk, state, path, "R3M's ResNet18 (r3m_18, not r3m_34 or r3m_50)")
    return trunk.eval()


def load_imagenet(path: str | Path) -> ResNet18:
    """ResNet18 trained on ImageNet, torchvision's format; the classifier is checked and then dropped.

    Raises:
        ValueError: if the file is not such a checkpoint.
    """
    data = load_tensors(path)
    if not isinstance(data, Mapping):
        raise ValueError(f"{path}: expected a state dictionary. ResNet18 is {SOURCES['resnet18']}.")
    network = ResNet18(classes=1000)
    fit(network, data, path, "torchvision's resnet18")
    network.fc = nn.Identity()
    return network.eval()
