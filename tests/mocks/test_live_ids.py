"""A ``Live`` id through Gymnasium on the mock rig: camera, affordance prior, arm, hand, and a person who scores."""

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("torch")

import deft_env  # noqa: F401 - registers the ids
from deft_env import grasp
from deft_env.rigs.real.rig import RealRig
from deft_env.rigs.real.rig_config import RealRigConfig
from deft_mocks.rig import MockRig
from deft_mocks.rig_faults import Person


def test_a_live_episode_from_the_camera_to_the_persons_score():
    with MockRig("PickCup") as mock:
        person = Person(mock.config()["operator"]["address"])
        with RealRig(RealRigConfig(file=str(mock.config_path)), operator=person) as rig:
            env = gym.make("deft/PickCupLive-v0", rig=rig, disable_env_checker=True)
            observation, info = env.reset(seed=1)
            xi = np.asarray(observation["prior"])
            assert env.observation_space.contains(observation)
            assert (grasp.WORKSPACE_LOW_M[:2] < xi[:2]).all()
            assert (xi[:2] < grasp.WORKSPACE_HIGH_M[:2]).all()
            _, reward, terminated, truncated, info = env.step(np.zeros(grasp.DIM))
            env.close()
    assert terminated
    assert not truncated
    assert info["status"] in ("completed", "failed")
    assert 0.0 <= reward <= 1.0
    if info["status"] == "completed":
        assert isinstance(info["success"], bool | np.bool_)
        assert reward == pytest.approx(info["score"])
