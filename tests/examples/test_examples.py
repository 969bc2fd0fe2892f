"""The examples do what they say."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_sb3_training_learns_and_its_model_can_be_used(tmp_path):
    pytest.importorskip("stable_baselines3")
    from stable_baselines3 import PPO

    spec = importlib.util.spec_from_file_location("train_sb3", EXAMPLES / "train_sb3.py")
    train_sb3 = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train_sb3)
    out = tmp_path / "ppo.zip"
    result = train_sb3.train("PickCup", 2048, 32, 0, "landscape", out, rounds=8)
    assert result["episodes"] == 2048
    assert result["after"] > result["before"] + 0.05
    action, _ = PPO.load(out, device="cpu").predict(np.zeros(22, np.float32), deterministic=True)
    assert action.shape == (22,)
    assert np.abs(action).max() > 0


def _install(name, folder):
    """The environment of a process in which an example package is installed as pip would: modules and metadata."""
    source = EXAMPLES / name
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, parts in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in parts.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(source), os.environ.get("PYTHONPATH", "")])}


def _run(environment, *words):
    command = [sys.executable, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("package", "module", "names"),
    [
        ("third_party_agent", "deft_one_fifth", ("one-fifth",)),
        ("third_party_parts", "tomato_task", ("PickTomato", "thirds", "shifted")),
    ],
)
def test_third_parties_parts_are_listed(package, module, names, tmp_path):
    listed = _run(_install(package, tmp_path), "-m", "deft_experiments.cli", "list")
    assert [name for name in names if name not in listed] == []
    if importlib.util.find_spec(module) is None:  # who follows the examples' README has installed it
        plain = _run(None, "-m", "deft_experiments.cli", "list")
        assert [name for name in names if name in plain] == []


def test_a_third_partys_task_has_a_gymnasium_id(tmp_path):
    code = "import gymnasium, deft_env; print(gymnasium.make('deft/PickTomato-v0', images=False).reset(seed=0)[1])"
    assert "toy_tomato" in _run(_install("third_party_parts", tmp_path), "-c", code)


@pytest.mark.parametrize("package", ["third_party_agent", "third_party_parts"])
def test_third_parties_parts_pass_the_contract_suites(package, tmp_path):
    tests = EXAMPLES / package / "tests"
    assert " passed" in _run(_install(package, tmp_path), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests))
