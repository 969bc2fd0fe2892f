"""``GraspEnv`` and ``GraspVectorEnv``: the grasp as Gymnasium environments, thin over rig, prior and reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp, observation
from deft_env.bandit import DEFAULT_RETRIES, Bandit
from deft_env.episode import Frame, Outcome
from deft_env.prior import prior as prior_contract
from deft_env.prior.prior import Prior
from deft_env.registries import Weights
from deft_env.rewards.reward import Reward
from deft_env.rigs.rig import Frames, Rig

Observation = dict[str, NDArray[Any]]
Info = dict[str, Any]

RENDER_MODES: Final = ("rgb_array", "rgb_array_list")
FILM_FPS: Final = 10
"""Frames per second of a film: the simulated rig draws ten for each second of its own time (our choice)."""
_EDGE: Final = 1e-6
"""An action may miss the box by this much, relatively: float32 cannot hold its bounds exactly."""


def action_space() -> gym.Space[NDArray[np.float64]]:
    """The residual in m and rad, (22,) float64, within 4 sigma."""
    box = spaces.Box(grasp.RESIDUAL_LOW.copy(), grasp.RESIDUAL_HIGH.copy(), dtype=np.float64)
    return cast("gym.Space[NDArray[np.float64]]", box)


def observation_space(images: bool) -> gym.Space[Observation]:
    """``prior`` (22,), and with ``images`` also ``image`` (224, 224, 3) and ``depth`` (224, 224, 1)."""
    size = observation.SIZE
    parts: dict[str, spaces.Space[Any]] = {}
    if images:
        parts["image"] = spaces.Box(0, 255, (size, size, 3), np.uint8)
        parts["depth"] = spaces.Box(0.0, observation.MAX_DEPTH_M, (size, size, 1), np.float32)
    parts["prior"] = spaces.Box(prior_contract.LOW.astype(np.float32), prior_contract.HIGH.astype(np.float32))
    return cast("gym.Space[Observation]", spaces.Dict(parts))


def check_actions(actions: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Actions of ``shape`` as float64 inside the box.

    Raises:
        ValueError: for a wrong shape, a value that is not finite, or one outside the 4-sigma box.
    """
    a = grasp.check(actions, "action")
    if a.shape != shape:
        raise ValueError(f"action: expected shape {shape}, got {a.shape}")
    outside = np.abs(a) > grasp.RESIDUAL_HIGH * (1.0 + _EDGE)
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        name, limit = grasp.NAMES[where[-1]], grasp.RESIDUAL_HIGH[where[-1]]
        raise ValueError(
            f"action: {name} must lie within ±{limit:g} {grasp.UNITS[where[-1]]} (4 sigma), got {a[where]:g}; "
            "clip it to env.action_space"
        )
    return np.clip(a, grasp.RESIDUAL_LOW, grasp.RESIDUAL_HIGH)


def _check_render_mode(render_mode: str | None) -> None:
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode: expected None or one of {', '.join(RENDER_MODES)}, got {render_mode!r}")


def _check_options(options: Mapping[str, Any] | None) -> int | None:
    options = dict(options or {})
    k = options.pop("k", None)
    if options:
        raise ValueError(f"options: unknown {', '.join(map(repr, sorted(options)))}; the one option is 'k'")
    if k is not None and (isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0):
        raise ValueError(f"options['k']: expected the number of an episode, an integer >= 0, got {k!r}")
    return None if k is None else int(k)


Pictures = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Colour and depth of an observation."""


def _pictures(frame: Frame) -> Pictures:
    return observation.image(frame), observation.depth(frame)


def _first_pictures(frames: Frames, i: int) -> Pictures:
    return _pictures(frames[i])


def _last_pictures(outcome: Outcome, before: Frames, i: int) -> Pictures:
    return _pictures(_last_frame(outcome, before[i]))


def _view(pictures: Pictures | None, xi: NDArray[np.float64]) -> Observation:
    """One observation of fresh arrays; without pictures if there are none."""
    prior = xi.astype(np.float32)
    if pictures is None:
        return {"prior": prior}
    return {"image": pictures[0], "depth": pictures[1], "prior": prior}


def _last_frame(outcome: Outcome, first: Frame) -> Frame:
    return first if outcome.last_frame is None else outcome.last_frame()


def _film(outcome: Outcome, first: Frame) -> list[NDArray[np.uint8]]:
    """The pictures of a whole episode; its first and last where the rig kept no film."""
    if outcome.film is not None:
        return [np.array(picture) for picture in outcome.film()]
    return [first.rgb.copy(), _last_frame(outcome, first).rgb.copy()]


def _reset_info(key: object, name: str, stand_ins: Sequence[str]) -> Info:
    return {"key": str(key), "object": name, "stand_ins": ", ".join(stand_ins)}


def _step_info(outcome: Outcome, name: str, stand_ins: Sequence[str]) -> Info:
    return {
        **_reset_info(outcome.key, name, stand_ins),
        "success": outcome.success,
        "score": outcome.score,
        "subgoals": dict(outcome.subgoals),
        "executed_grasp": np.array(outcome.executed_grasp),
        "status": str(outcome.status),
        "reason": outcome.reason,
    }


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
        _check_render_mode(render_mode)
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
        k = _check_options(options)
        super().reset(seed=seed)
        if seed is not None:
            self._seed, self._k = int(seed), -1
        elif self._seed is None:
            self._seed = int(self.np_random.integers(2**31))
        self._k = self._k + 1 if k is None else k
        self._outcome = None
        self.bandit.show([self.bandit.key(self._seed, self._k)])
        return self._observe(), _reset_info(self.bandit.keys[0], self.bandit.objects[0], self.bandit.stand_ins)

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
        info = _step_info(self._outcome, self.bandit.objects[0], self.bandit.stand_ins)
        return self._observe(), float(played.rewards[0]), True, False, info

    def _first(self) -> Frame:
        if self.bandit.frames is None:
            raise ResetNeeded("there is nothing to see before the first reset()")
        frame: Frame = self.bandit.frames[0]
        return frame

    def _now(self) -> Frame:
        return self._first() if self._outcome is None else _last_frame(self._outcome, self._first())

    def _observe(self) -> Observation:
        return _view(_pictures(self._now()) if self.images else None, self.bandit.xi[0])

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
        return [self._first().rgb.copy()] if self._outcome is None else _film(self._outcome, self._first())

    def close(self) -> None:
        """Closes the rig, if this environment made it."""
        self.bandit.close()


def _stack(values: Sequence[Any]) -> NDArray[Any]:
    """Values of one info key over the sub-environments: a typed array where all agree, else an array of objects."""
    kinds = {type(v) for v in values}
    if kinds <= {bool, np.bool_}:
        return np.array(values, dtype=np.bool_)
    if kinds <= {float, np.float64}:
        return np.array(values, dtype=np.float64)
    if kinds == {np.ndarray}:
        return np.stack(values)
    out = np.full(len(values), None, dtype=object)
    out[:] = values
    return out


def _batch_infos(infos: Sequence[Mapping[str, Any]]) -> Info:
    """Gymnasium's layout of vector infos: one array a key and, as ``_key``, who has it; dicts in dicts alike."""
    out: Info = {}
    everyone = np.ones(len(infos), dtype=np.bool_)
    for name in dict.fromkeys(name for info in infos for name in info):
        has = np.fromiter((name in info for info in infos), dtype=np.bool_, count=len(infos))
        values = [info.get(name) for info in infos]
        if any(isinstance(value, Mapping) for value in values):
            out[name] = _batch_infos([value or {} for value in values])
        elif has.all():
            out[name] = _stack(values)
        else:
            filled = [False if v is None else v for v in values]
            out[name] = _stack(filled if all(isinstance(v, bool) for v in filled) else values)
        out[f"_{name}"] = everyone.copy() if has.all() else has
    return out


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
        _check_render_mode(render_mode)
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
        k = _check_options(options)
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
        first = [partial(_first_pictures, self.bandit.frames, i) for i in range(self.num_envs)]
        seen: list[Pictures] = self.bandit.rig.many([*ended, *first])
        out["image"] = np.stack([image for image, _ in seen[len(ended) :]])
        out["depth"] = np.stack([depth for _, depth in seen[len(ended) :]])
        return out, seen[: len(ended)]

    def _reset_infos(self) -> Info:
        stand_ins = self.bandit.stand_ins
        pairs = zip(self.bandit.keys, self.bandit.objects, strict=True)
        return _batch_infos([_reset_info(key, name, stand_ins) for key, name in pairs])

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
        ended = [_step_info(o, name, stand_ins) for o, name in zip(played.outcomes, self.bandit.objects, strict=True)]
        self._last, self._before, xi = played.outcomes, before, self.bandit.xi
        self._k += 1
        self._show()
        works = [partial(_last_pictures, outcome, before, i) for i, outcome in enumerate(played.outcomes)]
        observations, pictures = self._observe(works)
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in range(self.num_envs):
            final_obs[i] = _view(pictures[i] if self.images else None, xi[i])
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        infos = self._reset_infos() | {
            "final_info": _batch_infos(ended),
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
        return tuple(_film(outcome, self._before[i]) for i, outcome in enumerate(self._last))

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the rig, if this environment made it."""
        self.bandit.close()
