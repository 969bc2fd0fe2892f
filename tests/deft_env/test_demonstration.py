"""Demonstration files: exact round trips, and nothing edited passes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deft_env.demonstration import FRAMES, SOURCES, Demonstration

displacements = arrays(np.float64, (40, 6), elements=st.floats(-1, 1))
demonstrations = st.builds(
    Demonstration,
    st.just("PickCup"),
    displacements,
    st.sampled_from(FRAMES),
    st.floats(-3, 3),
    st.just("goal.png"),
    st.sampled_from(SOURCES),
)


@given(demonstrations)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_round_trip(tmp_path: Path, demonstration: Demonstration) -> None:
    path = tmp_path / "demonstration.json"
    demonstration.save(path)
    again = Demonstration.load(path)
    np.testing.assert_array_equal(again.displacements, demonstration.displacements)
    assert again.hash == demonstration.hash
    assert (again.frame, again.yaw_rad, again.source) == (
        demonstration.frame,
        demonstration.yaw_rad,
        demonstration.source,
    )


@given(displacements, st.integers(0, 39), st.integers(0, 5))
def test_the_hash_follows_the_content(d: np.ndarray, row: int, column: int) -> None:
    other = d.copy()
    other[row, column] += 0.5
    assert Demonstration("PickCup", d).hash != Demonstration("PickCup", other).hash


def test_it_cannot_be_changed_from_outside() -> None:
    d = np.zeros((40, 6))
    demonstration = Demonstration("PickCup", d)
    d[0, 0] = 1.0
    assert demonstration.displacements[0, 0] == 0.0
    with pytest.raises(ValueError):
        demonstration.displacements[0, 0] = 1.0


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"displacements": np.zeros((39, 6))}, "displacements"),
        ({"displacements": np.full((40, 6), np.nan)}, "displacements"),
        ({"displacements": np.zeros((40, 6)), "frame": "camera"}, "frame"),
        ({"displacements": np.zeros((40, 6)), "source": "guess"}, "source"),
    ],
)
def test_bad_fields_are_named(fields: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Demonstration("PickCup", **fields)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "demonstration.json"
    Demonstration("PickCup", np.zeros((40, 6))).save(path)
    good = json.loads(path.read_text())
    broken = [
        "not json",
        "[]",
        json.dumps({**good, "extra": 1}),
        json.dumps({k: v for k, v in good.items() if k != "goal"}),
        json.dumps({**good, "yaw_rad": 0.5}),
        json.dumps({**good, "format": "other"}),
        path.read_text()[:200],
    ]
    for text in broken:
        path.write_text(text)
        with pytest.raises(ValueError, match=r"demonstration\.json"):
            Demonstration.load(path)
