"""The page of what fine-tuning adds to a prior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deft_experiments import finetuned, sweep
from deft_experiments.config import RunConfig
from deft_experiments.store import Store


def played(folder: Path, agents: list[str]) -> Path:
    base = RunConfig(task="PickCup", rig="landscape", episodes=12)
    plan = sweep.Plan(tuple(sweep.jobs(base, agents, ["PickCup", "OpenDrawer"], 3)), 4, (12,))
    sweep.run_sweep(plan, folder, 1, lambda n: None)
    return folder


def test_columns_are_the_policies_beside_the_prior_alone(tmp_path: Path) -> None:
    folder = played(tmp_path / "sweep", ["cem+elite-mean", "cem+best-seen"])
    out = tmp_path / "page.md"
    finetuned.main(finetuned.Args(folder, out))
    text = out.read_text()
    assert "| task | objects | prior alone | cem+best-seen | cem+elite-mean |" in text
    assert text.count("\n| PickCup | ") == text.count("\n| OpenDrawer | ") == 2
    assert "rig 'landscape'" in text
    assert "3 seeds × 4 trials" in text
    with Store(folder, "r") as store:
        rows = store.rows(
            "SELECT policy, avg(success_rate) AS rate FROM evaluations WHERE split = 'train' GROUP BY policy"
        )
        rate = {row["policy"]: row["rate"] for row in rows}
        found = finetuned.pooled(store, "elite-mean", 12, "train")
    assert found is not None
    assert np.isclose(found.estimate, rate["elite-mean"] - rate["prior"])


def test_policies_of_two_searches_stand_side_by_side(tmp_path: Path) -> None:
    folder = played(tmp_path / "sweep", ["cem+elite-mean", "random+best-seen"])
    lines = finetuned.page(folder)
    assert any("| cem+elite-mean | random+best-seen |" in line for line in lines)
    with Store(folder, "r") as store:
        found = finetuned.pooled(store, "best-seen", 12, "test")
    assert found is not None
    assert f"* random+best-seen minus the prior alone, test objects: {found.estimate:+.3f}" in "\n".join(lines)


def test_one_policy_after_two_searches_is_refused(tmp_path: Path) -> None:
    folder = played(tmp_path / "sweep", ["cem+elite-mean", "random+elite-mean"])
    with pytest.raises(ValueError, match="after one search"):
        finetuned.page(folder)
