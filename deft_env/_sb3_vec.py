"""A Stable-Baselines3 VecEnv over the native batch; imported by ``deft_env.sb3.make`` only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from deft_env.env import GraspVectorEnv
from deft_env.sb3 import scale_observation, scaled_action_space, scaled_observation_space, unscale_action


def _row(info: Mapping[str, Any], i: int) -> dict[str, Any]:
    """What sub-environment ``i`` has of a vector info, as plain values."""
    out: dict[str, Any] = {}
    for name, values in info.items():
        if name.startswith("_") and name[1:] in info:
            continue
        if not info[f"_{name}"][i]:
            continue
        value = _row(values, i) if isinstance(values, Mapping) else values[i]
        out[name] = value.item() if isinstance(value, np.generic) else value
    return out


class GraspVecEnv(VecEnv):
    """N episodes a step; every step is the last of its episode, and the next scenes are shown at once.

    Sub-environment i after ``seed(s)`` and ``reset()`` is ``GraspEnv`` with seed s + i.
    """

    def __init__(self, envs: GraspVectorEnv) -> None:
        """Covers the batch ``envs``."""
        self.envs = envs
        self._actions: NDArray[np.float64] | None = None
        super().__init__(envs.num_envs, scaled_observation_space(envs.images), scaled_action_space())

    def reset(self) -> Any:
        """Shows the next scenes: those of the seeds given by ``seed``, if any."""
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ValueError("options: a batch is reset as one; give every sub-environment the same options")
        seeds = self._seeds if any(seed is not None for seed in self._seeds) else None
        seen, infos = self.envs.reset(seed=seeds, options=options)
        self.reset_infos = [_row(infos, i) for i in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return scale_observation(seen)

    def step_async(self, actions: np.ndarray) -> None:
        """Keeps the actions (N, 22) in [-1, 1]."""
        self._actions = unscale_action(actions)

    def step_wait(self) -> Any:
        """Plays the episodes; returns (observations of the next scenes, rewards, dones, infos)."""
        if self._actions is None:
            raise RuntimeError("step_wait: no actions; call step_async first")
        actions, self._actions = self._actions, None
        seen, rewards, dones, _, infos = self.envs.step(actions)
        rows = []
        for i in range(self.num_envs):
            row = _row(infos["final_info"], i)
            row["terminal_observation"] = scale_observation(infos["final_obs"][i])
            row["TimeLimit.truncated"] = False
            if row.get("success") is not None:
                row["is_success"] = bool(row["success"])
            rows.append(row)
        self.reset_infos = [_row({k: v for k, v in infos.items() if "final" not in k}, i) for i in range(self.num_envs)]
        return scale_observation(seen), rewards.astype(np.float32), dones, rows

    def close(self) -> None:
        """Closes the batch."""
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """The pictures of the scenes on show."""
        pictures = self.envs.render()
        return [None] * self.num_envs if pictures is None else list(pictures)

    def _some(self, indices: int | Iterable[int] | None) -> list[int]:
        return list(self._get_indices(indices))

    def has_attr(self, attr_name: str) -> bool:
        """Whether the batch has this attribute."""
        return hasattr(self.envs, attr_name)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The batch's attribute, once for each sub-environment asked for."""
        return [getattr(self.envs, attr_name) for _ in self._some(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not offered: sub-environments of a native batch have no attributes of their own.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"{attr_name!r} cannot be set: the sub-environments are one native batch")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Not offered: sub-environments of a native batch have no methods of their own.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"{method_name!r} cannot be called: the sub-environments are one native batch")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """False: nothing wraps a sub-environment."""
        return [False for _ in self._some(indices)]
