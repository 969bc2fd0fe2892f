"""A store as a dataset in the LeRobot v3.0 layout, so that others can train on it.

An episode of ours is one decision, so it is one frame: the first picture and the prior's grasp as observation, the
executed 22-D grasp as action, the outcome beside it. Pictures are rendered again from the episodes' keys, or read where
a real rig kept them. Layout after the format's public documentation (LeRobotDataset v3.0): many episodes to a Parquet
file, an index of episodes, tasks by index, statistics for normalisation; pictures lie in the Parquet file (``image``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, observation, registries
from deft_env.episode import EpisodeKey
from deft_experiments import export, images
from deft_experiments.config import RunConfig
from deft_experiments.errors import UsageError
from deft_experiments.lockstep import LARGEST_BATCH, episode_name
from deft_experiments.store import Store

VERSION: Final = "v3.0"
FPS: Final = 1
"""Frames are decisions, not moments; the format wants a rate."""
FRAMES_A_FILE: Final = 1000
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


def write(
    store: Store,
    folder: Path,
    *,
    source: Path,
    role: str = "all",
    with_images: bool = True,
    progress: Callable[[int], None] = lambda n: None,
) -> Path:
    """Writes the dataset into ``folder/lerobot``.

    Args:
        store: opened for reading.
        folder: where the dataset goes.
        source: the store's folder; a real rig's kept pictures lie in its ``frames``.
        role: ``train``, ``eval`` or ``all``.
        with_images: whether to render the pictures.
        progress: called with numbers of episodes.

    Raises:
        UsageError: without pyarrow, without episodes, or if a real episode's picture was not kept.
    """
    pa = export.pyarrow()
    # What has no executed grasp (a scene in which the prior saw nothing) is no example of anything.
    rows = [r for r in export.episodes(store, role) if len(r["executed_grasp"]) == grasp.DIM and not r["voided"]]
    if not rows:
        raise UsageError(f"{store.path}: no executed episodes to export")
    target = folder / "lerobot"
    instructions = {name: words.instruction for name, words in registries.TASK_WORDS.items()}
    tasks = list(dict.fromkeys(instructions.get(r["task"], r["task"]) for r in rows))
    number = {row["task"]: tasks.index(instructions.get(row["task"], row["task"])) for row in rows}
    stats = {name: Moments() for name in (*VECTORS, *SCALARS, *([IMAGE] if with_images else []))}
    listed = []
    pictures = _pictures(store, source, rows) if with_images else iter(())
    for start in range(0, len(rows), FRAMES_A_FILE):
        part = rows[start : start + FRAMES_A_FILE]
        file_index = start // FRAMES_A_FILE
        frames = []
        for i, row in enumerate(part, start):
            frame = _frame(row, i, number[row["task"]])
            for name in (*VECTORS, *SCALARS):
                if frame[name] is not None:
                    stats[name].add(np.atleast_2d(np.asarray(frame[name], dtype=np.float64)))
            if with_images:
                picture = next(pictures)
                stats[IMAGE].add(picture.reshape(-1, 3) / 255.0)
                frame[IMAGE] = {"bytes": images.png(picture), "path": f"{i:06d}.png"}
            frames.append(frame)
            listed.append(_listed(row, i, file_index, tasks[number[row["task"]]]))
            progress(1)
        path = target / DATA_PATH.format(chunk_index=0, file_index=file_index)
        _write_table(pa, path, pa.Table.from_pylist(frames, schema=_schema(pa, with_images)))
    _write_table(pa, target / EPISODES_PATH, pa.Table.from_pylist(listed))
    _write_table(pa, target / "meta" / "tasks.parquet", _tasks(pa, tasks))
    _write_json(target / "meta" / "stats.json", _stats(stats, len(rows)))
    _write_json(target / "meta" / "info.json", _info(len(rows), tasks, with_images))
    return target


def _frame(row: dict[str, Any], index: int, task: int) -> dict[str, Any]:
    frame: dict[str, Any] = {name: row[column] for name, column in VECTORS.items()}
    reward = row["reward"] if row["reward"] is not None else row["score"]
    return {
        **frame,
        "next.reward": reward,
        "next.score": row["score"],
        "next.success": row["success"],
        "next.done": True,
        "timestamp": 0.0,
        "frame_index": 0,
        "episode_index": index,
        "index": index,
        "task_index": task,
    }


def _listed(row: dict[str, Any], index: int, file_index: int, task: str) -> dict[str, Any]:
    """The episode's line in the index; what only we know of it is prefixed."""
    return {
        "episode_index": index,
        "tasks": [task],
        "length": 1,
        "data/chunk_index": 0,
        "data/file_index": file_index,
        "dataset_from_index": index,
        "dataset_to_index": index + 1,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
        **{f"deft/{n}": row[n] for n in ("run", "task", "agent", "policy", "prior", "reward_name", "rig", "seed")},
        **{f"deft/{n}": row[n] for n in ("role", "split", "after", "k", "status")},
    }


def _schema(pa: Any, with_images: bool) -> Any:
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


def _tasks(pa: Any, tasks: Sequence[str]) -> Any:
    """Task index by instruction; the instruction is the index column, as pandas writes it."""
    table = pa.table({"task_index": list(range(len(tasks))), "task": list(tasks)})
    columns = [
        {"name": n, "field_name": n, "pandas_type": p, "numpy_type": k, "metadata": None}
        for n, p, k in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.2.0"}
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def _stats(stats: dict[str, Moments], frames: int) -> dict[str, Any]:
    out = {}
    for name, moments in stats.items():
        if moments.count:
            shape = (3, 1, 1) if name == IMAGE else (grasp.DIM,) if name in VECTORS else (1,)
            out[name] = moments.as_dict(shape, frames)
    return out


def _info(count: int, tasks: Sequence[str], with_images: bool) -> dict[str, Any]:
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


def _pictures(store: Store, source: Path, rows: Sequence[dict[str, Any]]) -> Iterator[NDArray[np.uint8]]:
    """The observation's picture of each row, in order, rendered in batches; equal keys in a batch once."""
    start = 0
    while start < len(rows):
        run = rows[start]["run"]
        end = start
        while end < len(rows) and rows[end]["run"] == run and end - start < LARGEST_BATCH:
            end += 1
        part, config = rows[start:end], RunConfig.from_dict(store.run(run)[0])
        yield from _kept(source, part) if config.rig == "real" else _rendered(config, part)
        start = end


def _rendered(config: RunConfig, rows: Sequence[dict[str, Any]]) -> list[NDArray[np.uint8]]:
    keys = [EpisodeKey(r["task"], r["split"], r["role"], r["seed"], r["k"]) for r in rows]
    unique = list(dict.fromkeys(keys))
    with registries.make_rig(config.rig, config.rig_options) as rig:
        frames = rig.reset_batch(unique)
        pictures = {key: observation.image(frames[i]) for i, key in enumerate(unique)}
    return [pictures[key] for key in keys]


def _kept(source: Path, rows: Sequence[dict[str, Any]]) -> Iterator[NDArray[np.uint8]]:
    keeper = images.FrameKeeper(source / "frames", "all")
    for r in rows:
        name = episode_name(r["k"])
        if r["role"] == "eval":
            name = f"{r['policy']}-{r['after']:03d}-{r['split']}-{r['k']:04d}"
        path = keeper.folder / r["run"] / f"{name}-first.npz"
        if not path.is_file():
            raise UsageError(f"{path}: the picture of this real episode was not kept; use --no-images")
        yield observation.image(images.read_frame(path))


def _write_table(pa: Any, path: Path, table: Any) -> None:
    images.write_atomically(path, lambda file: pa.parquet.write_table(table, file))


def _write_json(path: Path, value: Any) -> None:
    images.write_text(path, json.dumps(value, indent=1) + "\n")
