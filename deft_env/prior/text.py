"""Instructions to vectors: CLIP's text tower (frozen, from the user's weights), or a stand-in that is named so."""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import paper

CLIP_MODEL: Final = "ViT-B-32"
"""The CLIP whose text vectors have the paper's 512 entries."""


class TextEncoder(ABC):
    """Maps instructions to vectors; row i depends on text i alone.

    Attributes:
        name: goes into every checkpoint of the network.
        stand_in: whether it stands in for a pretrained tower.
        dim: length of the vectors.
    """

    name: str = ""
    stand_in: bool = False
    dim: int = paper.EMBEDDING_DIM

    def __init__(self) -> None:
        """Starts with nothing known."""
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (N, dim) of unit length; each distinct text is encoded once.

        Raises:
            ValueError: for an empty instruction.
        """
        for text in texts:
            if not text.strip():
                raise ValueError("instruction: expected words such as 'pick up the cup', got an empty text")
            if text not in self._known:
                self._known[text] = self.encode(text)
        return np.array([self._known[t] for t in texts], dtype=np.float32).reshape(len(texts), self.dim)

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.float32]:
        """What a subclass computes: the vector (dim,) of one text."""


class StandInText(TextEncoder):
    """Each word has a fixed random direction, a text the direction of their sum; no weights, no training, no meaning.

    It tells instructions apart and lets known words work in new sentences; an unknown word is noise. Not CLIP.
    """

    name = "stand-in-text"
    stand_in = True

    def encode(self, text: str) -> NDArray[np.float32]:
        """The vector (512,) of one text."""
        total = np.zeros(self.dim)
        for word in re.findall(r"[a-z0-9]+", text.lower()) or [text.strip()]:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
            total += np.random.Generator(np.random.PCG64(seed)).standard_normal(self.dim)
        return (total / np.linalg.norm(total)).astype(np.float32)


class ClipText(TextEncoder):
    """CLIP's text tower through open_clip, frozen, one text at a time on one thread."""

    name = "clip-vit-b-32"

    def __init__(self, path: str | Path, model: str = CLIP_MODEL) -> None:
        """Reads the user's weights; never downloads.

        Raises:
            ImportError: if open_clip is absent; the message names the extra.
            FileNotFoundError: if there is no such file; the message says where the weights come from.
            ValueError: if the file does not hold this model.
        """
        super().__init__()
        file = Path(path).expanduser()
        if not file.is_file():
            raise FileNotFoundError(
                f"weights: there is no file {file}; 'clip' is {CLIP_MODEL} of https://github.com/openai/CLIP or of "
                "https://github.com/mlfoundations/open_clip, as a state dictionary"
            )
        # Set before the import, or the library would look for files on the network.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from deft_env._torchvision import import_torchvision

        import_torchvision()
        try:
            import open_clip
        except ImportError as error:
            raise ImportError(f"CLIP needs open_clip: pip install 'deft-hand[vision]' ({error})") from error
        from deft_env.encoders.checkpoints import load_tensors

        network = open_clip.create_model(model, pretrained=None)
        state = load_tensors(file)
        state = state.get("state_dict", state) if isinstance(state, dict) else state
        if not isinstance(state, dict):
            raise ValueError(f"{file}: expected a state dictionary of {model}")
        wanted = network.state_dict()
        state = {str(k).removeprefix("module."): v for k, v in state.items()}
        # The published archive carries three numbers that are no weights.
        state = {k: v for k, v in state.items() if k not in ("input_resolution", "context_length", "vocab_size")}
        wrong = sorted(set(wanted) ^ set(state))
        if wrong:
            raise ValueError(f"{file}: not the weights of {model}: {len(wrong)} keys differ, such as {wrong[:2]}")
        network.load_state_dict(state, strict=True)
        self._network = network.eval().requires_grad_(False)
        self._tokenizer = open_clip.get_tokenizer(model)
        self.dim = int(self.encode("a cup").shape[0])

    def encode(self, text: str) -> NDArray[np.float32]:
        """The vector of one text."""
        from deft_env.encoders.inference import single_thread

        with single_thread():
            features = self._network.encode_text(self._tokenizer([text]))[0]
            out: NDArray[np.float32] = (features / features.norm()).float().numpy()
        return out


def make_text_encoder(name: str, clip_path: str | Path | None = None) -> TextEncoder:
    """The text encoder of a checkpoint by its name.

    Raises:
        ValueError: for an unknown name, or CLIP without its weights.
    """
    if name == StandInText.name:
        return StandInText()
    if name == ClipText.name:
        if clip_path is None:
            raise ValueError("weights: the network was trained with CLIP's text tower: --weights clip=PATH")
        return ClipText(clip_path)
    raise ValueError(f"text encoder: expected {StandInText.name!r} or {ClipText.name!r}, got {name!r}")
