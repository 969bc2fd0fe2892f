"""The fault matrix: whatever goes wrong, the attempt is recorded under the right name, and no episode is lost."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("xarm")
pytest.importorskip("dynamixel_sdk")

from deft_mocks.rig_faults import FAULTS, RigFault

SAMPLE = (
    "collision",
    "controller error 22 ",
    "controller error 14 ",
    "TCP cut",
    "motor overload",
    "a lost packet",
    "camera unplugged",
    "stop pressed",
    "voids the scene",
    "never scores",
    "voids the episode",
)


def _driver() -> ModuleType:
    path = Path(__file__).with_name("fault_matrix.py")
    spec = importlib.util.spec_from_file_location("fault_matrix", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fault_matrix"] = module
    spec.loader.exec_module(module)
    return module


def _check(folder: Path, faults: list[RigFault], seed: int) -> None:
    driver = _driver()
    trials = driver.play(folder, faults, seed)
    text = driver.matrix(trials)
    print(text)
    assert len(trials) == len(faults)
    assert not [t for t in trials if t.wrong], text


def test_a_sample_of_the_matrix(tmp_path: Path) -> None:
    _check(tmp_path, [next(f for f in FAULTS if f.name.startswith(name)) for name in SAMPLE], seed=1)


PARTS = 7


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_whole_matrix(tmp_path: Path, part: int) -> None:
    """Seven times every row, at random moments: more than 500 trials."""
    assert PARTS * len(FAULTS) >= 500
    _check(tmp_path, list(FAULTS), seed=100 + part)
