"""Measures how hard a simulated prior error makes a task: prior alone, and what fine-tuning makes of it.

``python -m deft_experiments.calibrate PickCup`` plays, for the error in the task's data file (or ``--common`` given as
``name=sigma`` pairs), the reference grasp, the prior alone, and agents in lockstep over seeds, and prints success after
10, 20 and 30 episodes of the elite mean. Two rules are checked: the common error has a whitened norm of at most 2.5
sigma and at most 2 sigma in a coordinate, so that thirty episodes can mend it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tyro
from numpy.typing import NDArray

from deft_agents import make_agent
from deft_env import grasp, paper
from deft_env.episode import Context, EpisodeKey, generator
from deft_env.prior.simulated import SimulatedPrior
from deft_env.rigs.rig import PriorError
from deft_env.rigs.simulated import SimulatedRig
from deft_experiments import statistics

Array = NDArray[np.float64]
MAX_NORM: Final = 2.5
MAX_COORDINATE: Final = 2.0
CHUNK: Final = 600


@dataclass(frozen=True)
class Config:
    """Settings of a calibration run.

    Attributes:
        task: the task.
        common: ``name=sigma`` pairs of the common error; empty takes the data file's.
        seeds: runs an agent.
        trials: evaluation trials a run and split; 0 evaluates the prior alone only.
        agents: agents that learn.
        snapshots: evaluate the frozen policies after so many episodes.
        test: evaluate on the test split too.
        json: print one JSON object at the end.
    """

    task: tyro.conf.Positional[str]
    common: tuple[str, ...] = ()
    seeds: int = 20
    trials: int = 10
    agents: tuple[str, ...] = ("cem+elite-mean",)
    snapshots: tuple[int, ...] = (10, 20, 30)
    test: bool = False
    json: bool = False


def parse_common(pairs: tuple[str, ...]) -> Array:
    """``("mu_z=1.5", "wrist_pitch=-1")`` -> (22,) in sigma.

    Raises:
        ValueError: for an unknown coordinate or a pair that is none.
    """
    out = np.zeros(grasp.DIM)
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name not in grasp.NAMES or not value:
            raise ValueError(f"common: expected name=sigma with a name of {grasp.NAMES}, got {pair!r}")
        out[grasp.NAMES.index(name)] = float(value)
    return out


def check_error(error: PriorError) -> list[str]:
    """What a prior error breaks of the rules; empty when it keeps them."""
    problems = []
    norm, largest = float(np.sqrt((error.common**2).sum())), float(np.abs(error.common).max())
    if norm > MAX_NORM + 1e-9:
        problems.append(f"common error has whitened norm {norm:.2f}, at most {MAX_NORM} is allowed")
    if largest > MAX_COORDINATE + 1e-9:
        problems.append(f"common error has a coordinate of {largest:.2f} sigma, at most {MAX_COORDINATE} is allowed")
    return problems


class Bench:
    """Plays a task's grasps from a prior, in large batches."""

    def __init__(self, task: str) -> None:
        """Makes the rig and the simulated prior."""
        self.rig = SimulatedRig(film=False)
        self.task = self.rig.task(task)
        self.prior = SimulatedPrior()

    def play(self, keys: list[EpisodeKey], residuals: Any, *, reference: bool = False) -> tuple[Array, Array, Array]:
        """(success, score, xi) of prior + residual; ``residuals`` is (N, 22) or a function of xi and first index."""
        success, score, priors = [], [], []
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            frames = self.rig.reset_batch(part)
            assert frames.truths is not None
            xi = np.stack([t.human_grasp for t in frames.truths]) if reference else self.prior(frames, self.task)
            residual = residuals(xi, start) if callable(residuals) else residuals[start : start + CHUNK]
            for outcome in self.rig.execute_batch(xi + residual, [self.task.demonstration] * len(part)):
                success.append(float(bool(outcome.success)))
                score.append(float(outcome.score or 0.0))
            priors.append(xi)
        return np.array(success), np.array(score), np.concatenate(priors)

    def trial_keys(self, split: str, seeds: int, trials: int) -> list[EpisodeKey]:
        """Evaluation scenes, the same for every agent."""
        return [EpisodeKey(self.task.name, split, "eval", s, k) for s in range(seeds) for k in range(trials)]

    def learn(self, agent: str, seeds: int, snapshots: tuple[int, ...]) -> tuple[dict[int, list[Any]], Array]:
        """Fine-tunes ``seeds`` runs in lockstep; returns the frozen policies by episode count, and the scores."""
        agents = [make_agent(agent, seed=s, budget=paper.EPISODES) for s in range(seeds)]
        policies: dict[int, list[Any]] = {}
        scores = np.zeros((paper.EPISODES, seeds))
        for k in range(paper.EPISODES):
            trials: list[Any] = []

            def propose(xi: Array, start: int, trials: list[Any] = trials) -> Array:
                trials += [agents[start + i].ask(Context(x)) for i, x in enumerate(xi)]
                return np.stack([t.residual for t in trials[start:]])

            keys = [EpisodeKey(self.task.name, "train", "train", s, k) for s in range(seeds)]
            _, scores[k], _ = self.play(keys, propose)
            for one, trial, reward in zip(agents, trials, scores[k], strict=True):
                one.tell(trial, float(reward))
            if k + 1 in snapshots:
                policies[k + 1] = [one.freeze() for one in agents]
        return policies, scores

    def evaluate(self, policies: list[Any], split: str, trials: int) -> Array:
        """Success (seeds, trials) of frozen policies."""
        keys = self.trial_keys(split, len(policies), trials)

        def residual(xi: Array, start: int) -> Array:
            rows = []
            for i, x in enumerate(xi):
                key = keys[start + i]
                rows.append(policies[key.seed]([Context(x)], [key.generator("policy")])[0])
            return np.stack(rows)

        return self.play(keys, residual)[0].reshape(len(policies), trials)


def interval(per_seed: Array) -> str:
    """Mean with a t interval over seeds."""
    if len(per_seed) < 2:
        return f"{per_seed.mean():.2f}"
    found = statistics.t_interval(per_seed)
    return f"{found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}]"


def main(config: Config) -> dict[str, Any]:
    """Runs and prints."""
    bench = Bench(config.task)
    error = bench.task.prior_error
    if config.common:
        error = PriorError(parse_common(config.common), error.dependent, error.noise)
        bench.task.__dict__["prior_error"] = error
    for problem in check_error(error):
        print(f"{config.task}: RULE BROKEN: {problem}")
    out: dict[str, Any] = {"task": config.task}
    splits = ("train", "test") if config.test else ("train",)
    zero = np.zeros((config.seeds * max(config.trials, 1), grasp.DIM))
    for split in splits:
        keys = bench.trial_keys(split, config.seeds, max(config.trials, 1))
        for name, reference in (("reference", True), ("prior alone", False)):
            success, score, _ = bench.play(keys, zero, reference=reference)
            per_seed = success.reshape(config.seeds, -1).mean(1)
            out[f"{name}/{split}"] = per_seed.tolist()
            print(
                f"{config.task} {split:5s} {name:14s} success {interval(per_seed)} score {score.mean():.2f}", flush=True
            )
    if config.trials:
        noise = generator("calibrate", "noise").normal(size=zero.shape) * grasp.SIGMA
        keys = bench.trial_keys("train", config.seeds, config.trials)
        success, score, _ = bench.play(keys, noise)
        print(f"{config.task} train prior + sigma    success {success.mean():.2f} score {score.mean():.2f}", flush=True)
    for agent in config.agents if config.trials else ():
        start = time.monotonic()
        policies, scores = bench.learn(agent, config.seeds, config.snapshots)
        out[f"{agent}/scores"] = scores.tolist()
        early, late = scores[:10].mean(), scores[20:].mean()
        print(f"{config.task} {agent}: score of episodes 1-10 {early:.2f}, 21-30 {late:.2f}", flush=True)
        for split in splits:
            for k in config.snapshots:
                success = bench.evaluate(policies[k], split, config.trials)
                out[f"{agent}/{split}/{k}"] = success.mean(1).tolist()
                print(f"{config.task} {split:5s} {agent} after {k}: success {interval(success.mean(1))}", flush=True)
        print(f"{config.task} {agent}: {time.monotonic() - start:.0f} s", flush=True)
    if config.json:
        print(json.dumps(out))
    return out


if __name__ == "__main__":
    main(tyro.cli(Config))
