"""Stable-Baselines3: its checker, its VecEnv, a short training."""

import sys
import warnings
from typing import Any

import numpy as np
import pytest

from deft_env import grasp, sb3
from deft_env.env import GraspEnv, GraspVectorEnv

KEYWORDS: dict[str, Any] = {"rig": "landscape"}


def test_scaled_spaces_need_no_library() -> None:
    env = sb3.make("deft/PickCup-v0", images=False, **KEYWORDS)
    plain = GraspEnv("PickCup", images=False, **KEYWORDS)
    seen, _ = env.reset(seed=3)
    raw, _ = plain.reset(seed=3)
    np.testing.assert_allclose(
        seen, (raw["prior"] - (grasp.HIGH + grasp.LOW) / 2) / ((grasp.HIGH - grasp.LOW) / 2), rtol=1e-5
    )
    action = np.linspace(-1, 1, 22, dtype=np.float32)
    reward, info = env.step(action)[1::3]
    assert reward == plain.step(action.astype(np.float64) * grasp.RESIDUAL_HIGH)[1]
    assert info["is_success"] == info["success"]


def test_depth_is_quantised_and_holes_stay() -> None:
    depth = np.array([0.0, 0.0049, 0.5, 5.0], np.float32).reshape(2, 2, 1)
    seen = sb3.scale_observation({"prior": np.zeros(22), "image": np.zeros((2, 2, 3), np.uint8), "depth": depth})
    np.testing.assert_array_equal(seen["depth"].ravel(), [0, 1, 100, 255])
    assert seen["depth"].dtype == np.uint8


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("stable_baselines3")] + ["deft_env._sb3_vec"]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ImportError, match=r"pip install 'deft-hand\[sb3\]'"):
        sb3.make("PickCup", num_envs=2, images=False, **KEYWORDS)


@pytest.mark.parametrize("images", [True, False])
def test_its_checker_is_content_without_a_warning(images: bool) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(sb3.make("PickCup", images=images, **KEYWORDS))


def test_the_vec_env_is_the_batch() -> None:
    pytest.importorskip("stable_baselines3")
    envs = sb3.make("PickCup", num_envs=4, images=False, **KEYWORDS)
    batch = GraspVectorEnv("PickCup", num_envs=4, images=False, **KEYWORDS)
    envs.seed(20)
    first = envs.reset()
    raw, _ = batch.reset(seed=20)
    np.testing.assert_array_equal(first, sb3.scale_observation(raw))
    actions = np.random.default_rng(0).uniform(-1, 1, (4, 22)).astype(np.float32)
    seen, rewards, dones, infos = envs.step(actions)
    theirs = batch.step(sb3.unscale_action(actions))
    np.testing.assert_array_equal(rewards, theirs[1].astype(np.float32))
    np.testing.assert_array_equal(seen, sb3.scale_observation(theirs[0]))
    assert dones.all()
    assert [info["key"] for info in infos] == list(theirs[4]["final_info"]["key"])
    assert [info["key"] for info in envs.reset_infos] == list(theirs[4]["key"])
    np.testing.assert_array_equal(infos[2]["terminal_observation"], sb3.scale_observation(theirs[4]["final_obs"][2]))
    assert isinstance(infos[0]["success"], bool)
    assert infos[0]["is_success"] == infos[0]["success"]
    assert isinstance(infos[0]["subgoals"], dict)
    assert not infos[0]["TimeLimit.truncated"]
    envs.close()


@pytest.mark.parametrize("images", [True, False])
def test_training_runs(images: bool) -> None:
    library = pytest.importorskip("stable_baselines3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if images:
            envs = sb3.make("PickCup", num_envs=2, **KEYWORDS)
            model = library.PPO("MultiInputPolicy", envs, n_steps=2, batch_size=4, n_epochs=1, seed=0, device="cpu")
            model.learn(4)
        else:
            envs = sb3.make("PickCup", num_envs=10, images=False, **KEYWORDS)
            model = library.PPO("MlpPolicy", envs, n_steps=2, batch_size=20, seed=0, device="cpu")
            model.learn(100)
    assert model.num_timesteps >= (4 if images else 100)
    action, _ = model.predict(envs.reset(), deterministic=True)
    assert action.shape[1:] == (22,)
