"""The one format of training labels: a ``manifest.json`` beside ``shard-00000.npz`` and its successors.

A shard is an uncompressed ``.npz`` of plain arrays (read without pickle), N labels each:

=============  =======================  ==============================================================================
array          shape and type           meaning
=============  =======================  ==============================================================================
images         (N, 224, 224, 3) uint8   the object's crop in the clip's FIRST frame, made square and resized
contacts       (N, 5, 2) float32        centres of the Gaussian mixture of the contact points, x and y in [0, 1] of the
                                        crop (0 at its left and top edge)
wrist          (N, 3) float32           wrist orientation in the contact frame, axis-angle (rad), MANO wrist -> camera
                                        (x right, y down, z forward)
pose           (N, 45) float32          hand pose in the contact frame, ABSOLUTE MANO axis-angles (rad), right hand
boxes          (N, 4) float32           the square crop in the first frame: x0, y0, x1, y1, px
instructions   (N,) text                the narration as an instruction
clips          (N,) text                dataset/clip, unique
=============  =======================  ==============================================================================
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import paper
from deft_env.files import write_atomically

FORMAT: Final = "deft-labels-1"
IMAGE_PX: Final = 224
SHARD_LABELS: Final = 512
_SHAPES: Final[Mapping[str, tuple[tuple[int, ...], str]]] = {
    "images": ((IMAGE_PX, IMAGE_PX, 3), "u1"),
    "contacts": ((paper.CONTACT_POINTS, 2), "f4"),
    "wrist": ((3,), "f4"),
    "pose": ((paper.MANO_POSE_DIM,), "f4"),
    "boxes": ((4,), "f4"),
}
_TEXTS: Final = ("instructions", "clips")


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels of N clips; see the module for shapes, units and frames.

    Raises:
        ValueError: for a wrong shape or type, a value that is not finite, or a contact outside its crop.
    """

    images: NDArray[np.uint8]
    contacts: NDArray[np.float32]
    wrist: NDArray[np.float32]
    pose: NDArray[np.float32]
    boxes: NDArray[np.float32]
    instructions: tuple[str, ...]
    clips: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.images)
        for name, (shape, kind) in _SHAPES.items():
            array = getattr(self, name)
            if array.shape != (n, *shape) or array.dtype != np.dtype(kind):
                raise ValueError(
                    f"{name}: expected {np.dtype(kind)} of shape {(n, *shape)}, got {array.dtype} {array.shape}"
                )
            if kind == "f4" and not np.isfinite(array).all():
                raise ValueError(f"{name}: every entry must be finite")
        if self.contacts.size and not (self.contacts.min() >= 0 and self.contacts.max() <= 1):
            raise ValueError("contacts: expected x and y in [0, 1] of the crop")
        for name in _TEXTS:
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name}: expected {n} texts, got {len(getattr(self, name))}")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Labels:
        """Some rows."""
        index = np.asarray(rows, dtype=np.intp)
        arrays: dict[str, Any] = {name: getattr(self, name)[index] for name in _SHAPES}
        texts: dict[str, Any] = {name: tuple(getattr(self, name)[i] for i in index) for name in _TEXTS}
        return Labels(**arrays, **texts)


def concatenate(parts: Sequence[Labels]) -> Labels:
    """Labels one after the other.

    Raises:
        ValueError: if there are none.
    """
    if not parts:
        raise ValueError("parts: expected at least one set of labels")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _SHAPES}
    texts: dict[str, Any] = {name: sum((getattr(p, name) for p in parts), ()) for name in _TEXTS}
    return Labels(**arrays, **texts)


def write_shard(path: str | Path, labels: Labels) -> None:
    """Writes one shard, atomically."""
    file = Path(path)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp.npz")
    arrays = {name: getattr(labels, name) for name in _SHAPES}
    texts = {name: np.array(getattr(labels, name), dtype=np.str_) for name in _TEXTS}
    np.savez(temporary, allow_pickle=False, **arrays, **texts)
    temporary.replace(file)


def read_shard(path: str | Path) -> Labels:
    """Reads one shard.

    Raises:
        ValueError: if it is broken, holds anything but the named arrays, or its values are wrong.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays: dict[str, Any] = {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path}: not a readable shard of labels ({error})") from None
    wanted = {*_SHAPES, *_TEXTS}
    if set(arrays) != wanted:
        raise ValueError(f"{path}: expected the arrays {sorted(wanted)}, got {sorted(arrays)}")
    texts: dict[str, Any] = {name: tuple(str(t) for t in arrays.pop(name).tolist()) for name in _TEXTS}
    try:
        return Labels(**arrays, **texts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_manifest(folder: str | Path, **fields: Any) -> None:
    """Writes ``manifest.json`` (format, number of labels, configuration, what was skipped and why)."""
    text = json.dumps({"format": FORMAT, **fields}, indent=1, sort_keys=True) + "\n"
    write_atomically(Path(folder) / "manifest.json", text.encode())


def shard_paths(folder: str | Path) -> list[Path]:
    """The shards of a folder, in order.

    Raises:
        ValueError: if the folder holds none.
    """
    paths = sorted(Path(folder).glob("shard-*.npz"))
    if not paths:
        raise ValueError(f"data: no shard-*.npz in {folder}; make them with deft extract")
    return paths


def iterate(folders: Sequence[str | Path]) -> Iterator[Labels]:
    """Every shard of every folder."""
    for folder in folders:
        for path in shard_paths(folder):
            yield read_shard(path)


def read_folders(folders: Sequence[str | Path]) -> Labels:
    """All labels of some folders; see ``shard_paths`` and ``read_shard`` for errors."""
    return concatenate(list(iterate(folders)))
