"""``GraspVectorEnv``: N grasps as one native batch, a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.bandit import Bandit
from deft_env.env_parts import (
    FILM_FPS,
    RENDER_MODES,
    Info,
    Pictures,
    action_space,
    batch_infos,
    check_actions,
    check_options,
    check_render_mode,
    film,
    first_pictures,
    last_pictures,
    observation_space,
    reset_info,
    step_info,
    view,
)
from deft_env.episode import Outcome


class GraspVectorEnv(VectorEnv[dict[str, Any], NDArray[np.float64], NDArray[Any]]):
    """N episodes as one native batch; sub-environment i is ``GraspEnv`` with seed s + i, bit for bit.

    Spaces, reward, info and keywords are those of ``GraspEnv``. Autoreset is SAME_STEP: every ``step`` plays N whole
    episodes and returns the first observation of the next N. What ended is in ``infos["final_info"]`` and
    ``infos["final_obs"]``:

        observations, rewards, terminated, truncated, infos = envs.step(actions)
        success = infos["final_info"]["success"]        # (N,) of the episodes just played
        last_picture = infos["final_obs"][0]["image"]   # after the first of them

    Top-level entries of ``infos`` (``key``, ``object``) belong to the next scenes.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": FILM_FPS,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        task: str = "PickCup",
        *,
        num_envs: int = 1,
        images: bool = True,
        render_mode: str | None = None,
        **bandit: Any,
    ) -> None:
        """Makes the batch.

        Args:
            task: registered task.
            num_envs: N, episodes in one batch.
            images: whether observations show pictures.
            render_mode: None, ``"rgb_array"`` or ``"rgb_array_list"``.
            **bandit: the other keywords of ``GraspEnv``.

        Raises:
            UnknownNameError: for an unknown task, prior, reward or rig.
            ValueError: for ``num_envs`` below 1 or above what the rig takes, and as ``GraspEnv``.
            TypeError: for an unknown keyword.
        """
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs: expected an integer >= 1, got {num_envs!r}")
        check_render_mode(render_mode)
        self.bandit = Bandit(task, **bandit)
        most = self.bandit.rig.max_batch
        if most is not None and num_envs > most:
            self.bandit.close()
            raise ValueError(f"num_envs: rig {self.bandit.rig.name!r} takes {most} episode(s) at once, got {num_envs}")
        self.num_envs, self.images, self.render_mode = int(num_envs), bool(images), render_mode
        self.single_action_space = action_space()
        self.single_observation_space = observation_space(self.images)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._seeds: list[int] | None = None
        self._k = -1
        self._last: list[Outcome] = []
        self._before: Any = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], Info]:
        """Shows the next N scenes; sub-environment i of ``reset(seed=s)`` is seed s + i.

        Args:
            seed: one integer, or one for each sub-environment; None goes on with the next episodes.
            options: ``{"k": n}`` shows episode n of each.

        Raises:
            ValueError: for unknown options, or a list of seeds of a wrong length or with a gap.
        """
        k = check_options(options)
        if seed is not None and not isinstance(seed, int | np.integer):
            seeds = list(seed)
            if len(seeds) != self.num_envs or any(s is None for s in seeds):
                raise ValueError(f"seed: expected an integer or {self.num_envs} integers, got {seeds!r}")
            super().reset(seed=seeds[0])
            self._seeds, self._k = [int(s) for s in seeds if s is not None], -1
        else:
            super().reset(seed=None if seed is None else int(seed))
            if seed is not None or self._seeds is None:
                first = int(self.np_random.integers(2**31)) if seed is None else int(seed)
                self._seeds, self._k = [first + i for i in range(self.num_envs)], -1
        self._k = self._k + 1 if k is None else k
        self._last = []
        self._show()
        return self._observe()[0], self._reset_infos()

    def _show(self) -> None:
        assert self._seeds is not None
        self.bandit.show([self.bandit.key(seed, self._k) for seed in self._seeds])

    def _observe(self, ended: Sequence[Callable[[], Pictures]] = ()) -> tuple[dict[str, Any], list[Pictures]]:
        """What is on show, and the pictures of what ended: all drawn at once, so that threads wait but once."""
        out: dict[str, Any] = {"prior": self.bandit.xi.astype(np.float32)}
        if not self.images:
            return out, []
        assert self.bandit.frames is not None
        first = [partial(first_pictures, self.bandit.frames, i) for i in range(self.num_envs)]
        seen: list[Pictures] = self.bandit.rig.many([*ended, *first])
        out["image"] = np.stack([image for image, _ in seen[len(ended) :]])
        out["depth"] = np.stack([depth for _, depth in seen[len(ended) :]])
        return out, seen[: len(ended)]

    def _reset_infos(self) -> Info:
        stand_ins = self.bandit.stand_ins
        pairs = zip(self.bandit.keys, self.bandit.objects, strict=True)
        return batch_infos([reset_info(key, name, stand_ins) for key, name in pairs])

    def step(
        self, actions: ArrayLike
    ) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Plays N whole episodes and shows the next N scenes.

        Raises:
            ValueError: for actions of a wrong shape, not finite or out of bounds; nothing is executed.
            ResetNeeded: before the first ``reset``.
            EpisodeLostError: if device or operator failed ``retries`` + 1 times.
        """
        if not self.bandit.ready:
            raise ResetNeeded("call reset() before the first step()")
        played = self.bandit.play(check_actions(actions, (self.num_envs, grasp.DIM)))
        stand_ins, before = self.bandit.stand_ins, self.bandit.frames
        assert before is not None
        ended = [step_info(o, name, stand_ins) for o, name in zip(played.outcomes, self.bandit.objects, strict=True)]
        self._last, self._before, xi = played.outcomes, before, self.bandit.xi
        self._k += 1
        self._show()
        works = [partial(last_pictures, outcome, before, i) for i, outcome in enumerate(played.outcomes)]
        observations, pictures = self._observe(works)
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in range(self.num_envs):
            final_obs[i] = view(pictures[i] if self.images else None, xi[i])
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        infos = self._reset_infos() | {
            "final_info": batch_infos(ended),
            "_final_info": everyone.copy(),
            "final_obs": final_obs,
            "_final_obs": everyone.copy(),
        }
        return observations, played.rewards, everyone, np.zeros(self.num_envs, dtype=np.bool_), infos

    def render(self) -> Any:
        """A tuple over sub-environments: the pictures now, or lists with the whole of the episodes just played.

        Raises:
            ResetNeeded: before the first ``reset``.
        """
        if self.render_mode is None:
            gym.logger.warn(f"render() without a render mode: make the environment with one of {RENDER_MODES}")
            return None
        if self.bandit.frames is None:
            raise ResetNeeded("there is nothing to see before the first reset()")
        frames = self.bandit.frames
        if self.render_mode == "rgb_array":
            return tuple(frames[i].rgb.copy() for i in range(self.num_envs))
        if not self._last:
            return tuple([frames[i].rgb.copy()] for i in range(self.num_envs))
        return tuple(film(outcome, self._before[i]) for i, outcome in enumerate(self._last))

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the rig, if this environment made it."""
        self.bandit.close()
