"""The rig's file: unknown keys, wrong types and contradictions are errors that name section and key."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deft_env.rigs.real.hand import MotorMap
from deft_env.rigs.real.rig_config import RealRigConfig, settings
from deft_env.rigs.real.rig_file import load_file
from deft_env.sim import robot

GOOD: dict[str, Any] = {"arm": {"ip": "192.168.1.185"}, "camera": {"T_base_cam": np.eye(4).tolist()}}


def _with(**sections: Any) -> RealRigConfig:
    return RealRigConfig(**{**GOOD, **sections})


def test_defaults_fit_the_hand() -> None:
    s = settings(_with())
    assert s.arm.tool_offset_m == robot.GRASP_SITE_FROM_FLANGE_M
    assert s.operator == ("terminal", {})
    assert s.source[0] == "pipeline"
    assert s.motor_map.source == "nominal"


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"arm": {"ip": "1.2.3.4", "speeed": 1}}, "arm: unknown key 'speeed'"),
        ({"arm": {}}, "arm"),
        ({"arm": {"ip": "somewhere"}}, "arm: ip"),
        ({"hand": {"baud": "fast"}}, "hand.baud: expected int"),
        ({"hand": {"motors": [{"name": "index_side", "id": 1, "sgn": 1}]}}, "motors[0]: unknown key 'sgn'. "),
        ({"camera": {}}, "camera: give either calibration"),
        ({"camera": {"T_base_cam": [[1, 2], [3, 4]]}}, "T_base_cam: expected four rows"),
        ({"safety": {"max_speed_m_s": -1}}, "safety: max_speed_m_s"),
        ({"motion": {"paced": "yes"}}, "motion.paced: expected bool"),
        ({"motion": {"parked_rad": [0, 0]}}, "parked_rad"),
        ({"judge": "sometimes"}, "judge"),
    ],
)
def test_mistakes_are_named(sections: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as error:
        settings(_with(**sections))
    assert words.rstrip(". ") in str(error.value)


@pytest.mark.parametrize("suffix", [".yaml", ".json", ".toml"])
def test_files_of_three_kinds_and_paths_beside_them(tmp_path: Path, suffix: str) -> None:
    MotorMap.nominal().save(tmp_path / "hand.json")
    file = tmp_path / f"rig{suffix}"
    rows = np.eye(4).tolist()
    if suffix == ".toml":
        text = f'[arm]\nip = "10.0.0.2"\n[hand]\nmotor_map = "hand.json"\n[camera]\nT_base_cam = {rows}\n'
    else:  # JSON is YAML
        text = json.dumps(
            {"arm": {"ip": "10.0.0.2"}, "hand": {"motor_map": "hand.json"}, "camera": {"T_base_cam": rows}}
        )
    file.write_text(text)
    s = settings(RealRigConfig(file=str(file)))
    assert s.arm.ip == "10.0.0.2"
    assert np.array_equal(s.motor_map.knots_rad, MotorMap.nominal().knots_rad)


def test_a_bad_file_says_what_is_wrong(tmp_path: Path) -> None:
    for name, text, words in (
        ("a.yaml", "arm: [", "no YAML"),
        ("b.yaml", "- 1", "expected sections"),
        ("c.yaml", "amr: {}", "unknown key 'amr'"),
        ("d.txt", "", "ending in"),
        ("e.yaml", "file: b.yaml", "cannot name another"),
        ("f.yaml", "arm: !!python/object/apply:os.system ['true']", "no YAML"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=words):
            settings(RealRigConfig(file=str(tmp_path / name)))
    with pytest.raises(ValueError, match="cannot read"):
        load_file(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="nothing else may be given, got stand_in"):
        settings(dataclasses.replace(RealRigConfig(file="x.yaml"), stand_in=True))


def test_without_the_sdks_the_error_names_the_extra(tmp_path: Path) -> None:
    """In a process of its own: the rig is made, listed and refused with words, and nothing else is in the way."""
    script = """
import sys
import numpy as np
for name in ("xarm", "dynamixel_sdk", "pyrealsense2", "yaml", "fastapi", "uvicorn"):
    sys.modules[name] = None
from deft_env import registries
from deft_env.rigs.real.rig_config import RealRigConfig, settings
rig = registries.make_rig("real", {"arm": {"ip": "10.0.0.1"}, "camera": {"T_base_cam": np.eye(4).tolist()}})
for call in (rig.open, lambda: settings(RealRigConfig(file="rig.yaml"))):
    try:
        call()
    except ImportError as error:
        assert "deft-hand[hardware]" in str(error), error
    else:
        raise SystemExit("no ImportError")
from deft_experiments.console import ConsoleOperator
try:
    ConsoleOperator(port=0)
except ImportError as error:
    assert "deft-hand[console]" in str(error), error
else:
    raise SystemExit("no ImportError")
rig.close()
"""
    (tmp_path / "rig.yaml").write_text("arm: {}")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
