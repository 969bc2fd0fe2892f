"""Files of the affordance network: safetensors with its configuration as metadata, written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from deft_env.prior.network import AffordanceNetwork, NetworkConfig

FORMAT: Final = "deft-affordance-1"


@dataclass(frozen=True, slots=True)
class Card:
    """What a file of weights says of itself.

    Attributes:
        config: the network's sizes.
        text_encoder: name of the text encoder it was trained with.
        trunk: where the trunk's first weights came from: ``random``, ``r3m`` or ``resnet18``.
        training: data, seed, steps, figures; free form, JSON.
    """

    config: NetworkConfig
    text_encoder: str
    trunk: str
    training: Mapping[str, Any]


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes tensors and JSON metadata to a temporary file, then renames it."""
    from safetensors.torch import save

    from deft_env.files import write_atomically

    plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    write_atomically(Path(path), save(plain, {"deft": json.dumps(metadata, sort_keys=True)}))


def halve(source: str | Path, out: str | Path) -> None:
    """Copies a file of ``save_tensors`` with its numbers in half precision; what reads it goes on in single precision.

    Raises:
        FileNotFoundError, ValueError: as ``load_tensors``.
    """
    tensors, metadata = load_tensors(source)
    save_tensors(out, {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}, metadata)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what ``save_tensors`` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no safetensors file of this project.
    """
    from safetensors import safe_open

    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"weights: there is no file {file}")
    try:
        with safe_open(str(file), framework="pt") as data:
            metadata = json.loads((data.metadata() or {}).get("deft", ""))
            return {key: data.get_tensor(key) for key in data.keys()}, metadata  # noqa: SIM118 - not a dictionary
    except Exception as error:  # safetensors has its own error class, without a common base
        raise ValueError(f"{file}: no safetensors file of this project ({error})") from None


def save_network(path: str | Path, network: AffordanceNetwork, card: Card) -> None:
    """Writes weights and card."""
    save_tensors(path, network.state_dict(), {"format": FORMAT, **_card_json(card)})


def _card_json(card: Card) -> dict[str, Any]:
    return {
        "config": asdict(card.config),
        "text_encoder": card.text_encoder,
        "trunk": card.trunk,
        "training": dict(card.training),
    }


def read_card(metadata: Mapping[str, Any], path: str | Path) -> Card:
    """The card in a file's metadata.

    Raises:
        ValueError: for another format, or unknown or missing fields.
    """
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a {FORMAT} file, got {metadata.get('format')!r}")
    config = dict(metadata.get("config", {}))
    known = {f.name for f in fields(NetworkConfig)}
    if set(config) != known or not {"text_encoder", "trunk", "training"} <= set(metadata):
        raise ValueError(f"{path}: the card of the network has unknown or missing fields")
    return Card(NetworkConfig(**config), metadata["text_encoder"], metadata["trunk"], metadata["training"])


def load_network(path: str | Path) -> tuple[AffordanceNetwork, Card]:
    """Reads a network, ready for inference.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not one of ours, or a key or shape does not fit.
    """
    from deft_env.encoders.checkpoints import fit

    tensors, metadata = load_tensors(path)
    card = read_card(metadata, path)
    network = AffordanceNetwork(card.config)
    fit(network, tensors, path, "the affordance network")
    return network.eval(), card
