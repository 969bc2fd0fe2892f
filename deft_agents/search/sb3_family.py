"""Stable-Baselines3 turned inside out: ``sb3:sac`` and ``sb3:ppo`` behind ask and tell; the library steps no env.

To a reinforcement learner an episode here is one step that terminates. The observation is the context (features and
the prior in units of sigma around the first prior seen), the action in [-1, 1] is the box of plus and minus 4 sigma.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import obs_as_tensor

from deft_agents.search.base import DIM, LIMIT, Array, PopulationSearch, Search, check_count, check_positive
from deft_agents.search.isolation import OwnGlobals
from deft_env import grasp, paper
from deft_env.episode import Context

Float32 = NDArray[np.float32]

_INITIAL_LOG_STD = float(np.log(1.0 / LIMIT))
"""One sigma, in units of the action: the learner starts from the distribution that every search starts from."""


class _Spaces(gymnasium.Env[Any, Any]):
    """Nothing but spaces: the library wants an env to read them from, and never steps it."""

    def __init__(self, observation: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observation,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (DIM,), np.float32)


class _Observer:
    """Contexts as observations; fixed by the first context."""

    def __init__(self, first: Context) -> None:
        self.prior, self.encoder, self.size = first.prior, first.encoder, len(first.features) + DIM

    def __call__(self, context: Context) -> Float32:
        if context.encoder != self.encoder or len(context.features) + DIM != self.size:
            raise ValueError(
                f"context: expected features of encoder {self.encoder!r} as in the first context, got "
                f"{len(context.features)} of {context.encoder!r}"
            )
        row: Float32 = np.concatenate([context.features, (context.prior - self.prior) / grasp.SIGMA]).astype(np.float32)
        return row


class SACSearch(Search):
    """Soft actor-critic: every result goes to the replay buffer, foreign ones too, and is followed by training."""

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        warmup: int = paper.WARMUP_EPISODES,
        gradient_steps: int = 20,
        width: int = 64,
        learning_rate: float = 1e-3,
    ) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes.
            warmup: episodes from the initial distribution before the actor proposes.
            gradient_steps: of SAC after each result from then on.
            width: units of the two hidden layers of actor and critics.
            learning_rate: of all of SAC's optimizers.
        """
        super().__init__(seed=seed, budget=budget)
        self.warmup = check_count("warmup", warmup, 0)
        self.gradient_steps = check_count("gradient_steps", gradient_steps, 0)
        self.width, self.learning_rate = check_count("width", width), check_positive("learning_rate", learning_rate)
        self._globals = OwnGlobals(int(self.rng.integers(2**31)), torch=True)
        self._model: SAC | None = None
        self._observe: _Observer | None = None
        self._told = 0
        self._total = np.zeros(0, dtype=np.float64)

    def _learner(self, context: Context) -> tuple[SAC, _Observer]:
        if self._model is None or self._observe is None:
            self._observe = _Observer(context)
            self._total = np.zeros(self._observe.size)
            self._model = SAC(
                "MlpPolicy",
                _Spaces(self._observe.size),
                learning_rate=self.learning_rate,
                buffer_size=max(1000, 4 * self.budget),
                batch_size=32,
                policy_kwargs={"net_arch": [self.width, self.width], "log_std_init": _INITIAL_LOG_STD},
                device="cpu",
            )
            self._model.set_logger(Logger(folder=None, output_formats=[]))
        return self._model, self._observe

    def ask(self, context: Context) -> Array:
        """A draw of the actor for this context; of the initial distribution during the warm-up."""
        if self._told < self.warmup:
            return self.rng.standard_normal(DIM)
        with self._globals.entered():
            model, observe = self._learner(context)
            action, _ = model.predict(observe(context), deterministic=False)
        return LIMIT * np.asarray(action, dtype=np.float64)

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Adds one terminal transition to the replay buffer and trains."""
        with self._globals.entered():
            model, observe = self._learner(context)
            row = observe(context)
            assert model.replay_buffer is not None
            model.replay_buffer.add(
                row[None], row[None], (z / LIMIT).astype(np.float32)[None], np.array([reward]), np.array([True]), [{}]
            )
            self._total = self._total + row
            self._told += 1
            if self._told >= self.warmup and self.gradient_steps:
                model.train(self.gradient_steps, batch_size=min(32, self._told))

    def recommend(self) -> Array:
        """The actor's mean action for the average context so far; the untouched prior during the warm-up."""
        if self._told < max(self.warmup, 1) or self._model is None:
            return np.zeros(DIM)
        before = self._globals.snapshot()
        with self._globals.entered():
            mean = (self._total / self._told).astype(np.float32)
            action, _ = self._model.predict(mean, deterministic=True)
        self._globals.restore(before)
        return LIMIT * np.asarray(action, dtype=np.float64)


class PPOSearch(PopulationSearch):
    """Proximal policy optimisation: trains on every ten of its own trials, whose log-probabilities it needs."""

    learns_from_foreign = False

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        popsize: int | None = None,
        epochs: int = 10,
        width: int = 64,
        learning_rate: float = 1e-3,
    ) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes; by default a rollout is its divisor nearest to ten.
            popsize: trials of a rollout instead of that.
            epochs: of PPO over each rollout.
            width: units of the two hidden layers of actor and critic.
            learning_rate: of Adam.
        """
        super().__init__(seed=seed, budget=budget, popsize=popsize)
        self.epochs, self.width = check_count("epochs", epochs), check_count("width", width)
        self.learning_rate = check_positive("learning_rate", learning_rate)
        self._globals = OwnGlobals(int(self.rng.integers(2**31)), torch=True)
        self._model: PPO | None = None
        self._observe: _Observer | None = None
        self._asked: list[tuple[Float32, Float32, torch.Tensor, torch.Tensor] | None] = []
        self._rows: list[Float32] = []

    def _learner(self, context: Context) -> tuple[PPO, _Observer]:
        if self._model is None or self._observe is None:
            self._observe = _Observer(context)
            self._model = PPO(
                "MlpPolicy",
                _Spaces(self._observe.size),
                learning_rate=self.learning_rate,
                n_steps=self.popsize,
                batch_size=self.popsize,
                n_epochs=self.epochs,
                policy_kwargs={"net_arch": [self.width, self.width], "log_std_init": _INITIAL_LOG_STD},
                device="cpu",
            )
            self._model.set_logger(Logger(folder=None, output_formats=[]))
        return self._model, self._observe

    def ask(self, context: Context) -> Array:
        """A draw of the actor, remembered with its value and log-probability."""
        with self._globals.entered(), torch.no_grad():
            model, observe = self._learner(context)
            row = observe(context)
            action, value, log_probability = model.policy(obs_as_tensor(row[None], model.device))
            drawn = action.numpy().astype(np.float32)
        self._asked.append((row, drawn, value, log_probability))
        return LIMIT * drawn[0].astype(np.float64)

    def update(self, numbers: list[int], points: list[Array], rewards: list[float]) -> None:
        """One rollout, each step of which is a whole episode, and PPO's training on it."""
        assert self._model is not None
        with self._globals.entered():
            buffer = self._model.rollout_buffer
            buffer.reset()
            for number, reward in zip(numbers, rewards, strict=True):
                remembered = self._asked[number]
                assert remembered is not None
                row, drawn, value, log_probability = remembered
                self._asked[number] = None
                self._rows.append(row)
                buffer.add(row[None], drawn, np.array([reward]), np.array([1.0]), value, log_probability)
            buffer.compute_returns_and_advantage(last_values=torch.zeros(1, 1), dones=np.array([1.0]))
            self._model.train()

    def recommend(self) -> Array:
        """The actor's mean action for the average context so far; the untouched prior before the first rollout."""
        if self._model is None or not self._rows:
            return np.zeros(DIM)
        before = self._globals.snapshot()
        with self._globals.entered():
            action, _ = self._model.predict(np.mean(self._rows, axis=0), deterministic=True)
        self._globals.restore(before)
        return LIMIT * np.asarray(action, dtype=np.float64)
