"""Evaluation of frozen policies on the same scenes for every method, resumable episode by episode."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Agent, Policy
from deft_agents.policies.base import ConstantPolicy
from deft_env import grasp
from deft_env.episode import SPLITS, Context, EpisodeKey, Outcome, Status, jsonable
from deft_env.prior.prior import PriorFailureError
from deft_env.rigs.rig import Frames, SceneLostError
from deft_experiments import spent
from deft_experiments.errors import RigError
from deft_experiments.parts import Parts
from deft_experiments.payloads import outcome_payload
from deft_experiments.playing import LARGEST_BATCH, Keeper, contexts, rate, stored_outcomes
from deft_experiments.run import Run
from deft_experiments.store import Store

PRIOR_ALONE: Final = "prior"
"""Name of the policy that leaves the prior as it is: the paper's affordance model only."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A frozen policy to be evaluated.

    Attributes:
        run: the run it came from; its seed names the scenes.
        fit: makes the policy; called once, and only when an episode is missing (fitting takes time).
        label: its name in tables, such as ``"cvae"``.
        after: fine-tuning episodes that it was fitted to.
    """

    run: Run
    fit: Callable[[], Policy]
    label: str
    after: int


def prior_alone(run: Run) -> Candidate:
    """The untouched prior of a run, as a policy."""
    return Candidate(run, lambda: ConstantPolicy(PRIOR_ALONE, np.zeros(grasp.DIM)), PRIOR_ALONE, 0)


def other_policy(agent: Agent, name: str) -> Policy:
    """The policy ``name`` fitted to the same episodes as the agent's own.

    Raises:
        KeyError: for an unknown policy.
        ValueError: if the agent keeps no history and is not asked for its own policy.
    """
    from deft_agents import SearchPolicyAgent, policies

    if name == agent.name.partition("+")[2]:
        return agent.freeze()
    if not isinstance(agent, SearchPolicyAgent):
        raise ValueError(f"policy {name!r}: agent {agent.name!r} keeps no history to fit it to")
    fitter = policies.load(name)(seed=agent.search.seed)
    fitter.name = name
    policy: Policy = fitter.fit(agent.history(), agent.search)
    return policy


def evaluate(
    candidates: Sequence[Candidate],
    parts: Parts,
    store: Store,
    *,
    trials: int,
    splits: Sequence[str] = SPLITS,
    every_event: bool = False,
    keeper: Keeper | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Plays what is missing of ``trials`` episodes a split for every candidate.

    Every candidate of a seed meets the same scenes; the policy's own randomness is a function of the scene's key, so
    that no figure depends on the batch or on what was evaluated before.

    Raises:
        RigError: if an episode is faulted or voided again and again.
    """
    jobs = [
        (candidate, EpisodeKey(candidate.run.config.task, split, "eval", candidate.run.config.seed, k))
        for candidate in candidates
        for split in splits
        for k in range(trials)
    ]
    policies: dict[int, Policy] = {}
    known: dict[EpisodeKey, Context] = {}
    _judge_waiting(jobs, parts, keeper)
    while True:
        missing = [(c, key) for c, key in jobs if (c.label, c.after, key.split, key.k) not in c.run.evaluations.done]
        if not missing:
            return
        size = parts.rig.max_batch or LARGEST_BATCH
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            for candidate, _ in batch:
                if id(candidate) not in policies:
                    with parts.clock(spent.FITTING):
                        policies[id(candidate)] = candidate.fit()
            _play(batch, policies, parts, store, every_event, keeper, known)
            if progress is not None:
                progress(len(batch))


def _play(
    batch: list[tuple[Candidate, EpisodeKey]],
    policies: Mapping[int, Policy],
    parts: Parts,
    store: Store,
    every_event: bool,
    keeper: Keeper | None,
    known: dict[EpisodeKey, Context],
) -> None:
    try:
        with parts.clock(spent.SCENES):
            frames = parts.rig.reset_batch([key for _, key in batch])
    except SceneLostError as error:
        raise RigError(f"evaluation episode {batch[0][1]}: {error}; mend the rig and resume") from error
    with parts.clock(spent.PRIOR):
        blind = _look(batch, frames, parts, known)
    if blind:
        for candidate, key in [job for job in batch if job[1] in blind]:
            if parts.rig.real:
                raise RigError(f"evaluation episode {key}: {blind[key]}; mend the scene and resume")
            # A simulated scene is drawn the same way again: that the prior sees nothing in it is the method's failure.
            candidate.run.evaluations.executed(
                candidate.label, candidate.after, key, _nothing_seen(key, blind[key]), 0.0
            )
        rest = [job for job in batch if job[1] not in blind]
        if rest:
            _play(rest, policies, parts, store, every_event, keeper, known)
        return
    seen = [known[key] for _, key in batch]
    residuals = _residuals(batch, policies, seen)
    started = time.perf_counter()
    wished = grasp.compose(np.array([c.prior for c in seen]), residuals)
    with parts.clock(spent.PHYSICS):
        outcomes = parts.rig.execute_batch(wished, [parts.task.demonstration] * len(batch))
    seconds = (time.perf_counter() - started) / len(batch)
    if keeper is not None:
        for i, (candidate, key) in enumerate(batch):
            keeper.keep(candidate.run, _name(candidate, key), functools.partial(frames.__getitem__, i), outcomes[i])
    rows = zip(batch, seen, residuals, outcomes, strict=True)
    with nullcontext() if every_event else store.transaction():
        for row in rows:
            _record(*row, seconds)
    _judge(batch, frames, outcomes, parts)


def _look(
    batch: Sequence[tuple[Candidate, EpisodeKey]], frames: Frames, parts: Parts, known: dict[EpisodeKey, Context]
) -> dict[EpisodeKey, str]:
    """Adds what agents see of the batch's scenes to ``known``; scenes in which the prior sees nothing, and why.

    Candidates meet the same scenes, so a simulated one is rendered and looked at once for all of them; a real one is
    prepared anew for each.
    """
    blind = {}
    for i, (_, key) in enumerate(batch):
        if (key in known and not parts.rig.real) or key in blind:
            continue
        truths = None if frames.truths is None else frames.truths[i : i + 1]
        try:
            (known[key],) = contexts(parts, Frames([key], lambda _, i=i: frames[i], truths))  # type: ignore[misc]
        except PriorFailureError as error:
            blind[key] = str(error)
    return blind


def _nothing_seen(key: EpisodeKey, why: str) -> dict[str, Any]:
    return {
        "key": str(key),
        "residual": [],
        "prior": [],
        "executed_grasp": [],
        "subgoals": [],
        "status": str(Status.FAILED),
        "reason": f"prior: {why}",
        "success": False,
        "score": 0.0,
    }


def _judge_waiting(jobs: Sequence[tuple[Candidate, EpisodeKey]], parts: Parts, keeper: Keeper | None) -> None:
    """Asks for the verdicts on episodes that were executed just before an interruption."""
    for candidate, key in jobs:
        payload = candidate.run.evaluations.waiting.get((candidate.label, candidate.after, key.split, key.k))
        if payload is not None:
            frames, outcomes = stored_outcomes([(candidate.run, _name(candidate, key))], [payload], [key], keeper)
            _judge([(candidate, key)], frames, outcomes, parts)


def _name(candidate: Candidate, key: EpisodeKey) -> str:
    return f"{candidate.label}-{candidate.after:03d}-{key.split}-{key.k:04d}"


def _judge(
    batch: Sequence[tuple[Candidate, EpisodeKey]], frames: Frames, outcomes: Sequence[Outcome], parts: Parts
) -> None:
    """Asks a person for what no judge said."""
    open_ = [i for i, o in enumerate(outcomes) if o.status is Status.COMPLETED and o.success is None]
    if not open_:
        return
    if not parts.reward.needs_operator:
        raise RigError(
            f"evaluation episode {outcomes[open_[0]].key}: nobody said whether it succeeded; on a rig without a judge "
            "use --reward human, or --no-eval"
        )
    rewards, judged = rate(parts, frames, outcomes)
    for i in open_:
        candidate, key = batch[i]
        if not judged[i].status.counts:
            candidate.run.evaluations.void(candidate.label, candidate.after, key, judged[i].reason)
        else:
            said, place = judged[i], (candidate.label, candidate.after, key)
            candidate.run.evaluations.verdict(*place, float(rewards[i]), success=said.success, score=said.score)


def _residuals(
    batch: list[tuple[Candidate, EpisodeKey]], policies: Mapping[int, Policy], seen: list[Context]
) -> NDArray[np.float64]:
    out = np.empty((len(batch), grasp.DIM))
    groups: dict[int, list[int]] = {}
    for i, (candidate, _) in enumerate(batch):
        groups.setdefault(id(candidate), []).append(i)
    for place, rows in groups.items():
        out[rows] = policies[place]([seen[i] for i in rows], [batch[i][1].generator("policy") for i in rows])
    return out


def _record(
    job: tuple[Candidate, EpisodeKey], context: Context, residual: NDArray[np.float64], outcome: Outcome, seconds: float
) -> None:
    candidate, key = job
    payload = {
        "key": str(key),
        "residual": jsonable(residual),
        "prior": jsonable(context.prior),
        **outcome_payload(outcome),
    }
    candidate.run.evaluations.executed(candidate.label, candidate.after, key, payload, seconds)
