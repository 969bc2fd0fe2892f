"""Episode keys and the seeding of everything random."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft_env.episode import (
    ROLES,
    SPLITS,
    Context,
    EpisodeKey,
    Frame,
    Status,
    Trial,
    agent_generator,
    generator,
    jsonable,
)

keys = st.builds(
    EpisodeKey,
    st.from_regex(r"[A-Za-z]{1,12}", fullmatch=True),
    st.sampled_from(SPLITS),
    st.sampled_from(ROLES),
    st.integers(0, 2**40),
    st.integers(0, 10**6),
)


@given(keys)
def test_key_round_trip(key: EpisodeKey) -> None:
    assert EpisodeKey.parse(str(key)) == key


@given(keys, keys, st.sampled_from(["scene", "perception", "judge"]))
def test_streams_are_functions_of_key_and_purpose(a: EpisodeKey, b: EpisodeKey, purpose: str) -> None:
    draw = a.generator(purpose).random(4)
    np.testing.assert_array_equal(draw, a.generator(purpose).random(4))
    assert not np.array_equal(draw, a.generator(purpose + "'").random(4))
    if a != b:
        assert not np.array_equal(draw, b.generator(purpose).random(4))


def test_words_do_not_run_into_each_other() -> None:
    assert generator("ab", "c").random() != generator("a", "bc").random()


def test_streams_are_the_same_in_another_process() -> None:
    code = "from deft_env.episode import generator; print(generator('episode', 3, 'scene').random(3).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == generator("episode", 3, "scene").random(3).tolist()


def test_agents_share_draws() -> None:
    assert agent_generator(3, "ask").random() == agent_generator(3, "ask").random()
    assert agent_generator(3, "ask").random() != agent_generator(4, "ask").random()


@pytest.mark.parametrize(
    ("field", "value"),
    [("task", ""), ("task", "a/b"), ("split", "validation"), ("role", "play"), ("seed", -1), ("k", -1), ("k", True),
     ("seed", 0.0)],
)  # fmt: skip
def test_bad_keys_name_the_field(field: str, value: Any) -> None:
    fields = {"task": "PickCup", "split": "train", "role": "train", "seed": 0, "k": 0, field: value}
    with pytest.raises(ValueError, match=field):
        EpisodeKey(**fields)


@pytest.mark.parametrize(
    "text", ["", "PickCup", "PickCup/train/train/0", "PickCup/train/train/0/-1", "a/train/eval/x/1"]
)
def test_bad_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="task/split/role/seed/k"):
        EpisodeKey.parse(text)


def test_which_statuses_count() -> None:
    assert {status for status in Status if status.counts} == {Status.COMPLETED, Status.FAILED}


def test_frames_trials_and_contexts_are_checked() -> None:
    rgb, depth = np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.float32)
    Frame(rgb, depth, np.eye(3), np.eye(4))
    with pytest.raises(ValueError, match="rgb"):
        Frame(rgb[:100], depth, np.eye(3), np.eye(4))
    with pytest.raises(ValueError, match="depth_m"):
        Frame(rgb, depth.astype(np.float64), np.eye(3), np.eye(4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="T_base_cam"):
        Frame(rgb, depth, np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match="prior"):
        Context(np.full(22, np.nan))
    with pytest.raises(ValueError, match="features"):
        Context(np.zeros(22), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="residual"):
        Trial(0, np.zeros(21), Context(np.zeros(22)))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_json_keeps_every_bit(values: list[float]) -> None:
    array = np.array(values)
    assert json.loads(json.dumps(jsonable({"a": array, "s": Status.FAILED}))) == {"a": values, "s": "failed"}
