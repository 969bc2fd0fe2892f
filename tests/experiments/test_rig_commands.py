"""Commands around the real rig, against the mocks: doctor, dry-run, calibrate, console of a stored run, rescore."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xarm")
pytest.importorskip("dynamixel_sdk")

from deft_env.rigs.real.arm import xarm_kinematics
from deft_env.rigs.real.rig_motion import poses
from deft_env.sim import robot
from deft_experiments.cli import main
from deft_experiments.commands.calibrate import around, reachable
from deft_experiments.rig_doctor import check_rig
from deft_experiments.store import Store
from deft_mocks.rig import MockRig


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockRig]:
    with MockRig("PickCup", folder=tmp_path_factory.mktemp("rig")) as made:
        yield made


def test_doctor_finds_each_device_by_itself(mock: MockRig) -> None:
    before = mock.box.joints()
    found = {f.name: f for f in check_rig(mock.config_path)}
    assert [found[name].verdict for name in ("rig configuration", "arm", "hand", "camera")] == ["ok"] * 4
    assert found["motor map"].verdict == "missing"
    assert mock.bus is not None
    mock.bus.faults.dead.add(5)
    mock.box.fail(11)
    try:
        found = {f.name: f for f in check_rig(mock.config_path)}
    finally:
        mock.mend()
        mock.box.controller.clear_error()
    assert found["hand"].verdict == "broken"
    assert "middle_forward" in found["hand"].detail
    assert found["arm"].verdict == "broken"
    assert "joint 1" in found["arm"].detail
    assert "clear the error" in found["arm"].fix, "it answers: cables are not the trouble"
    assert found["camera"].verdict == "ok"
    assert np.array_equal(mock.box.joints(), before), "nothing moved"
    assert mock.at_rest(), "no motor was switched on"


def test_a_rig_that_is_not_calibrated_yet(mock: MockRig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = mock.config()
    del config["camera"]["T_base_cam"]
    config["camera"]["calibration"], config["hand"]["motor_map"] = "camera.json", "hand.json"
    (tmp_path / "rig.json").write_text(json.dumps(config))
    rig = str(tmp_path / "rig.json")
    found = {f.name: f for f in check_rig(tmp_path / "rig.json")}
    assert [found[name].verdict for name in ("rig configuration", "arm", "hand", "camera")] == ["ok"] * 4
    assert (found["camera pose"].verdict, found["motor map"].verdict) == ("missing", "missing")
    assert "no run can start" in found["motor map"].detail
    for what, words in (("camera", "the board is not in view"), ("hand", "markers not seen")):
        assert main(["calibrate", what, "--rig-config", rig, "--yes"]) == 1
        assert words in capsys.readouterr().err
    assert main(["dry-run", "PickCup", "--rig-config", rig]) == 2
    assert "there is no such file; `deft calibrate camera` writes it" in capsys.readouterr().err


def test_doctor_reads_the_file_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rig.yaml").write_text("arm: {ip: 10.0.0.1}\nhnad: {}\n")
    assert main(["doctor", "--rig-config", str(tmp_path / "rig.yaml"), "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)
    assert "unknown key 'hnad'" in finding["detail"]


def test_dry_run_moves_nothing_and_refuses_what_the_rig_would(
    mock: MockRig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = mock.box.joints()
    words = ["dry-run", "PickCup", "--rig-config", str(mock.config_path), "--out", str(tmp_path / "plan.png")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "trajectory" in out
    assert (tmp_path / "plan.png").stat().st_size > 5000
    slow = json.loads(mock.config_path.read_text()) | {"safety": {"table_margin_m": 0.2}}
    (tmp_path / "slow.json").write_text(json.dumps(slow))
    assert main(["dry-run", "PickCup", "--rig-config", str(tmp_path / "slow.json"), "--out", ""]) == 1
    assert "refused: table" in capsys.readouterr().out
    assert np.array_equal(mock.box.joints(), before)


def test_calibration_says_what_it_does_not_see(mock: MockRig, capsys: pytest.CaptureFixture[str]) -> None:
    for what, words in (("camera", "the board is not in view"), ("hand", "markers not seen with the hand open: palm")):
        assert main(["calibrate", what, "--rig-config", str(mock.config_path), "--yes"]) == 1
        assert words in capsys.readouterr().err
        assert mock.at_rest()


def test_calibration_postures_turn_about_every_axis_and_are_reached() -> None:
    start = np.array([0.0, -0.6, -1.0, 0.0, 1.6, 0.0])
    T = poses(start[None])[0]
    todo = reachable(around(T), start)
    assert len(todo) >= 10
    for pose, q in todo:
        flange = xarm_kinematics.forward(q)
        site = flange[:3, 3] + flange[:3, :3] @ np.array(robot.GRASP_SITE_FROM_FLANGE_M)
        assert np.allclose(site, pose[:3, 3], atol=1e-4)
    turns = np.stack([T[:3, :3].T @ pose[:3, :3] for pose, _ in todo])
    assert np.abs(turns[:, [2, 0, 1], [1, 2, 0]]).max(axis=0).min() > 0.15


def test_a_stored_run_is_scored_again_and_corrected(
    mock: MockRig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastapi")
    out = tmp_path / "run"
    tune = ["tune", "PickCup", "--rig", "real", "--rig-config", str(mock.config_path), "--reward", "human"]
    assert main([*tune, "--episodes", "2", "--no-eval", "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["rescore", str(out), "--reward", "resnet18-random", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["k"] for row in result["episodes"]] == [0, 1]
    assert json.loads((out / "rescored-resnet18-random.json").read_text()) == result

    done: list[int] = []
    thread = threading.Thread(
        target=lambda: done.append(main(["console", str(out), "--episodes", "2", "--port", "0"])), daemon=True
    )
    thread.start()
    url = ""
    for _ in range(400):
        url += capsys.readouterr().err
        if "token=" in url and url.endswith("\n"):
            break
        thread.join(0.05)
    base, _, token = url.split("page: ")[1].strip().partition("/?token=")

    def call(path: str, data: Any = None) -> Any:
        headers = {"Cookie": f"deft_console={token}", "Origin": base, "X-Deft-Console": "1"}
        body = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(urllib.request.Request(base + path, body, headers), timeout=30) as answer:
            return json.load(answer)

    for _ in range(200):
        if call("/api/state")["phase"] == "score":
            break
        thread.join(0.05)
    state = call("/api/state")
    assert (state["k"], state["pictures"]) == (1, ["first", "last"]) or state["pictures"] == ["first"]
    assert call("/api/do/score", {"k": 1, "score": 0.75, "success": True}) == {"saved": True}
    thread.join(20)
    assert done == [0]
    with Store(out, "r") as store:
        (run,) = store.runs()
        last = store.events(run)[-1]
    assert (last.kind, last.k, last.payload["reward"], last.payload["success"]) == ("scored", 1, 0.75, True)


def test_the_real_rig_needs_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["PickCup", "--rig", "real", "--reward", "human", "--out", str(tmp_path / "run")]
    assert main(["tune", *words]) == 2
    assert "--rig-config rig.yaml is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["tune", "bench"])
def test_help_says_which_files_the_real_rig_takes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        main([command, "--help"])
    # Boxes and line breaks are the terminal's.
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "NAME=VALUE or a JSON file; for the real rig its YAML, TOML or JSON file" in words
