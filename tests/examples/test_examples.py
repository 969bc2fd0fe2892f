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


@pytest.fixture
def installed(tmp_path):
    """An environment in which the example package is installed as pip would: a module and its metadata."""
    source = EXAMPLES / "third_party_agent"
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, parts in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in parts.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(source), os.environ.get("PYTHONPATH", "")])}


def test_third_party_agent_is_listed(installed):
    command = [sys.executable, "-m", "deft_experiments.cli", "list", "agents"]
    listed = subprocess.run(command, env=installed, capture_output=True, text=True, timeout=120)
    assert listed.returncode == 0, listed.stderr
    assert "one-fifth" in listed.stdout
    if importlib.util.find_spec("deft_one_fifth") is None:  # who follows the example's README has installed it
        plain = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert "one-fifth" not in plain.stdout


def test_third_party_agent_passes_the_contract_suite(installed):
    tests = EXAMPLES / "third_party_agent" / "tests"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
