"""``deft tune --rig real`` as a user types it, shortened: vendor SDKs, mock rig, scripted person, store, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xarm")
pytest.importorskip("dynamixel_sdk")

from deft_experiments.cli import main
from deft_experiments.store import Store
from deft_mocks.rig import MockRig


def _result(text: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(text[text.index("{\n") :])
    return data


def test_tune_against_the_mock_rig(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    with MockRig("PickCup", folder=tmp_path / "rig") as mock:
        words = ["tune", "PickCup", "--rig", "real", "--rig-config", str(mock.config_path), "--reward", "human"]
        assert main([*words, "--episodes", "3", "--no-eval", "--out", str(out), "--json"]) == 0
        training = _result(capsys.readouterr().out)["training"]
        assert len(training["rewards"]) == 3
        # A second session finishes with an evaluation; the run itself is not touched again.
        assert main(["tune", "--resume", str(out), "--eval-trials", "1", "--json"]) == 0
        assert _result(capsys.readouterr().out)["training"]["rewards"] == training["rewards"]
    with Store(out, "r") as store:
        (run,) = store.runs()
        kinds = [e.kind for e in store.events(run) if e.role == "train"]
        assert kinds == [*["asked", "executed", "scored", "told"] * 3]
    assert len(list((out / "frames").rglob("*-first.npz"))) >= 3
    assert (out / "report.html").is_file()


def test_wrong_configurations_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rig.yaml"
    pose = json.dumps({"T_base_cam": np.eye(4).tolist()})
    file.write_text(f"arm: {{ip: 127.0.0.1, sped: 3}}\ncamera: {pose}\n")
    words = ["tune", "PickCup", "--rig", "real", "--reward", "human", "--out", str(tmp_path / "run"), "--rig-config"]
    assert main([*words, str(file)]) == 2
    assert "unknown key 'sped'" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "none.yaml")]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
