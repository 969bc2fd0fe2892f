"""What fine-tuning adds to a prior, task by task: ``python -m deft_experiments.finetuned SWEEP --out PAGE``.

Reads a folder of ``deft bench`` (say, with ``--prior affordance``) and plays nothing: success of the prior alone and
of every policy after the last evaluated episode, on the same scenes, and their difference paired by seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro

from deft_env import registries
from deft_experiments import statistics, summary
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.evidence import cell_text, gain
from deft_experiments.images import write_text
from deft_experiments.store import Store


@dataclass(frozen=True)
class Args:
    """Writes the page.

    Attributes:
        folder: the sweep.
        out: the page.
    """

    folder: tyro.conf.Positional[Path]
    out: Path = field(default=Path("docs/affordance-finetuned.md"))


def _settings(store: Store) -> tuple[str, str, str]:
    """Prior, reward and stand-ins of the sweep's runs, in words."""
    seen = [store.run(run) for run in store.runs()]
    configs = [config for config, _ in seen]
    stand_ins = sorted({word for _, told in seen for word in told.get("stand_ins", [])})
    priors, rewards = ({str(c[name]) for c in configs} for name in ("prior", "reward"))
    return ", ".join(sorted(priors)), ", ".join(sorted(rewards)), ", ".join(stand_ins) or "none"


def pooled(store: Store, policy: str, after: int, split: str) -> statistics.Interval | None:
    """Mean over tasks of policy minus prior alone, by seed (every task weighs the same); None without two seeds."""
    rows = store.rows(
        "SELECT task, seed, policy, avg(success_rate) AS rate FROM evaluations"
        " WHERE split = ? AND ((policy = ? AND after = ?) OR (policy = ? AND after = 0)) GROUP BY task, seed, policy",
        (split, policy, after, PRIOR_ALONE),
    )
    rate = {(row["task"], row["seed"], row["policy"]): row["rate"] for row in rows}
    tasks, seeds = {task for task, _, _ in rate}, sorted({seed for _, seed, _ in rate})
    whole = [s for s in seeds if all((t, s, p) in rate for t in tasks for p in (policy, PRIOR_ALONE))]
    if len(whole) < 2:
        return None
    return statistics.t_interval(
        np.array([np.mean([rate[t, s, policy] - rate[t, s, PRIOR_ALONE] for t in tasks]) for s in whole])
    )


def page(folder: Path) -> list[str]:
    """The page's lines.

    Raises:
        ValueError: if the sweep has evaluated no policy, or one policy after several searches.
    """
    with Store(folder, "r") as store:
        cells = summary.cells(store)
        policies = sorted({(c.search, c.policy) for c in cells if c.policy != PRIOR_ALONE})
        if not policies:
            raise ValueError(f"folder: {folder} holds no evaluated policy; run deft bench with --trials")
        if len({policy for _, policy in policies}) < len(policies):
            raise ValueError(
                f"folder: expected each policy after one search, {folder} holds {policies}; bench them apart"
            )
        after = max(c.after for c in cells)
        prior, reward, stand_ins = _settings(store)
        some = next(c for c in cells if c.policy != PRIOR_ALONE)
        lines = [
            f"# What fine-tuning adds to the prior `{prior}`",
            "",
            f"Success after {after} episodes with reward `{reward}`, {some.seeds} seeds × {some.trials} trials a"
            " split, the same",
            f"scenes for every column, 95 % t intervals over seeds. Stand-ins, not the real thing: {stand_ins}.",
            "Written by `python -m deft_experiments.finetuned` from a sweep of `deft bench`.",
            "",
        ]
        names = [f"{search}+{policy}" for search, policy in policies]
        head = ["task", "objects", "prior alone", *names, *(f"{name} − prior" for name in names)]
        lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        at = {(c.task, c.split, c.search, c.policy): c for c in cells if c.after in (0, after)}
        for task in (t for t in registries.TASK_WORDS if any(c.task == t for c in cells)):
            for split in ("train", "test"):
                zero = next((c for k, c in at.items() if k[:2] == (task, split) and c.policy == PRIOR_ALONE), None)
                if zero is None:
                    continue
                row = [task, split, cell_text(zero)]
                row += [cell_text(at.get((task, split, search, policy))) for search, policy in policies]
                row += [gain(store, task, split, policy, after) for _, policy in policies]
                lines.append("| " + " | ".join(row) + " |")
        lines += ["", "Mean over the tasks, every task weighing the same:", ""]
        for (_, policy), name in zip(policies, names, strict=True):
            for split in ("train", "test"):
                found = pooled(store, policy, after, split)
                if found is not None:
                    span = f"{found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
                    lines.append(f"* {name} minus the prior alone, {split} objects: {span}")
    return lines


def main(args: Args) -> None:
    """Writes the page."""
    write_text(args.out, "\n".join(page(args.folder)) + "\n")
    print(f"-> {args.out}")


if __name__ == "__main__":
    main(tyro.cli(Args))
