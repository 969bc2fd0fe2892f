"""Whatever is wrong with what comes in, the error names it, and nothing is executed."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from deft_env import grasp
from deft_env.env import GraspEnv, GraspVectorEnv
from deft_env.prior.simulated import SimulatedPrior
from deft_env.registry import UnknownNameError
from deft_mocks.landscape import LandscapeRig

GOOD: dict[str, Any] = {"task": "PickCup", "rig": "landscape", "images": False}
_over = np.zeros(22)
_over[4] = 0.81
BAD_ACTIONS = [
    (np.full(22, np.nan), "finite"),
    (np.full(22, np.inf), "finite"),
    (np.zeros(21), "22 entries"),
    (np.zeros((2, 22)), "shape"),
    (0.0, "22 entries"),
    (_over, "wrist_pitch must lie within ±0.8 rad"),
    (np.full(22, -9.0), "mu_x must lie within ±0.08 m"),
]


@pytest.mark.parametrize(("action", "words"), BAD_ACTIONS)
def test_bad_actions_execute_nothing(action: Any, words: str) -> None:
    env = GraspEnv(**GOOD)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=rf"action.*{words}"):
        env.step(action)
    _, reward, *_ = env.step(np.zeros(22))  # the scene still waits
    assert 0.0 <= reward <= 1.0


@pytest.mark.parametrize("action", [np.zeros(22), np.full((2, 22), np.nan), np.full((2, 22), 1.0), np.zeros((3, 22))])
def test_bad_batches_execute_nothing(action: Any) -> None:
    envs = GraspVectorEnv(num_envs=2, **GOOD)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="action"):
        envs.step(action)
    envs.step(np.zeros((2, 22)))


def test_the_edge_of_the_box_in_float32_is_inside() -> None:
    env = GraspEnv(**GOOD)
    env.reset(seed=0)
    env.step(grasp.RESIDUAL_HIGH.astype(np.float32))


@pytest.mark.parametrize("maker", [GraspEnv, GraspVectorEnv])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"task": "PickCups"}, UnknownNameError, "unknown task 'PickCups'.*Did you mean 'PickCup'"),
        ({"rig": "simulate"}, UnknownNameError, "unknown rig 'simulate'.*Did you mean 'simulated'"),
        ({"prior": "oracle"}, UnknownNameError, "unknown prior 'oracle'"),
        ({"reward": "sucess"}, UnknownNameError, "unknown reward 'sucess'.*Did you mean 'success'"),
        ({"split": "validation"}, ValueError, "split: expected one of train, test, got 'validation'"),
        ({"role": "play"}, ValueError, "role"),
        ({"render_mode": "human"}, ValueError, "render_mode.*rgb_array"),
        ({"rig_config": {"slope": 1}}, ValueError, "rig 'landscape' has no option 'slope'.*difficulty"),
        ({"rig_config": {"shape": "cube"}}, ValueError, "shape: expected one of bowl"),
        ({"reward_config": {"noise": -1}}, ValueError, "noise"),
        ({"prior_config": {"sigma": 1}}, ValueError, "prior 'simulated' has no option 'sigma'"),
        ({"weights": {"r3m": "x.pt"}}, ValueError, "weights: neither prior 'simulated' nor reward 'oracle'"),
        ({"retries": -1}, ValueError, "retries"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
)
def test_bad_keywords(maker: Any, change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        maker(**{**GOOD, **change})


def test_options_of_ready_made_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="rig_config: rig is an object already"):
        GraspEnv("PickCup", rig=LandscapeRig(), rig_config={"offset": 1.0})


def test_gymnasium_names_an_unknown_keyword() -> None:
    with pytest.raises(TypeError, match="colour"):
        gym.make("deft/PickCup-v0", colour="red")


@pytest.mark.parametrize("options", [{"episode": 1}, {"k": -1}, {"k": 0.5}, {"k": True}])
def test_bad_reset_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="option"):
        GraspEnv(**GOOD).reset(options=options)


@pytest.mark.parametrize("num_envs", [0, -1, 1.5, True])
def test_bad_num_envs(num_envs: Any) -> None:
    with pytest.raises(ValueError, match="num_envs"):
        GraspVectorEnv(num_envs=num_envs, **GOOD)


def test_a_batch_too_large_for_the_rig() -> None:
    class Single(LandscapeRig):
        max_batch = 1

    rig = Single()
    GraspVectorEnv("PickCup", num_envs=1, rig=rig, images=False).reset(seed=0)
    with pytest.raises(ValueError, match="takes 1 episode"):
        GraspVectorEnv("PickCup", num_envs=2, rig=rig, images=False)


def test_the_simulated_prior_needs_truth() -> None:
    class Blind(LandscapeRig):
        def reset_batch(self, keys: Any) -> Any:
            frames = super().reset_batch(keys)
            frames.truths = None
            return frames

    env = GraspEnv("PickCup", rig=Blind(), prior=SimulatedPrior(), images=False)
    with pytest.raises(ValueError, match="prior='heuristic'"):
        env.reset(seed=0)
