"""A store as a dataset in the LeRobot v3.0 layout, so that others can train on it.

An episode of ours is one decision, so it is one frame: the first picture and the prior's grasp as observation, the
executed 22-D grasp as action, the outcome beside it. Pictures are rendered again from the episodes' keys, or read where
a real rig kept them. Layout after the format's public documentation (LeRobotDataset v3.0): many episodes to a Parquet
file, an index of episodes, tasks by index, statistics for normalisation; pictures lie in the Parquet file (``image``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, observation, registries
from deft_env.episode import EpisodeKey
from deft_experiments import export, images
from deft_experiments import lerobot_format as form
from deft_experiments.config import RunConfig
from deft_experiments.errors import UsageError
from deft_experiments.playing import LARGEST_BATCH
from deft_experiments.run_episode import episode_name
from deft_experiments.store import Store

FRAMES_A_FILE: Final = 1000


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
    stats = {name: form.Moments() for name in (*form.VECTORS, *form.SCALARS, *([form.IMAGE] if with_images else []))}
    listed = []
    pictures = _pictures(store, source, rows) if with_images else iter(())
    for start in range(0, len(rows), FRAMES_A_FILE):
        part = rows[start : start + FRAMES_A_FILE]
        file_index = start // FRAMES_A_FILE
        frames = []
        for i, row in enumerate(part, start):
            frame = _frame(row, i, number[row["task"]])
            for name in (*form.VECTORS, *form.SCALARS):
                if frame[name] is not None:
                    stats[name].add(np.atleast_2d(np.asarray(frame[name], dtype=np.float64)))
            if with_images:
                picture = next(pictures)
                stats[form.IMAGE].add(picture.reshape(-1, 3) / 255.0)
                frame[form.IMAGE] = {"bytes": images.png(picture), "path": f"{i:06d}.png"}
            frames.append(frame)
            listed.append(_listed(row, i, file_index, tasks[number[row["task"]]]))
            progress(1)
        path = target / form.DATA_PATH.format(chunk_index=0, file_index=file_index)
        _write_table(pa, path, pa.Table.from_pylist(frames, schema=form.schema(pa, with_images)))
    _write_table(pa, target / form.EPISODES_PATH, pa.Table.from_pylist(listed))
    _write_table(pa, target / "meta" / "tasks.parquet", form.tasks(pa, tasks))
    _write_json(target / "meta" / "stats.json", form.stats(stats, len(rows)))
    _write_json(target / "meta" / "info.json", form.info(len(rows), tasks, with_images))
    return target


def _frame(row: dict[str, Any], index: int, task: int) -> dict[str, Any]:
    frame: dict[str, Any] = {name: row[column] for name, column in form.VECTORS.items()}
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
