"""``deft rescore``: another reward on the kept pictures of a stored run."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from deft_env import registries
from deft_env.episode import EpisodeKey, Status
from deft_experiments import config as cfg
from deft_experiments import images
from deft_experiments.errors import UsageError
from deft_experiments.parts import named
from deft_experiments.playing import stored_outcomes
from deft_experiments.run_episode import episode_name
from deft_experiments.store import Store


@dataclass(frozen=True)
class Args:
    """Scores a run's episodes again and compares; the run itself is left as it is.

    Writes rescored-REWARD.json beside the store. Episodes whose pictures were not kept are left out.

    Attributes:
        folder: the folder of one `deft tune`.
        reward: what scores; `deft list rewards`.
        reward_config: its options, NAME=VALUE or a JSON file.
        weights: NAME=PATH of weights that it needs.
        json: print the result as JSON.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    reward: str
    reward_config: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


class _Named:
    """As much of a run as the frame keeper looks at."""

    def __init__(self, run: str) -> None:
        self.id = run


def rescore(args: Args) -> dict[str, Any]:
    """The old and the new reward of every episode that has pictures.

    Raises:
        UsageError: for no single run, an unknown reward, or one that needs a person.
    """
    reward = named(
        lambda: registries.make_reward(
            args.reward, cfg.parse_options(args.reward_config, "--reward-config"), cfg.parse_weights(args.weights)
        )
    )
    if reward.needs_operator:
        raise UsageError(f"--reward {args.reward}: a person scores with `deft console {args.folder}`")
    with Store(args.folder, "r") as store:
        runs = store.runs()
        if len(runs) != 1:
            raise UsageError(f"{args.folder}: expected the folder of one `deft tune`, found {len(runs)} runs in it")
        rows = store.rows("SELECT * FROM episodes WHERE run = ? ORDER BY k", runs)
        config = cfg.RunConfig.from_dict(store.run(runs[0])[0])
    keeper = images.FrameKeeper(args.folder / "frames", "all")
    task = named(lambda: registries.make_task(config.task))
    out = []
    for row in rows:
        key, name = EpisodeKey(config.task, "train", "train", config.seed, int(row["k"])), episode_name(int(row["k"]))
        run: Any = _Named(runs[0])
        failed = row["status"] == Status.FAILED
        if row["voided"] or not (failed or keeper.path(run, name, "last").is_file()):
            continue
        payload = {
            "executed_grasp": json.loads(row["executed_grasp"]),
            "status": row["status"],
            "reason": row["reason"],
            "success": None if row["success"] is None else bool(row["success"]),
            "score": row["score"],
            "subgoals": json.loads(row["subgoals"] or "{}"),
        }
        frames, outcomes = stored_outcomes([(run, name)], [payload], [key], keeper)
        try:
            new = float(reward(frames, outcomes, task)[0])
        except ValueError as error:
            raise UsageError(f"--reward {args.reward}: {error}") from error
        out.append({"k": key.k, "status": row["status"], "success": row["success"], "old": row["reward"], "new": new})
    result = {"run": runs[0], "old_reward": config.reward, "new_reward": args.reward, "episodes": out}
    return {**result, "rank_correlation": _agreement(out, reward.higher_is_better)}


def _agreement(rows: list[dict[str, Any]], higher_is_better: bool) -> float | None:
    """Spearman's rank correlation of old and new reward; None where one of them does not vary."""
    pairs = [(r["old"], r["new"]) for r in rows if r["old"] is not None]
    if len({a for a, _ in pairs}) < 2 or len({b for _, b in pairs}) < 2:
        return None
    from scipy.stats import spearmanr

    value = float(spearmanr(*zip(*pairs, strict=True)).statistic) * (1.0 if higher_is_better else -1.0)
    return value if math.isfinite(value) else None


def run(args: Args) -> int:
    """Scores, writes, prints."""
    result = rescore(args)
    if not result["episodes"]:
        raise UsageError(f"{args.folder}: no episode has kept pictures; tune with --keep-frames all")
    path = args.folder / f"rescored-{args.reward.replace(':', '_')}.json"
    text = json.dumps(result, indent=1, sort_keys=True)
    images.write_atomically(path, lambda file: file.write(text.encode()))
    if args.json:
        print(text)
        return 0
    for row in result["episodes"]:
        old = "none" if row["old"] is None else f"{row['old']:.3f}"
        print(f"episode {row['k'] + 1:3}  {result['old_reward']} {old:>6}  {result['new_reward']} {row['new']:.4f}")
    print(f"rank correlation: {result['rank_correlation']}; wrote {path}", file=sys.stderr)
    return 0
