"""What ``GraspEnv`` and ``GraspVectorEnv`` share: spaces, checks of what comes in, pictures and infos that go out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp, observation
from deft_env.episode import Frame, Outcome
from deft_env.prior import prior as prior_contract
from deft_env.rigs.rig import Frames

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


def check_render_mode(render_mode: str | None) -> None:
    """Raises ValueError for a mode that there is not."""
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode: expected None or one of {', '.join(RENDER_MODES)}, got {render_mode!r}")


def check_options(options: Mapping[str, Any] | None) -> int | None:
    """The number of the episode that options of ``reset`` ask for; ValueError for any other option."""
    options = dict(options or {})
    k = options.pop("k", None)
    if options:
        raise ValueError(f"options: unknown {', '.join(map(repr, sorted(options)))}; the one option is 'k'")
    if k is not None and (isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0):
        raise ValueError(f"options['k']: expected the number of an episode, an integer >= 0, got {k!r}")
    return None if k is None else int(k)


Pictures = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Colour and depth of an observation."""


def pictures_of(frame: Frame) -> Pictures:
    """An observation's view of a frame."""
    return observation.image(frame), observation.depth(frame)


def first_pictures(frames: Frames, i: int) -> Pictures:
    """An observation's view of scene ``i``, drawn when called."""
    return pictures_of(frames[i])


def last_pictures(outcome: Outcome, before: Frames, i: int) -> Pictures:
    """An observation's view of how episode ``i`` ended, drawn when called."""
    return pictures_of(last_frame(outcome, before[i]))


def view(pictures: Pictures | None, xi: NDArray[np.float64]) -> Observation:
    """One observation of fresh arrays; without pictures if there are none."""
    prior = xi.astype(np.float32)
    if pictures is None:
        return {"prior": prior}
    return {"image": pictures[0], "depth": pictures[1], "prior": prior}


def last_frame(outcome: Outcome, first: Frame) -> Frame:
    """How an episode ended; as it began, where the rig kept no frame."""
    return first if outcome.last_frame is None else outcome.last_frame()


def film(outcome: Outcome, first: Frame) -> list[NDArray[np.uint8]]:
    """The pictures of a whole episode; its first and last where the rig kept no film."""
    if outcome.film is not None:
        return [np.array(picture) for picture in outcome.film()]
    return [first.rgb.copy(), last_frame(outcome, first).rgb.copy()]


def reset_info(key: object, name: str, stand_ins: Sequence[str]) -> Info:
    """What is known before an episode; ``name`` is the object's."""
    return {"key": str(key), "object": name, "stand_ins": ", ".join(stand_ins)}


def step_info(outcome: Outcome, name: str, stand_ins: Sequence[str]) -> Info:
    """What is known after an episode."""
    return {
        **reset_info(outcome.key, name, stand_ins),
        "success": outcome.success,
        "score": outcome.score,
        "subgoals": dict(outcome.subgoals),
        "executed_grasp": np.array(outcome.executed_grasp),
        "status": str(outcome.status),
        "reason": outcome.reason,
    }


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


def batch_infos(infos: Sequence[Mapping[str, Any]]) -> Info:
    """Gymnasium's layout of vector infos: one array a key and, as ``_key``, who has it; dicts in dicts alike."""
    out: Info = {}
    everyone = np.ones(len(infos), dtype=np.bool_)
    for name in dict.fromkeys(name for info in infos for name in info):
        has = np.fromiter((name in info for info in infos), dtype=np.bool_, count=len(infos))
        values = [info.get(name) for info in infos]
        if any(isinstance(value, Mapping) for value in values):
            out[name] = batch_infos([value or {} for value in values])
        elif has.all():
            out[name] = _stack(values)
        else:
            filled = [False if v is None else v for v in values]
            out[name] = _stack(filled if all(isinstance(v, bool) for v in filled) else values)
        out[f"_{name}"] = everyone.copy() if has.all() else has
    return out
