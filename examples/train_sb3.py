"""Trains Stable-Baselines3 on a task through ``deft_env.sb3``, and says what it made of it.

    pip install 'deft-hand[sb3]'
    python examples/train_sb3.py --task PickCup --episodes 4096 --envs 64 --out ppo_pickcup.zip

An episode is one step: the observation is the affordance prior of the scene, the action the residual that is added to
it. That is thousands of episodes where DEFT takes thirty; nobody would do it on a robot. It shows the interface, and
is the floor under "just use reinforcement learning". Scores are the judge's rubric in [0, 1], on fresh scenes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import deft_env.sb3


def mean_score(envs: Any, model: Any, rounds: int, seed: int) -> float:
    """Mean reward of the model's deterministic action, of the untouched prior for None, on scenes of their own."""
    envs.seed(seed)
    seen, rewards = envs.reset(), []
    for _ in range(rounds):
        if model is None:
            actions = np.zeros((envs.num_envs, *envs.action_space.shape), np.float32)
        else:
            actions, _ = model.predict(seen, deterministic=True)
        seen, reward, _, _ = envs.step(actions)
        rewards.append(reward)
    return float(np.mean(rewards))


def train(
    task: str, episodes: int, envs: int, seed: int, rig: str, out: Path | None, rounds: int = 2
) -> dict[str, Any]:
    """Trains PPO and returns the scores of the untouched prior and of the policy before and after."""
    from stable_baselines3 import PPO

    batch = deft_env.sb3.make(task, num_envs=envs, images=False, rig=rig)
    batch.seed(seed)
    # One step an episode, so there is nothing to discount; the first policy stays near the prior (0.25 x 4 = 1 sigma).
    model = PPO(
        "MlpPolicy", batch, n_steps=1, batch_size=envs, n_epochs=4, gamma=1.0, gae_lambda=1.0, learning_rate=1e-3,
        policy_kwargs={"log_std_init": float(np.log(0.25)), "net_arch": [64, 64]}, seed=seed, device="cpu",
    )  # fmt: skip
    fresh = deft_env.sb3.make(task, num_envs=envs, images=False, rig=rig)
    scores = {"prior": mean_score(fresh, None, rounds, 10_000), "before": mean_score(fresh, model, rounds, 10_000)}
    model.learn(episodes)
    scores["after"] = mean_score(fresh, model, rounds, 10_000)
    if out is not None:
        model.save(out)
    batch.close()
    fresh.close()
    return {"task": task, "episodes": int(model.num_timesteps), **scores}


def main() -> None:
    """Trains and prints one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="PickCup")
    parser.add_argument("--episodes", type=int, default=4096)
    parser.add_argument("--envs", type=int, default=64, help="episodes that are played together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rig", default="simulated")
    parser.add_argument("--out", type=Path, help="write the model here (a zip file of Stable-Baselines3)")
    args = parser.parse_args()
    result = train(args.task, args.episodes, args.envs, args.seed, args.rig, args.out)
    print(", ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
