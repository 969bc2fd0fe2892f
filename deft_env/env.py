"""``GraspEnv``: one grasp as a Gymnasium environment, thin over rig, prior and reward; beside it, its batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.bandit import DEFAULT_RETRIES, Bandit
from deft_env.env_parts import (
    FILM_FPS,
    RENDER_MODES,
    Info,
    Observation,
    action_space,
    check_actions,
    check_options,
    check_render_mode,
    film,
    last_frame,
    observation_space,
    pictures_of,
    reset_info,
    step_info,
    view,
)
from deft_env.episode import Frame, Outcome
from deft_env.prior.prior import Prior
from deft_env.registries import Weights
from deft_env.rewards.reward import Reward
from deft_env.rigs.rig import Rig
from deft_env.vector_env import GraspVectorEnv as GraspVectorEnv


class GraspEnv(gym.Env[Observation, NDArray[np.float64]]):
    """One DEFT episode is one step: a contextual bandit over 22-D grasp residuals.

    ## Description
    An RGBD camera looks at a table, a prior proposes a grasp xi; the action is the residual epsilon. The rig executes
    xi + epsilon, replays the task's 40 wrist displacements, and the episode ends (paper, Algorithm 1).

    ## Action space
    ``Box(22,)`` float64, the residual within ±4 sigma:

    | index | name                                | unit | bound |
    |-------|-------------------------------------|------|-------|
    | 0-2   | mu: x, y, z of the grasp            | m    | 0.08  |
    | 3-5   | wrist: roll, pitch, yaw             | rad  | 0.8   |
    | 6-21  | index, middle, ring, thumb, each: side, forward, PIP, DIP | rad | 0.2 |

    ## Observation space
    ``Dict``; with ``images=False`` of ``prior`` alone:

    | name  | space                              | meaning                                                   |
    |-------|------------------------------------|-----------------------------------------------------------|
    | image | (224, 224, 3) uint8                | crop and resize of the camera's frame (``observation.py``) |
    | depth | (224, 224, 1) float32              | m along the optical axis; 0 is a hole                     |
    | prior | (22,) float32                      | xi, in m and rad                                          |

    ``reset`` shows the scene before the grasp, ``step`` the scene after it, with the same ``prior``.

    ## Reward
    What ``reward`` says (``oracle``: the judge's score in [0, 1]); a failed episode (unreachable, collision) gets the
    worst of the reward's range. A faulted or voided episode is run again with the same residual on a fresh scene. With
    a reward that asks a person, ``step`` blocks until they answered.

    ## Start and end
    ``reset(seed=s)`` shows episode k = 0 of run s, each further ``reset()`` the next one; ``options={"k": n}`` shows
    episode n. A ``reset`` without any seed before it draws one. ``step`` always returns ``terminated=True``.

    ## Info
    ``reset``: ``key``, ``object``, ``stand_ins``. ``step``: these, and ``success``, ``score``, ``subgoals``,
    ``executed_grasp`` (22,), ``status``, ``reason``.

    ## Rendering
    ``rgb_array``: the camera's picture now, 480 x 640. ``rgb_array_list``: the pictures of the whole last episode
    (before the first ``step``: the scene alone); ``deft_env.wrappers.RecordEpisode`` writes them as a film.

    ## Version history
    v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": FILM_FPS}  # type: ignore[misc]

    def __init__(
        self,
        task: str = "PickCup",
        *,
        split: str = "train",
        role: str = "train",
        prior: str | Prior = "simulated",
        reward: str | Reward = "oracle",
        rig: str | Rig = "simulated",
        images: bool = True,
        weights: Weights | None = None,
        rig_config: Mapping[str, Any] | None = None,
        prior_config: Mapping[str, Any] | None = None,
        reward_config: Mapping[str, Any] | None = None,
        retries: int = DEFAULT_RETRIES,
        render_mode: str | None = None,
    ) -> None:
        """Makes the environment; parts are given by registered name (with options) or as objects.

        Args:
            task: registered task.
            split: ``"train"`` or ``"test"`` objects.
            role: what the episodes are for; other roles are other scenes (``deft_env.episode.ROLES``).
            prior: frames to xi.
            reward: outcome to number.
            rig: what executes; one that is handed over as an object is not closed here.
            images: whether the observation shows pictures; others may look at them all the same.
            weights: name -> path of weights, for parts that read some.
            rig_config: options of the rig.
            prior_config: options of the prior.
            reward_config: options of the reward.
            retries: runs again after a fault or a void.
            render_mode: None, ``"rgb_array"`` or ``"rgb_array_list"``.

        Raises:
            UnknownNameError: for an unknown task, prior, reward or rig; the message lists what there is.
            ValueError: for anything else that is unknown or does not fit; see ``Bandit``.
        """
        check_render_mode(render_mode)
        self.bandit = Bandit(
            task, split=split, role=role, prior=prior, reward=reward, rig=rig, weights=weights, rig_config=rig_config,
            prior_config=prior_config, reward_config=reward_config, retries=retries,
        )  # fmt: skip
        self.images, self.render_mode = bool(images), render_mode
        self.action_space = action_space()
        self.observation_space = observation_space(self.images)
        self._seed: int | None = None
        self._k = -1
        self._outcome: Outcome | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Shows the next scene; see the class.

        Raises:
            ValueError: for unknown options or a negative seed.
        """
        k = check_options(options)
        super().reset(seed=seed)
        if seed is not None:
            self._seed, self._k = int(seed), -1
        elif self._seed is None:
            self._seed = int(self.np_random.integers(2**31))
        self._k = self._k + 1 if k is None else k
        self._outcome = None
        self.bandit.show([self.bandit.key(self._seed, self._k)])
        return self._observe(), reset_info(self.bandit.keys[0], self.bandit.objects[0], self.bandit.stand_ins)

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, Info]:
        """Plays the whole episode with this residual.

        Raises:
            ValueError: for an action of a wrong shape, not finite or out of bounds; nothing is executed.
            ResetNeeded: without a ``reset`` since the last step.
            EpisodeLostError: if device or operator failed ``retries`` + 1 times.
        """
        if not self.bandit.ready:
            raise ResetNeeded("an episode is one step: call reset() before each step()")
        played = self.bandit.play(check_actions(action, (grasp.DIM,))[None])
        self._outcome = played.outcomes[0]
        info = step_info(self._outcome, self.bandit.objects[0], self.bandit.stand_ins)
        return self._observe(), float(played.rewards[0]), True, False, info

    def _first(self) -> Frame:
        if self.bandit.frames is None:
            raise ResetNeeded("there is nothing to see before the first reset()")
        frame: Frame = self.bandit.frames[0]
        return frame

    def _now(self) -> Frame:
        return self._first() if self._outcome is None else last_frame(self._outcome, self._first())

    def _observe(self) -> Observation:
        return view(pictures_of(self._now()) if self.images else None, self.bandit.xi[0])

    def render(self) -> Any:
        """The picture now, or the pictures of the whole episode; see the class.

        Raises:
            ResetNeeded: before the first ``reset``.
        """
        if self.render_mode is None:
            gym.logger.warn(f"render() without a render mode: make the environment with one of {RENDER_MODES}")
            return None
        if self.render_mode == "rgb_array":
            return self._now().rgb.copy()
        return [self._first().rgb.copy()] if self._outcome is None else film(self._outcome, self._first())

    def close(self) -> None:
        """Closes the rig, if this environment made it."""
        self.bandit.close()
