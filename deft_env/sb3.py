"""What Stable-Baselines3 wants: actions in [-1, 1], observations its checker accepts, a VecEnv over the native batch.

    env = deft_env.sb3.make("PickCup", images=False)                # one episode a step
    envs = deft_env.sb3.make("PickCup", num_envs=64, images=False)  # a VecEnv: 64 episodes a step
    stable_baselines3.PPO("MlpPolicy", envs, n_steps=1, batch_size=64).learn(3_000)

With pictures the observation is a ``Dict`` (use ``"MultiInputPolicy"``): ``image`` as it is, ``depth`` in steps of 5 mm
as uint8 (0 is a hole, 255 is 1.275 m and beyond), ``prior`` scaled so that the limits of a grasp are -1 and 1. Without
pictures it is that scaled prior alone, a ``Box`` (``"MlpPolicy"``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, overload

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp, observation
from deft_env.env import GraspEnv, GraspVectorEnv
from deft_env.prior import prior as prior_contract

if TYPE_CHECKING:
    from deft_env._sb3_vec import GraspVecEnv

DEPTH_STEP_M: Final = 0.005
_CENTRE: Final = (grasp.HIGH + grasp.LOW) / 2
_HALF: Final = (grasp.HIGH - grasp.LOW) / 2


def scaled_action_space() -> spaces.Box:
    """(22,) float32 in [-1, 1]; ±1 is ±4 sigma."""
    return spaces.Box(-1.0, 1.0, (grasp.DIM,), np.float32)


def scaled_observation_space(images: bool) -> spaces.Space[Any]:
    """See the module."""
    low, high = (((b - _CENTRE) / _HALF).astype(np.float32) for b in (prior_contract.LOW, prior_contract.HIGH))
    prior = spaces.Box(low, high, dtype=np.float32)
    if not images:
        return prior
    size = observation.SIZE
    return spaces.Dict(
        {
            "image": spaces.Box(0, 255, (size, size, 3), np.uint8),
            "depth": spaces.Box(0, 255, (size, size, 1), np.uint8),
            "prior": prior,
        }
    )


def scale_observation(seen: dict[str, NDArray[Any]]) -> Any:
    """An observation of ``GraspEnv`` (or a batch of them) as this module shows it."""
    prior = ((seen["prior"].astype(np.float64) - _CENTRE) / _HALF).astype(np.float32)
    if "image" not in seen:
        return prior
    depth = np.clip(np.rint(seen["depth"] / DEPTH_STEP_M), 0, 255).astype(np.uint8)
    return {"image": seen["image"], "depth": depth, "prior": prior}


def unscale_action(action: ArrayLike) -> NDArray[np.float64]:
    """Actions (..., 22) in [-1, 1] -> residuals in m and rad."""
    return np.asarray(action, dtype=np.float64) * grasp.RESIDUAL_HIGH


class ScaledGraspEnv(gym.Wrapper[Any, Any, Any, Any]):
    """``GraspEnv`` in Stable-Baselines3's units; see the module."""

    def __init__(self, env: GraspEnv) -> None:
        """Wraps ``env``."""
        super().__init__(env)
        self.action_space = scaled_action_space()
        self.observation_space = scaled_observation_space(env.images)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As ``GraspEnv.reset``."""
        seen, info = self.env.reset(seed=seed, options=options)
        return scale_observation(seen), info

    def step(self, action: ArrayLike) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As ``GraspEnv.step``, with an action in [-1, 1]; ``info["is_success"]`` is what the library logs."""
        seen, reward, terminated, truncated, info = self.env.step(unscale_action(action))
        if info["success"] is not None:
            info["is_success"] = bool(info["success"])
        return scale_observation(seen), float(reward), terminated, truncated, info


@overload
def make(task: str = ..., *, num_envs: None = ..., **keywords: Any) -> ScaledGraspEnv: ...
@overload
def make(task: str = ..., *, num_envs: int, **keywords: Any) -> GraspVecEnv: ...
def make(task: str = "PickCup", *, num_envs: int | None = None, **keywords: Any) -> ScaledGraspEnv | GraspVecEnv:
    """Makes an environment for Stable-Baselines3.

    Args:
        task: a task's name, or a Gymnasium id such as ``"deft/PickCup-v0"``, whose keywords then count.
        num_envs: None for a Gymnasium environment; N for a VecEnv over a native batch of N.
        **keywords: those of ``GraspEnv``.

    Raises:
        ImportError: for a VecEnv without Stable-Baselines3; the message names the extra.
        ValueError, UnknownNameError, TypeError: as ``GraspEnv``.
    """
    if "/" in task:
        keywords = {**gym.spec(task).kwargs, **keywords}
        task = keywords.pop("task")
    if num_envs is None:
        return ScaledGraspEnv(GraspEnv(task, **keywords))
    try:
        from deft_env._sb3_vec import GraspVecEnv
    except ImportError as error:
        raise ImportError(f"num_envs needs the extra 'sb3': pip install 'deft-hand[sb3]' ({error})") from error
    return GraspVecEnv(GraspVectorEnv(task, num_envs=num_envs, **keywords))
