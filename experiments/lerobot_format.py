"""The LeRobot v3.0 layout of a dataset of decisions: names, features, Parquet schema, statistics, ``info.json``.

After the format's public documentation (LeRobotDataset v3.0).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, observation

VERSION: Final = "v3.0"
FPS: Final = 1
"""Frames are decisions, not moments; the format wants a rate."""
IMAGE: Final = "observation.images.ego"
STATE: Final = "observation.state"
VECTORS: Final = {STATE: "prior_grasp", "action": "executed_grasp", "residual": "residual"}
SCALARS: Final = {"next.reward": "float32", "next.score": "float32", "next.success": "bool", "next.done": "bool"}
INDICES: Final = ("frame_index", "episode_index", "index", "task_index")
DATA_PATH: Final = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH: Final = "meta/episodes/chunk-000/file-000.parquet"


@dataclass(slots=True)
class Moments:
    """Running minimum, maximum, mean and variance of a feature, in one pass."""

    count: int = 0
    least: Any = None
    most: Any = None
    total: Any = 0.0
    squares: Any = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Takes (n, d) values in."""
        x = np.asarray(values, dtype=np.float64)
        self.count += len(x)
        self.least = x.min(axis=0) if self.least is None else np.minimum(self.least, x.min(axis=0))
        self.most = x.max(axis=0) if self.most is None else np.maximum(self.most, x.max(axis=0))
        self.total, self.squares = self.total + x.sum(axis=0), self.squares + (x**2).sum(axis=0)

    def as_dict(self, shape: tuple[int, ...], frames: int) -> dict[str, Any]:
        """As ``stats.json`` has it, each value in ``shape``."""
        mean = self.total / self.count
        spread = np.sqrt(np.maximum(self.squares / self.count - mean**2, 0.0))
        named = {"min": self.least, "max": self.most, "mean": mean, "std": spread}
        return {**{k: np.reshape(v, shape).tolist() for k, v in named.items()}, "count": [frames]}


def features(with_images: bool) -> dict[str, Any]:
    """The features of ``info.json``."""
    out: dict[str, Any] = {}
    if with_images:
        shape = [observation.SIZE, observation.SIZE, 3]
        out[IMAGE] = {"dtype": "image", "shape": shape, "names": ["height", "width", "channels"]}
    for name in VECTORS:
        out[name] = {"dtype": "float32", "shape": [grasp.DIM], "names": list(grasp.NAMES)}
    for name, kind in SCALARS.items():
        out[name] = {"dtype": kind, "shape": [1], "names": None}
    out["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    return {**out, **{name: {"dtype": "int64", "shape": [1], "names": None} for name in INDICES}}


def schema(pa: Any, with_images: bool) -> Any:
    """Of the frames' Parquet files."""
    kinds = {"float32": pa.float32(), "bool": pa.bool_(), "int64": pa.int64()}
    fields: list[tuple[str, Any]] = []
    hugging: dict[str, Any] = {}
    for name, feature in features(with_images).items():
        if feature["dtype"] == "image":
            fields.append((name, pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
            hugging[name] = {"_type": "Image"}
        elif feature["shape"] == [1]:
            fields.append((name, kinds[feature["dtype"]]))
            hugging[name] = {"dtype": feature["dtype"], "_type": "Value"}
        else:
            fields.append((name, pa.list_(pa.float32(), grasp.DIM)))
            of = {"dtype": "float32", "_type": "Value"}
            hugging[name] = {"feature": of, "length": grasp.DIM, "_type": "Sequence"}
    # Read by the `datasets` library, which otherwise would not know that the structs are pictures.
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": hugging}})})


def tasks(pa: Any, tasks: Sequence[str]) -> Any:
    """Task index by instruction; the instruction is the index column, as pandas writes it."""
    table = pa.table({"task_index": list(range(len(tasks))), "task": list(tasks)})
    columns = [
        {"name": n, "field_name": n, "pandas_type": p, "numpy_type": k, "metadata": None}
        for n, p, k in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.2.0"}
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def stats(of: dict[str, Moments], frames: int) -> dict[str, Any]:
    """``stats.json``: what normalisation needs, by feature."""
    out = {}
    for name, moments in of.items():
        if moments.count:
            shape = (3, 1, 1) if name == IMAGE else (grasp.DIM,) if name in VECTORS else (1,)
            out[name] = moments.as_dict(shape, frames)
    return out


def info(count: int, tasks: Sequence[str], with_images: bool) -> dict[str, Any]:
    """``info.json``."""
    return {
        "codebase_version": VERSION,
        "robot_type": "xarm6_soft_hand",
        "total_episodes": count,
        "total_frames": count,
        "total_tasks": len(tasks),
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": FPS,
        "splits": {"train": f"0:{count}"},
        "data_path": DATA_PATH,
        "video_path": None,
        "features": features(with_images),
    }
