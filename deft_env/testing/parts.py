"""The contracts of what looks at scenes: priors, rewards, encoders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deft_env import grasp
from deft_env.encoders.encoder import Encoder
from deft_env.episode import Outcome, Status
from deft_env.prior.prior import HIGH as PRIOR_HIGH
from deft_env.prior.prior import LOW as PRIOR_LOW
from deft_env.prior.prior import Prior
from deft_env.registries import make_task
from deft_env.rewards.reward import Reward
from deft_env.rigs.rig import Frames, Rig
from deft_env.testing.promises import BATCH, expect, keys_of, refuses, wished_grasps


def check_prior(prior: Prior, make: Callable[[], Rig], *, task: str = "PickCup") -> None:
    """A prior: shape, bounds, determinism, and rows that do not depend on their neighbours."""
    expect(bool(prior.name), "a prior has a name")
    with make() as rig:
        goal = make_task(task, rig)
        keys = keys_of(task, BATCH if rig.max_batch is None else min(BATCH, rig.max_batch))
        xi = prior(rig.reset_batch(keys), goal)
        expect(xi.shape == (len(keys), grasp.DIM) and xi.dtype == np.float64, "xi has shape (N, 22), float64")
        expect(((xi >= PRIOR_LOW) & (xi <= PRIOR_HIGH)).all(), "xi lies inside the prior's box")
        for i, key in enumerate(keys):
            alone = prior(rig.reset_batch([key]), goal)
            expect(rig.real or np.array_equal(alone[0], xi[i]), f"xi of {key} is the same alone and in a batch")


def check_reward(reward: Reward, make: Callable[[], Rig], *, task: str = "PickCup") -> None:
    """A reward: range and direction, the worst for failures, none for faults and voids, independent rows."""
    expect(bool(reward.name), "a reward has a name")
    low, high = reward.range
    expect(np.isfinite(low) and np.isfinite(high) and low < high, f"range is finite and low < high, got {reward.range}")
    expect(reward.worst == (low if reward.higher_is_better else high), "worst is the bad end of the range")
    with make() as rig:
        goal = make_task(task, rig)
        keys = keys_of(task, BATCH if rig.max_batch is None else min(BATCH, rig.max_batch))
        frames = rig.reset_batch(keys)
        outcomes = rig.execute_batch(wished_grasps(frames), [goal.demonstration] * len(keys))
        rewards = reward(frames, outcomes, goal)
        expect(rewards.shape == (len(keys),) and rewards.dtype == np.float64, "rewards have shape (N,), float64")
        for i, (key, outcome) in enumerate(zip(keys, outcomes, strict=True)):
            if outcome.status is Status.COMPLETED:
                expect(low <= rewards[i] <= high, f"rewards lie in {reward.range}, got {rewards[i]}")
            one = Frames([key], lambda _, i=i: frames[i], None if frames.truths is None else [frames.truths[i]])  # type: ignore[misc]
            again = reward(one, [outcome], goal)
            expect(np.array_equal(again, rewards[i : i + 1], equal_nan=True), "a row does not depend on the others")
            for status in (Status.FAILED, Status.FAULTED, Status.VOIDED):
                ended = Outcome(key, outcome.executed_grasp, status, "contract suite")
                value = reward(one, [ended], goal)[0]
                if status is Status.FAILED:
                    expect(value == reward.worst, f"a failed episode gets the worst of the range, got {value}")
                else:
                    expect(np.isnan(value), f"a {status} episode has no reward (NaN), got {value}")
        refuses(lambda: reward(frames, outcomes[:-1], goal), ValueError, "an outcome too few: ValueError")


def check_encoder(encoder: Encoder, *, size: tuple[int, int] = (224, 224)) -> None:
    """An encoder: shape, finite, deterministic, independent rows, an input left as it was, and refusals."""
    expect(bool(encoder.name), "an encoder has a name")
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *size, 3), dtype=np.uint8)
    kept = images.copy()
    features = encoder(images)
    expect(features.shape == (BATCH, encoder.dim) and features.dtype == np.float64, "features: (N, dim), float64")
    expect(np.array_equal(images, kept), "the images are left as they were")
    for i in range(BATCH):
        expect(np.array_equal(encoder(images[i : i + 1])[0], features[i]), "a row does not depend on the others")
    expect(encoder(images[:0]).shape == (0, encoder.dim), "no images give no features")
    refuses(lambda: encoder(images[0]), ValueError, "a single image without batch axis: ValueError")
    refuses(lambda: encoder(images.astype(np.float32)), ValueError, "float images: ValueError")
