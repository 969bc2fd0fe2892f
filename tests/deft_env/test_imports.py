"""What an import may not do: pull in heavy libraries, or take long."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = ("torch", "mujoco", "torchvision", "scipy", "ray", "fastapi", "stable_baselines3", "PIL", "matplotlib", "rich")
CODE = """
import sys, json
import {module}
print(json.dumps(sorted(set({heavy!r}) & set(sys.modules))))
"""


def loaded(module: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    code = CODE.format(module=module, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "module",
    ["deft_env", "deft_env.env", "deft_env.registries", "deft_env.testing", "deft_env.sb3", "deft_env.prior",
     "deft_env.rewards", "deft_env.encoders", "deft_mocks.landscape"],
)  # fmt: skip
def test_nothing_heavy_is_imported(module: str) -> None:
    assert loaded(module) == []


def test_a_whole_landscape_episode_needs_neither_torch_nor_mujoco() -> None:
    module = "gymnasium, deft_env; e = gymnasium.make('deft/PickCup-v0', rig='landscape'); e.reset(seed=0); "
    assert loaded(module + "e.step(e.action_space.sample())", ("torch", "mujoco", "torchvision")) == []


def test_dependencies_point_one_way() -> None:
    assert loaded("deft_env.env", ("deft_agents", "deft_experiments", "deft_mocks")) == []


def test_every_folder_of_modules_is_installed() -> None:
    root = Path(__file__).parents[2]
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    names = {"experiments": "deft_experiments", "mocks": "deft_mocks"}
    for top in ("deft_env", "deft_agents", "experiments", "mocks"):
        for file in (root / top).rglob("*.py"):
            first, *rest = file.parent.relative_to(root).parts
            assert ".".join([names.get(first, first), *rest]) in listed
