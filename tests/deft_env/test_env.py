"""GraspEnv and GraspVectorEnv on the landscape: spaces, seeding, identities, autoreset, rendering."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import deft_env
from deft_env import grasp, observation, registries, testing
from deft_env.bandit import Bandit, EpisodeLostError
from deft_env.env import GraspEnv, GraspVectorEnv
from deft_env.episode import Outcome, Status
from deft_mocks.landscape import LandscapeRig

KEYWORDS: dict[str, Any] = {"rig": "landscape"}
ZERO = np.zeros(grasp.DIM)


def make(**keywords: Any) -> GraspEnv:
    return GraspEnv("PickCup", **{**KEYWORDS, "images": False, **keywords})


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("render_mode", [None, "rgb_array", "rgb_array_list"])
def test_check_env_is_clean(images: bool, render_mode: str | None) -> None:
    env = gym.make("deft/PickCup-v0", images=images, render_mode=render_mode, **KEYWORDS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=images)


def test_ids_of_the_nine_tasks() -> None:
    for name in registries.TASK_WORDS:
        spec = gym.spec(f"deft/{name}-v0")
        assert not spec.nondeterministic
        assert spec.kwargs == {"task": name}
        live = gym.spec(f"deft/{name}Live-v0")
        assert live.nondeterministic
        assert live.kwargs["rig"] == "real"
        assert live.kwargs["reward"] == "human"
    assert gym.make("deft_env:deft/OpenDrawer-v0", images=False, **KEYWORDS).unwrapped.bandit.task.name == "OpenDrawer"
    assert deft_env.__version__


def test_spaces() -> None:
    env = GraspEnv("PickCup", **KEYWORDS)
    np.testing.assert_array_equal(env.action_space.high, 4 * grasp.SIGMA)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(env.action_space.low, -4 * grasp.SIGMA)  # type: ignore[attr-defined]
    shapes = {k: (s.shape, s.dtype) for k, s in env.observation_space.spaces.items()}  # type: ignore[attr-defined]
    assert shapes == {
        "image": ((224, 224, 3), np.uint8),
        "depth": ((224, 224, 1), np.float32),
        "prior": ((22,), np.float32),
    }
    assert list(make().observation_space.spaces) == ["prior"]  # type: ignore[attr-defined]


def test_seeding_counts_episodes() -> None:
    env = make()
    assert env.reset(seed=7)[1]["key"] == "PickCup/train/train/7/0"
    assert env.reset()[1]["key"] == "PickCup/train/train/7/1"
    env.step(ZERO)
    assert env.reset()[1]["key"] == "PickCup/train/train/7/2"
    assert env.reset(options={"k": 9})[1]["key"] == "PickCup/train/train/7/9"
    assert env.reset(seed=7)[1]["key"] == "PickCup/train/train/7/0"
    assert make(split="test", role="eval").reset(seed=1)[1]["key"] == "PickCup/test/eval/1/0"


def test_unseeded_environments_differ() -> None:
    keys = [make().reset()[1]["key"] for _ in range(2)]
    assert keys[0] != keys[1]


def test_a_random_network_in_a_rewards_place_is_named() -> None:
    _, info = make(reward="resnet18-random").reset(seed=0)
    assert info["stand_ins"] == "rig landscape, prior simulated, reward resnet18-random"


def test_step_reports_the_episode() -> None:
    env = make()
    seen, start = env.reset(seed=0)
    last, reward, terminated, truncated, info = env.step(ZERO)
    assert terminated is True
    assert truncated is False
    assert reward == info["score"]
    assert info["status"] == "completed"
    assert info["object"] == start["object"] != ""
    assert set(info) >= {"success", "score", "subgoals", "executed_grasp", "status", "object", "key", "reason"}
    assert info["stand_ins"] == "rig landscape, prior simulated, reward oracle"
    np.testing.assert_array_equal(seen["prior"], last["prior"])
    np.testing.assert_allclose(info["executed_grasp"], grasp.executable(env.bandit.xi[0]))


def test_the_residual_is_added_to_the_prior() -> None:
    env = make()
    env.reset(seed=0)
    residual = 0.5 * grasp.SIGMA
    executed = env.step(residual)[4]["executed_grasp"]
    np.testing.assert_allclose(executed, grasp.executable(env.bandit.xi[0] + residual))


def test_one_step_an_episode() -> None:
    env = make()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(ZERO)
    env.reset(seed=0)
    env.step(ZERO)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(ZERO)


@pytest.mark.parametrize("num_envs", [1, 16, 64])
@pytest.mark.parametrize(("shape", "informative", "noise"), [("bowl", 6, 0.0), ("ridge", 22, 0.3), ("modes", 22, 0.3)])
def test_vector_is_the_single_environment(num_envs: int, shape: str, informative: int, noise: float) -> None:
    knobs = {"shape": shape, "informative": informative, "noise": noise}
    keywords = {"rig_config": knobs, "reward_config": {"noise": noise}}
    testing.check_vector_identity(
        lambda: make(**keywords),
        lambda n: gym.make_vec("deft/PickCup-v0", num_envs=n, images=False, **KEYWORDS, **keywords),
        num_envs,
        seed=11,
    )


def test_vector_is_the_single_environment_with_pictures() -> None:
    testing.check_vector_identity(
        lambda: GraspEnv("PickSpoon", split="test", **KEYWORDS),
        lambda n: GraspVectorEnv("PickSpoon", num_envs=n, split="test", **KEYWORDS),
        2,
        episodes=2,
    )


def test_the_identity_check_can_fail() -> None:
    with pytest.raises(AssertionError, match="key"):
        testing.check_vector_identity(
            lambda: make(split="test"), lambda n: GraspVectorEnv("PickCup", num_envs=n, images=False, **KEYWORDS), 2
        )


def test_autoreset_is_same_step() -> None:
    envs = gym.make_vec("deft/PickCup-v0", num_envs=3, images=False, **KEYWORDS)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset(seed=5)
    seen, rewards, terminated, truncated, infos = envs.step(np.zeros((3, grasp.DIM)))
    assert list(infos["key"]) == [f"PickCup/train/train/{5 + i}/1" for i in range(3)]
    assert list(infos["final_info"]["key"]) == [f"PickCup/train/train/{5 + i}/0" for i in range(3)]
    assert infos["_final_info"].all()
    assert infos["_final_obs"].all()
    assert infos["final_info"]["success"].dtype == np.bool_
    assert all(mask.all() for name, mask in infos["final_info"]["subgoals"].items() if name.startswith("_"))
    np.testing.assert_array_equal(rewards, infos["final_info"]["score"])
    assert terminated.all()
    assert not truncated.any()
    assert seen in envs.observation_space
    assert not np.array_equal(seen["prior"][0], infos["final_obs"][0]["prior"])


def test_vector_seeds() -> None:
    envs = GraspVectorEnv("PickCup", num_envs=2, images=False, **KEYWORDS)
    assert list(envs.reset(seed=[9, 3])[1]["key"]) == ["PickCup/train/train/9/0", "PickCup/train/train/3/0"]
    assert list(envs.reset()[1]["key"]) == ["PickCup/train/train/9/1", "PickCup/train/train/3/1"]
    assert list(envs.reset(options={"k": 4})[1]["key"]) == ["PickCup/train/train/9/4", "PickCup/train/train/3/4"]
    for bad in ([1], [1, None]):
        with pytest.raises(ValueError, match="seed"):
            envs.reset(seed=bad)


def test_render_modes() -> None:
    env = make(render_mode="rgb_array")
    with pytest.raises(gym.error.ResetNeeded):
        env.render()
    env.reset(seed=0)
    before = env.render()
    assert before.shape == (480, 640, 3)
    env.step(ZERO)
    assert not np.array_equal(before, env.render())
    env = make(render_mode="rgb_array_list")
    env.reset(seed=0)
    assert len(env.render()) == 1
    env.step(ZERO)
    assert len(env.render()) > 2
    envs = GraspVectorEnv("PickCup", num_envs=2, images=False, render_mode="rgb_array_list", **KEYWORDS)
    envs.reset(seed=0)
    assert [len(film) for film in envs.render()] == [1, 1]
    envs.step(np.zeros((2, grasp.DIM)))
    for mine, film in zip(env.render(), envs.render()[0], strict=True):
        np.testing.assert_array_equal(mine, film)


def test_the_observation_is_a_crop_with_its_own_intrinsics() -> None:
    rig = LandscapeRig()
    key = testing.keys_of("PickCup", 1)[0]
    frames = rig.reset_batch([key])
    assert frames.truths is not None
    frame, truth = frames[0], frames.truths[0].parameters
    camera = np.linalg.inv(frame.T_base_cam) @ [truth["x_m"], truth["y_m"], truth["height_m"], 1.0]
    pixel = observation.intrinsics(frame) @ camera[:3]
    u, v = np.floor(pixel[:2] / pixel[2]).astype(int)
    picture, depth = observation.image(frame), observation.depth(frame)
    assert abs(float(depth[v, u, 0]) - camera[2]) < 1e-5
    blob = depth[..., 0] < 1.0
    rows, columns = np.nonzero(blob)
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], pixel[:2] / pixel[2], atol=0.25)
    assert not np.array_equal(picture[v, u], picture[0, 0])


def test_intrinsics_map_edges_to_edges() -> None:
    frame = LandscapeRig().reset_batch(testing.keys_of("PickCup", 1))[0]
    to_small = observation.intrinsics(frame) @ np.linalg.inv(frame.K)
    np.testing.assert_allclose(to_small @ [80.0, 0.0, 1.0], [0.0, 0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(to_small @ [560.0, 480.0, 1.0], [224.0, 224.0, 1.0], atol=1e-9)


def test_holes_stay_holes() -> None:
    frame = LandscapeRig().reset_batch(testing.keys_of("PickCup", 1))[0]
    frame.depth_m[:, ::2] = 0.0
    depth = observation.depth(frame)
    assert set(np.unique(depth)) <= set(np.unique(frame.depth_m))


class _Flaky(LandscapeRig):
    """Faults the first ``bad`` executions."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.bad = bad
        self.calls = 0

    def execute_batch(self, grasps: Any, demonstrations: Any) -> list[Outcome]:
        outcomes = super().execute_batch(grasps, demonstrations)
        self.calls += 1
        if self.calls <= self.bad:
            first = outcomes[0]
            outcomes[0] = Outcome(first.key, first.executed_grasp, Status.FAULTED, "the camera hung")
        return outcomes


def test_a_fault_is_run_again_with_the_same_residual() -> None:
    rig = _Flaky(2)
    flaky = GraspVectorEnv("PickCup", num_envs=3, images=False, rig=rig)
    calm = GraspVectorEnv("PickCup", num_envs=3, images=False, rig="landscape")
    actions = np.tile(0.3 * grasp.SIGMA, (3, 1))
    for envs in (flaky, calm):
        envs.reset(seed=0)
    mine, theirs = flaky.step(actions), calm.step(actions)
    assert rig.calls == 3
    np.testing.assert_array_equal(mine[1], theirs[1])
    assert list(mine[4]["key"]) == list(theirs[4]["key"])


def test_a_rig_that_always_faults_is_an_error() -> None:
    env = GraspEnv("PickCup", images=False, rig=_Flaky(99), retries=1)
    env.reset(seed=0)
    with pytest.raises(EpisodeLostError, match=r"PickCup/train/train/0/0 was faulted 2 times.*the camera hung"):
        env.step(ZERO)


def test_a_failed_episode_gets_the_worst_reward() -> None:
    env = make(rig_config={"offset": 0.0})
    for _ in range(20):
        env.reset(seed=0) if env.bandit.frames is None else env.reset()
        action = np.zeros(grasp.DIM)
        action[2] = grasp.RESIDUAL_LOW[2]
        _, reward, _, _, info = env.step(action)
        if info["status"] == "failed":
            assert (reward, info["reason"], info["success"]) == (0.0, "collision", False)
            return
    pytest.fail("no grasp hit the table")


def test_only_own_rigs_are_closed() -> None:
    class Counting(LandscapeRig):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    rig = Counting()
    env = GraspEnv("PickCup", rig=rig, images=False)
    env.close()
    assert rig.closed == 0
    bandit = Bandit("PickCup", rig="landscape")
    bandit.close()
    bandit.close()
