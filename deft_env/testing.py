"""Contract suites for rigs, priors, rewards, encoders and tasks, for users' own parts as for ours.

Each function raises ``AssertionError`` with the broken promise in words, and needs no test framework:

    def test_my_rig():
        deft_env.testing.check_rig(MyRig)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, paper
from deft_env.demonstration import Demonstration
from deft_env.encoders.encoder import Encoder
from deft_env.episode import EpisodeKey, Frame, Outcome, Status
from deft_env.prior.prior import HIGH as PRIOR_HIGH
from deft_env.prior.prior import LOW as PRIOR_LOW
from deft_env.prior.prior import Prior
from deft_env.registries import TaskLike, make_task
from deft_env.rewards.reward import Reward
from deft_env.rigs.rig import Frames, Rig

_BATCH: Final = 3


def _expect(holds: bool | np.bool_, promise: str) -> None:
    if not holds:
        raise AssertionError(promise)


def _refuses(call: Callable[[], Any], errors: type[Exception] | tuple[type[Exception], ...], promise: str) -> None:
    try:
        call()
    except errors as error:
        _expect(bool(str(error)), f"{promise}: the error has no message")
        return
    raise AssertionError(promise)


def keys_of(task: str, count: int = _BATCH, split: str = "train") -> list[EpisodeKey]:
    """The first episodes of as many seeds."""
    return [EpisodeKey(task, split, "train", seed, 0) for seed in range(count)]


def same_frame(a: Frame, b: Frame) -> bool:
    """Whether two frames are the same, bit for bit."""
    pairs = ((a.rgb, b.rgb), (a.depth_m, b.depth_m), (a.K, b.K), (a.T_base_cam, b.T_base_cam))
    return all(np.array_equal(x, y) for x, y in pairs)


def same_outcome(a: Outcome, b: Outcome) -> bool:
    """Whether two outcomes are the same, bit for bit, in all but their pictures."""
    facts = [(o.key, o.status, o.reason, o.success, o.score, dict(o.subgoals), sorted(o.signals)) for o in (a, b)]
    return (
        facts[0] == facts[1]
        and np.array_equal(a.executed_grasp, b.executed_grasp)
        and all(np.array_equal(a.signals[name], b.signals[name], equal_nan=True) for name in a.signals)
    )


def _wished(frames: Frames) -> NDArray[np.float64]:
    """Grasps that a rig can play: a person's where the rig knows it, else the middle of the workspace."""
    if frames.truths is not None:
        return np.stack([truth.human_grasp for truth in frames.truths])
    middle = (grasp.LOW + grasp.HIGH) / 2
    middle[grasp.WRIST] = 0.0
    return np.tile(middle, (len(frames), 1))


def check_frames(frames: Frames, keys: Sequence[EpisodeKey], *, pictures: bool = True) -> None:
    """Frames of ``reset_batch(keys)``: one a key, cached, with finite truths where there are any."""
    _expect(len(frames) == len(keys) and frames.keys == tuple(keys), "reset_batch returns one frame a key, in order")
    if pictures:
        for i in range(len(keys)):
            frame = frames[i]
            _expect(isinstance(frame, Frame), f"frames[{i}] is a Frame")
            _expect(same_frame(frame, frames[i]), f"frames[{i}] is the same picture each time")
            turn = frame.T_base_cam[:3, :3]
            _expect(np.allclose(turn @ turn.T, np.eye(3), atol=1e-6), "T_base_cam holds a rotation")
            _expect(np.isfinite(frame.depth_m).all() and (frame.depth_m >= 0).all(), "depth is finite; 0 is a hole")
    if frames.truths is not None:
        _expect(len(frames.truths) == len(keys), "there is one truth a key")
        for truth in frames.truths:
            grasp.check(truth.human_grasp, "human_grasp")
            for name in ("common", "dependent", "noise"):
                vector = grasp.check(getattr(truth.prior_error, name), name)
                _expect(vector.shape == (grasp.DIM,), f"prior_error.{name} has shape (22,)")
            _expect(truth.descriptor.ndim == 1 and np.isfinite(truth.descriptor).all(), "descriptor: a finite vector")


def check_outcome(outcome: Outcome, key: EpisodeKey, task: TaskLike | None = None) -> None:
    """One outcome: its key, a legal executed grasp, a status with a reason, a judge that saw the signals alone."""
    _expect(outcome.key == key, f"the outcome belongs to {key}, got {outcome.key}")
    executed = grasp.check(outcome.executed_grasp, "executed_grasp")
    _expect(executed.shape == (grasp.DIM,), f"executed_grasp has shape (22,), got {executed.shape}")
    _expect(
        np.allclose(grasp.executable(executed), executed, atol=1e-6), "executed_grasp is one that a rig can command"
    )
    _expect(isinstance(outcome.status, Status), f"status is a Status, got {outcome.status!r}")
    _expect(outcome.status is Status.COMPLETED or bool(outcome.reason), f"{outcome.status} comes with a reason")
    _expect(outcome.score is None or 0.0 <= outcome.score <= 1.0, f"score lies in [0, 1], got {outcome.score}")
    _expect(outcome.success in (None, True, False), f"success is a boolean or None, got {outcome.success!r}")
    for name, series in outcome.signals.items():
        _expect(series.ndim == 2 and np.isfinite(series).all(), f"signal {name!r} is a finite series (T, d)")
    if task is not None and outcome.signals and outcome.status is Status.COMPLETED:
        _expect(outcome.success == task.success(outcome.signals), "success is the judge's word on the signals")
        _expect(outcome.score == task.score(outcome.signals), "score is the judge's word on the signals")
        _expect(dict(outcome.subgoals) == dict(task.subgoals(outcome.signals)), "subgoals are the judge's")
    if outcome.last_frame is not None:
        _expect(same_frame(outcome.last_frame(), outcome.last_frame()), "last_frame may be called more than once")


def check_rig(make: Callable[[], Rig], *, task: str = "PickCup", pictures: bool = True) -> None:
    """A rig: refusals, statuses, judge; in simulation also determinism and independence of the batch size.

    Args:
        make: makes the rig; called more than once.
        task: a task that the rig can play.
        pictures: whether to render; False where the machine cannot.
    """
    with make() as rig:
        _expect(bool(rig.name), "a rig has a name")
        count = _BATCH if rig.max_batch is None else min(_BATCH, rig.max_batch)
        keys = keys_of(task, count)
        goal = make_task(task, rig)
        check_task(goal)
        tau = [goal.demonstration] * count
        nowhere = np.zeros((count, grasp.DIM))
        _refuses(lambda: rig.execute_batch(nowhere, tau), ValueError, "execute_batch without reset_batch: ValueError")
        frames = rig.reset_batch(keys)
        check_frames(frames, keys, pictures=pictures)
        wished = _wished(frames)
        bad = wished.copy()
        bad[0, 0] = np.nan
        _refuses(lambda: rig.execute_batch(bad, tau), ValueError, "a grasp with NaN: ValueError")
        _refuses(lambda: rig.execute_batch(wished[:, :21], tau), ValueError, "a grasp of 21 numbers: ValueError")
        _refuses(lambda: rig.execute_batch(wished, tau[:-1]), ValueError, "a demonstration too few: ValueError")
        first = rig.execute_batch(wished, tau)
        _expect(len(first) == count, "execute_batch returns one outcome a grasp")
        for key, outcome in zip(keys, first, strict=True):
            check_outcome(outcome, key, goal if not rig.real else None)
        _refuses(lambda: rig.execute_batch(wished, tau), ValueError, "a scene is executed once: ValueError")
        rig.reset_batch(keys)
        for key, outcome in zip(keys, rig.execute_batch(wished + 10.0, tau), strict=True):
            check_outcome(outcome, key)  # a wish far outside is limited or fails; it does not raise
        if not rig.real:
            _check_repeats(rig, keys, wished, tau, first, frames if pictures else None)
        rig.close()
    with make() as fresh:
        if not fresh.real:
            _check_repeats(fresh, keys, wished, tau, first, None)


def _check_repeats(
    rig: Rig,
    keys: Sequence[EpisodeKey],
    wished: NDArray[np.float64],
    tau: Sequence[Demonstration],
    first: Sequence[Outcome],
    frames: Frames | None,
) -> None:
    for i in reversed(range(len(keys))):
        alone = rig.reset_batch([keys[i]])
        if frames is not None:
            _expect(same_frame(alone[0], frames[i]), "a scene looks the same alone and in a batch")
        outcome = rig.execute_batch(wished[i : i + 1], tau[:1])[0]
        _expect(same_outcome(outcome, first[i]), f"{keys[i]} ends the same alone, in a batch and in a fresh rig")


def check_prior(prior: Prior, make: Callable[[], Rig], *, task: str = "PickCup") -> None:
    """A prior: shape, bounds, determinism, and rows that do not depend on their neighbours."""
    _expect(bool(prior.name), "a prior has a name")
    with make() as rig:
        goal = make_task(task, rig)
        keys = keys_of(task, _BATCH if rig.max_batch is None else min(_BATCH, rig.max_batch))
        xi = prior(rig.reset_batch(keys), goal)
        _expect(xi.shape == (len(keys), grasp.DIM) and xi.dtype == np.float64, "xi has shape (N, 22), float64")
        _expect(((xi >= PRIOR_LOW) & (xi <= PRIOR_HIGH)).all(), "xi lies inside the prior's box")
        for i, key in enumerate(keys):
            alone = prior(rig.reset_batch([key]), goal)
            _expect(rig.real or np.array_equal(alone[0], xi[i]), f"xi of {key} is the same alone and in a batch")


def check_reward(reward: Reward, make: Callable[[], Rig], *, task: str = "PickCup") -> None:
    """A reward: range and direction, the worst for failures, none for faults and voids, independent rows."""
    _expect(bool(reward.name), "a reward has a name")
    low, high = reward.range
    _expect(
        np.isfinite(low) and np.isfinite(high) and low < high, f"range is finite and low < high, got {reward.range}"
    )
    _expect(reward.worst == (low if reward.higher_is_better else high), "worst is the bad end of the range")
    with make() as rig:
        goal = make_task(task, rig)
        keys = keys_of(task, _BATCH if rig.max_batch is None else min(_BATCH, rig.max_batch))
        frames = rig.reset_batch(keys)
        outcomes = rig.execute_batch(_wished(frames), [goal.demonstration] * len(keys))
        rewards = reward(frames, outcomes, goal)
        _expect(rewards.shape == (len(keys),) and rewards.dtype == np.float64, "rewards have shape (N,), float64")
        for i, (key, outcome) in enumerate(zip(keys, outcomes, strict=True)):
            if outcome.status is Status.COMPLETED:
                _expect(low <= rewards[i] <= high, f"rewards lie in {reward.range}, got {rewards[i]}")
            one = Frames([key], lambda _, i=i: frames[i], None if frames.truths is None else [frames.truths[i]])  # type: ignore[misc]
            again = reward(one, [outcome], goal)
            _expect(np.array_equal(again, rewards[i : i + 1], equal_nan=True), "a row does not depend on the others")
            for status in (Status.FAILED, Status.FAULTED, Status.VOIDED):
                ended = Outcome(key, outcome.executed_grasp, status, "contract suite")
                value = reward(one, [ended], goal)[0]
                if status is Status.FAILED:
                    _expect(value == reward.worst, f"a failed episode gets the worst of the range, got {value}")
                else:
                    _expect(np.isnan(value), f"a {status} episode has no reward (NaN), got {value}")
        _refuses(lambda: reward(frames, outcomes[:-1], goal), ValueError, "an outcome too few: ValueError")


def check_encoder(encoder: Encoder, *, size: tuple[int, int] = (224, 224)) -> None:
    """An encoder: shape, finite, deterministic, independent rows, an input left as it was, and refusals."""
    _expect(bool(encoder.name), "an encoder has a name")
    images = np.random.default_rng(0).integers(0, 256, (_BATCH, *size, 3), dtype=np.uint8)
    kept = images.copy()
    features = encoder(images)
    _expect(features.shape == (_BATCH, encoder.dim) and features.dtype == np.float64, "features: (N, dim), float64")
    _expect(np.array_equal(images, kept), "the images are left as they were")
    for i in range(_BATCH):
        _expect(np.array_equal(encoder(images[i : i + 1])[0], features[i]), "a row does not depend on the others")
    _expect(encoder(images[:0]).shape == (0, encoder.dim), "no images give no features")
    _refuses(lambda: encoder(images[0]), ValueError, "a single image without batch axis: ValueError")
    _refuses(lambda: encoder(images.astype(np.float32)), ValueError, "float images: ValueError")


def check_task(task: TaskLike) -> None:
    """A task: words, demonstration, nominal rotation, and a judge that is given the signals and nothing else."""
    _expect(bool(task.name) and bool(task.instruction), "a task has a name and an instruction")
    tau = task.demonstration
    _expect(isinstance(tau, Demonstration), "demonstration is a Demonstration")
    _expect(tau.task == task.name, f"the demonstration is of {task.name}, got {tau.task}")
    _expect(tau.displacements.shape == (paper.TRAJECTORY_STEPS, 6), "the demonstration has 40 displacements")
    turn = np.asarray(task.nominal_rotation)
    _expect(
        turn.shape == (3, 3) and np.allclose(turn @ turn.T, np.eye(3), atol=1e-9) and np.linalg.det(turn) > 0,
        "nominal_rotation is a rotation (3, 3)",
    )
    for judge in (task.success, task.score, task.subgoals):
        parameters = list(inspect.signature(judge).parameters)
        _expect(len(parameters) == 1, f"{judge.__name__} is given the signals and nothing else, got {parameters}")


def check_vector_identity(
    make_single: Callable[[], Any],
    make_vector: Callable[[int], Any],
    num_envs: int,
    *,
    seed: int = 0,
    episodes: int = 3,
) -> None:
    """Sub-environment i at episode k is ``GraspEnv`` of seed s + i at k, bit for bit: observations, rewards, infos.

    Args:
        make_single: makes the single environment.
        make_vector: makes the vector environment of as many sub-environments.
        num_envs: how many.
        seed: s.
        episodes: how many of each.
    """
    generator = np.random.default_rng(seed)
    actions = generator.uniform(grasp.RESIDUAL_LOW, grasp.RESIDUAL_HIGH, (episodes, num_envs, grasp.DIM))
    vector = make_vector(num_envs)
    seen, info = vector.reset(seed=seed)
    rows: list[list[Any]] = [[] for _ in range(num_envs)]
    for k in range(episodes):
        shown, shown_info = seen, info
        seen, rewards, terminated, truncated, info = vector.step(actions[k])
        _expect(bool(np.all(terminated)) and not np.any(truncated), "every step is the end of every episode")
        for i in range(num_envs):
            rows[i].append((shown, shown_info["key"][i], rewards[i], info["final_obs"][i], info["final_info"]))
    vector.close()
    single = make_single()
    for i in range(num_envs):
        observed, start = single.reset(seed=seed + i)
        for k in range(episodes):
            shown, key, reward, final, ended = rows[i][k]
            where = f"sub-environment {i}, episode {k}"
            _expect(start["key"] == key, f"{where}: key {key}, alone {start['key']}")
            for name, value in observed.items():
                _expect(np.array_equal(value, shown[name][i]), f"{where}: the first observation's {name} is the same")
            last, alone, _, _, facts = single.step(actions[k, i])
            _expect(alone == reward, f"{where}: reward {reward}, alone {alone}")
            for name, value in last.items():
                _expect(np.array_equal(value, final[name]), f"{where}: the last observation's {name} is the same")
            for name in ("success", "score", "status", "reason", "object", "key"):
                _expect(ended[name][i] == facts[name], f"{where}: {name} {ended[name][i]}, alone {facts[name]}")
            _expect(np.array_equal(ended["executed_grasp"][i], facts["executed_grasp"]), f"{where}: executed_grasp")
            for goal, reached in facts["subgoals"].items():
                _expect(ended["subgoals"][goal][i] == reached, f"{where}: sub-goal {goal!r}")
            observed, start = single.reset()
    single.close()
