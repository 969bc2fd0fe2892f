"""Data files of a task lie beside the module of its class, whoever's package that is."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from deft_env import registries
from deft_env.demonstration import Demonstration
from deft_experiments import reference

EXAMPLE = Path(__file__).parents[3] / "examples" / "third_party_parts" / "tomato_task.py"


@pytest.fixture
def tomato(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's task with its figures in files instead of methods, in a folder of its own."""
    file = Path(shutil.copy(EXAMPLE, tmp_path / "shipped_tomato.py"))
    spec = importlib.util.spec_from_file_location("shipped_tomato", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "shipped_tomato", module)
    spec.loader.exec_module(module)
    kind: Any = module.PickTomato
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pick_tomato.json").write_text(json.dumps(kind().data))
    kind().demonstration.save(tmp_path / "data" / "pick_tomato.demonstration.json")
    del kind.data, kind.demonstration
    return kind


def test_a_third_partys_task_ships_its_data(tomato: Any, tmp_path: Path) -> None:
    task = tomato()
    assert task.data_folder == tmp_path / "data"
    assert task.data["prior_error_sigma"]["common"] == {"mu_x": -1.5, "mu_z": 1.0}
    assert isinstance(task.demonstration, Demonstration)
    assert task.demonstration.displacements.shape == (40, 6)


def test_a_derived_class_without_files_takes_those_of_its_base() -> None:
    class Mine(registries.tasks.load("PickCup")):  # type: ignore[misc]
        pass

    assert Mine().data == registries.tasks.load("PickCup")().data


def test_the_search_refines_the_data_of_a_third_partys_task(
    tomato: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference.SimulatedRig, "task", lambda self, name: tomato())
    monkeypatch.setattr(
        reference, "play", lambda rig, task, keys, entries, noise: [_Played()] * len(keys) * len(entries)
    )
    found = reference.search(reference.Config("PickTomato", generations=1, population=4, scenes=1, check=1))
    kept = json.loads((tmp_path / "data" / "pick_tomato.json").read_text())
    assert kept["reference"]["default"] == found
    task = tomato()
    assert task.data["reference"]["default"] == found
    (tmp_path / "data" / "pick_tomato.json").unlink()
    tomato.data = task.data
    with pytest.raises(SystemExit, match="there is no"):
        reference.search(reference.Config("PickTomato", generations=1))


class _Played:
    success, score, status = True, 1.0, "completed"
