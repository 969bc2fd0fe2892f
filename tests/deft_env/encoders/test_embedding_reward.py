"""Visual rewards: closer to the goal image is better, in its range, the same for any batch."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
from PIL import Image

from deft_env import observation
from deft_env.demonstration import Demonstration
from deft_env.encoders.encoder import ColourGrid
from deft_env.episode import FRAME_SHAPE, EpisodeKey, Frame, Outcome, Status
from deft_env.rewards.embedding import FARTHEST, EmbeddingReward, RandomResNet18Reward
from deft_env.rigs.rig import Frames

KEY = EpisodeKey("PickCup", "train", "eval", 0, 0)


def frame(value):
    rgb = np.full((*FRAME_SHAPE, 3), value, np.uint8)
    rgb[100:200, 250:400] = 255 - value
    return Frame(rgb, np.ones(FRAME_SHAPE, np.float32), np.eye(3), np.eye(4))


def outcome(value, status=Status.COMPLETED, picture=True):
    return Outcome(KEY, np.zeros(22), status, last_frame=(lambda: frame(value)) if picture else None)


def task(goal):
    demonstration = Demonstration("PickCup", np.zeros((40, 6)), goal=str(goal))
    return SimpleNamespace(name="PickCup", demonstration=demonstration)


@pytest.fixture
def goal(tmp_path):
    path = tmp_path / "goal.png"
    Image.fromarray(observation.image(frame(40))).save(path)
    return path


def frames(n):
    return Frames([KEY] * n, lambda i: frame(0))


@pytest.mark.parametrize("make", [lambda: EmbeddingReward(ColourGrid()), RandomResNet18Reward])
def test_nearer_pictures_get_more_and_rows_do_not_depend_on_the_batch(make, goal):
    reward = make()
    values = reward(frames(4), [outcome(40), outcome(50), outcome(200), outcome(0, Status.FAILED)], task(goal))
    assert values[0] == 0.0
    assert values[0] > values[1] > values[2] > values[3] == -FARTHEST
    assert values[1] == make()(frames(1), [outcome(50)], task(goal))[0]


def test_the_option_goal_wins_and_bad_goals_are_named(goal, tmp_path):
    reward = EmbeddingReward(ColourGrid(), goal=goal)
    assert reward(frames(1), [outcome(40)], task("none.png"))[0] == 0.0
    with pytest.raises(ValueError, match="goal=PATH"):
        EmbeddingReward(ColourGrid())(frames(1), [outcome(1)], task(""))
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        EmbeddingReward(ColourGrid())(frames(1), [outcome(1)], task("none.png"))
    (tmp_path / "broken.png").write_bytes(goal.read_bytes()[:60])
    with pytest.raises(ValueError, match="no readable picture"):
        EmbeddingReward(ColourGrid())(frames(1), [outcome(1)], task(tmp_path / "broken.png"))
    with pytest.raises(ValueError, match="no last picture"):
        reward(frames(1), [outcome(1, picture=False)], task(goal))


def test_a_goal_that_is_a_scene_is_played_on_the_rig():
    calls = []

    class Player:
        name = "fake"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            calls.append("closed")

        def reset_batch(self, keys):
            calls.append(str(keys[0]))
            return Frames(keys, lambda i: frame(0), [SimpleNamespace(human_grasp=np.full(22, 0.1))])

        def execute_batch(self, grasps, demonstrations):
            assert np.allclose(grasps[0], 0.1)
            return [outcome(40)]

    reward = EmbeddingReward(ColourGrid(), rig=Player())
    assert reward(frames(2), [outcome(40), outcome(60)], task("PickCup/train/reference/0/3"))[0] == 0.0
    assert calls == ["PickCup/train/reference/0/3", "closed"]
