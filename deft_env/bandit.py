"""One batch of episodes as a contextual bandit: rig, task, prior and reward behind two calls, ``show`` and ``play``.

``GraspEnv`` and ``GraspVectorEnv`` are thin covers of this; the single environment is the batch of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, registries
from deft_env.episode import ROLES, SPLITS, EpisodeKey, Outcome
from deft_env.prior.prior import Prior
from deft_env.registries import Weights
from deft_env.rewards.reward import Reward
from deft_env.rigs.rig import Frames, Rig

DEFAULT_RETRIES = 3
"""Runs of one residual after a fault or a void, before the environment gives up (our choice)."""


class EpisodeLostError(RuntimeError):
    """The same episode was faulted or voided again and again; the message names the last reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What a batch of residuals led to.

    Attributes:
        outcomes: one for each episode, each ``completed`` or ``failed``.
        rewards: (N,).
    """

    outcomes: list[Outcome]
    rewards: NDArray[np.float64]


class Bandit:
    """Rig, task, prior and reward; ``show`` scenes, then ``play`` one residual in each.

    Attributes:
        task: the task object.
        rig: executes; closed with the bandit only if the bandit made it.
        prior: frames to xi.
        reward: outcomes to numbers.
        keys: the episodes on show.
        frames: their first frames, rendered when asked for; None before the first ``show``.
        objects: the name of the object in each; empty where nobody knows (a real rig).
        ready: whether they wait for a ``play``.
        xi: (N, 22) their prior grasps.
    """

    def __init__(
        self,
        task: str,
        *,
        split: str = "train",
        role: str = "train",
        prior: str | Prior = "simulated",
        reward: str | Reward = "oracle",
        rig: str | Rig = "simulated",
        weights: Weights | None = None,
        rig_config: Mapping[str, Any] | None = None,
        prior_config: Mapping[str, Any] | None = None,
        reward_config: Mapping[str, Any] | None = None,
        retries: int = DEFAULT_RETRIES,
    ) -> None:
        """Makes the parts that are given by name; nothing touches a simulator or a device before ``show``.

        Raises:
            UnknownNameError: for an unknown task, prior, reward or rig.
            ValueError: for an unknown split, role or option, options for a part that was handed over ready made, or
                weights that nothing reads.
        """
        registries.tasks.entry(task)
        for name, value, known in (("split", split, SPLITS), ("role", role, ROLES)):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ValueError(f"retries: expected an integer >= 0, got {retries!r}")
        for word, part, options in (
            ("rig", rig, rig_config),
            ("prior", prior, prior_config),
            ("reward", reward, reward_config),
        ):
            if options and not isinstance(part, str):
                raise ValueError(f"{word}_config: {word} is an object already; give its options where it is made")
        if weights:
            readers = [(registries.priors, prior), (registries.rewards, reward)]
            if not any(isinstance(part, str) and registries.takes_weights(book, part) for book, part in readers):
                raise ValueError(
                    f"weights: neither prior {_name(prior)!r} nor reward {_name(reward)!r} reads weights, "
                    f"got {sorted(weights)}"
                )
        self.split, self.role, self.retries = split, role, retries
        # The cheap parts first: a wrong name must not leave a connected device behind.
        self.prior = registries.make_prior(prior, prior_config, weights) if isinstance(prior, str) else prior
        self.reward = registries.make_reward(reward, reward_config, weights) if isinstance(reward, str) else reward
        self._own_rig = isinstance(rig, str)
        self.rig: Rig = registries.make_rig(rig, rig_config) if isinstance(rig, str) else rig
        try:
            self.task = registries.make_task(task, self.rig)
        except BaseException:
            self.close()
            raise
        self.keys: tuple[EpisodeKey, ...] = ()
        self.frames: Frames | None = None
        self.objects: tuple[str, ...] = ()
        self.ready = False
        self.xi: NDArray[np.float64] = np.zeros((0, grasp.DIM))

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Which parts stand in for something real, in words."""
        parts: tuple[tuple[str, Rig | Prior | Reward], ...]
        parts = (("rig", self.rig), ("prior", self.prior), ("reward", self.reward))
        return tuple(f"{word} {part.name}" for word, part in parts if part.stand_in)

    def key(self, seed: int, k: int) -> EpisodeKey:
        """The ``k``-th episode of run ``seed``."""
        return EpisodeKey(self.task.name, self.split, self.role, seed, k)

    def show(self, keys: Sequence[EpisodeKey]) -> None:
        """Resets the rig to the scenes of ``keys`` and asks the prior.

        Raises:
            ValueError: for more scenes than the rig takes at once.
            PriorFailureError: if the prior finds nothing to grasp.
        """
        most = self.rig.max_batch
        if most is not None and len(keys) > most:
            raise ValueError(
                f"rig {self.rig.name!r} takes {most} scene(s) at once, got {len(keys)}; use num_envs={most}"
            )
        self.ready = False
        frames = self.rig.reset_batch(keys)
        self.xi = self.prior(frames, self.task)
        self.keys, self.frames, self.ready = tuple(keys), frames, True
        truths = frames.truths
        self.objects = ("",) * len(keys) if truths is None else tuple(truth.object for truth in truths)

    def play(self, residuals: NDArray[np.float64]) -> Played:
        """Executes xi + residual (N, 22) in each scene on show, then rates it; one play for each ``show``.

        A faulted or voided episode is not the action's doing: it is run again with the same residual on a fresh scene
        of the same key, up to ``retries`` times.

        Raises:
            RuntimeError: without a scene on show.
            ValueError: for residuals of a wrong shape or not finite.
            EpisodeLostError: if an episode is faulted or voided more than ``retries`` times.
        """
        if self.frames is None or not self.ready:
            raise RuntimeError("play: no scene is on show; call show first (one play for each show)")
        residuals = grasp.check(residuals, "residuals")
        if residuals.shape != (len(self.keys), grasp.DIM):
            raise ValueError(f"residuals: expected shape {(len(self.keys), grasp.DIM)}, got {residuals.shape}")
        keys, before, self.ready = self.keys, self.frames, False
        outcomes = self.rig.execute_batch(grasp.compose(self.xi, residuals), [self.task.demonstration] * len(keys))
        rewards = self.reward(before, outcomes, self.task)
        for _ in range(self.retries):
            again = [i for i, outcome in enumerate(outcomes) if not outcome.status.counts]
            if not again:
                break
            fresh = self.rig.reset_batch([keys[i] for i in again])
            wished = grasp.compose(self.prior(fresh, self.task), residuals[again])
            rerun = self.rig.execute_batch(wished, [self.task.demonstration] * len(again))
            rewards[again] = self.reward(fresh, rerun, self.task)
            for i, outcome in zip(again, rerun, strict=True):
                outcomes[i] = outcome
        for outcome in outcomes:
            if not outcome.status.counts:
                raise EpisodeLostError(
                    f"episode {outcome.key} was {outcome.status} {self.retries + 1} times, last: "
                    f"{outcome.reason or 'no reason given'}; put the rig in order, then reset"
                )
        return Played(outcomes, rewards)

    def close(self) -> None:
        """Closes the rig if the bandit made it; may be called twice."""
        if self._own_rig:
            self.rig.close()


def _name(part: Any) -> str:
    return part if isinstance(part, str) else str(part.name)
