"""Exports of a store: rows as CSV or Parquet, scalars for TensorBoard or Weights & Biases (offline)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deft_agents import split_name
from deft_experiments import images
from deft_experiments.errors import UsageError
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.store import Store

VECTORS: Final = ("residual", "prior_grasp", "executed_grasp")
_EPISODE: Final = (
    *("run", "task", "agent", "search", "policy", "reward_name", "prior", "rig", "encoder", "seed"),
    *("role", "split", "after", "k", "attempt", "status", "reason", "success", "score", "reward", "reward_told"),
    *("voided", "seconds", "subgoals", *VECTORS),
)
_EVALUATION: Final = (
    *("run", "task", "agent", "search", "policy", "reward_name", "prior", "rig", "encoder", "seed"),
    *("split", "after", "trials", "successes", "success_rate", "mean_score"),
)


def pyarrow() -> Any:
    """The library, or a clear error.

    Raises:
        UsageError: if the extra ``export`` is not installed.
    """
    try:
        import pyarrow as library
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            f"--format: Parquet needs the extra 'export': pip install 'deft-hand[export]' ({error})"
        ) from error
    return library


def episodes(store: Store, role: str = "all") -> list[dict[str, Any]]:
    """One row an episode: training, evaluation or both, in the order of runs and episodes.

    Args:
        store: opened for reading.
        role: ``train``, ``eval`` or ``all``.
    """
    views = {"train": ("episodes",), "eval": ("evaluation_episodes",), "all": ("episodes", "evaluation_episodes")}[role]
    out = []
    for view in views:
        for row in store.rows(f"SELECT * FROM {view} ORDER BY run, policy, after, split DESC, k"):
            search, policy = split_name(row["agent"])
            full = {**row, "search": search, "policy": row["policy"] or policy}
            for name in (*VECTORS, "subgoals"):
                full[name] = json.loads(row[name]) if row[name] else []
            for name in ("success", "voided"):
                full[name] = None if row[name] is None else bool(row[name])
            out.append({name: full[name] for name in _EPISODE})
    return out


def evaluations(store: Store) -> list[dict[str, Any]]:
    """One row for each evaluated policy of a run on a split."""
    out = []
    for row in store.rows("SELECT * FROM evaluations ORDER BY run, policy, after, split DESC"):
        search = "" if row["policy"] == PRIOR_ALONE else split_name(row["agent"])[0]
        out.append({name: {**row, "search": search}[name] for name in _EVALUATION})
    return out


def comma_separated(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """CSV text; vectors and sub-goals are JSON in one field, missing values are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(json.dumps(v) if isinstance(v := row[n], list) else v for n in names)
    return buffer.getvalue()


def write_csv(store: Store, folder: Path, role: str) -> list[Path]:
    """Writes ``episodes.csv`` and ``evaluations.csv``."""
    paths = [folder / "episodes.csv", folder / "evaluations.csv"]
    images.write_text(paths[0], comma_separated(episodes(store, role), _EPISODE))
    images.write_text(paths[1], comma_separated(evaluations(store), _EVALUATION))
    return paths


def write_parquet(store: Store, folder: Path, role: str) -> list[Path]:
    """Writes ``episodes.parquet`` and ``evaluations.parquet``; grasps are lists of 22 doubles."""
    pa = pyarrow()
    text, real, whole, flag = pa.string(), pa.float64(), pa.int64(), pa.bool_()
    kinds: dict[str, Any] = dict.fromkeys(_EPISODE, text)
    kinds |= dict.fromkeys(("seed", "after", "k", "attempt", "trials", "successes"), whole)
    kinds |= dict.fromkeys(("score", "reward", "reward_told", "seconds", "success_rate", "mean_score"), real)
    kinds |= dict.fromkeys(("success", "voided"), flag)
    kinds |= {name: pa.list_(real) for name in VECTORS}
    kinds["subgoals"] = pa.list_(pa.struct([("name", text), ("reached", flag)]))
    rows = episodes(store, role)
    for row in rows:
        row["subgoals"] = [{"name": name, "reached": reached} for name, reached in row["subgoals"]]
    paths = []
    for name, columns, content in (
        ("episodes", _EPISODE, rows),
        ("evaluations", _EVALUATION, evaluations(store)),
    ):
        table = pa.Table.from_pylist(content, schema=pa.schema([(c, kinds[c]) for c in columns]))
        paths.append(folder / f"{name}.parquet")
        images.write_atomically(paths[-1], lambda file, t=table: pa.parquet.write_table(t, file))  # type: ignore[misc]
    return paths


def scalars(store: Store) -> Iterable[tuple[str, str, int, float]]:
    """(run, name, step, value): reward, score and success of each episode, success of each evaluation."""
    for row in episodes(store, "train"):
        for name in ("reward", "score", "success"):
            if row[name] is not None:
                yield row["run"], f"train/{name}", row["k"] + 1, float(row[name])
    for row in evaluations(store):
        if row["success_rate"] is not None:
            yield row["run"], f"eval/{row['split']}/{row['policy']}", row["after"], float(row["success_rate"])


def write_tensorboard(store: Store, folder: Path) -> list[Path]:
    """Writes event files, one folder a run.

    Raises:
        UsageError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(f"--format tensorboard: pip install tensorboard ({error})") from error
    by_run: dict[str, list[tuple[str, int, float]]] = {}
    for run, name, step, value in scalars(store):
        by_run.setdefault(run, []).append((name, step, value))
    paths = []
    for run, values in by_run.items():
        paths.append(folder / "tensorboard" / run)
        with SummaryWriter(str(paths[-1])) as writer:
            for name, step, value in values:
                writer.add_scalar(name, value, step)
    return paths


def write_wandb(store: Store, folder: Path, project: str = "deft") -> list[Path]:
    """Writes Weights & Biases runs in offline mode; nothing is sent (``wandb sync`` would).

    Raises:
        UsageError: if the library is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise UsageError(f"--format wandb: pip install wandb ({error})") from error
    target = folder / "wandb"
    target.mkdir(parents=True, exist_ok=True)
    by_run: dict[str, dict[int, dict[str, float]]] = {}
    for run, name, step, value in scalars(store):
        by_run.setdefault(run, {}).setdefault(step, {})[name] = value
    for run, steps in by_run.items():
        config = store.run(run)[0]
        logged = wandb.init(project=project, name=run, id=run, dir=str(target), mode="offline", config=config)
        for step in sorted(steps):
            logged.log(steps[step], step=step)
        logged.finish()
    return [target]
