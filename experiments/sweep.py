"""Sweeps: agents x tasks x seeds in lockstep batches, in one process or in spawned workers with a shard each.

A worker that dies is started again and goes on from its shard; shards are merged by unique keys, so that nothing is
lost and nothing doubled. Agents that share a search share its episodes: the policies are fitted to the same ones.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from deft_agents import Policy, split_name
from deft_env.episode import SPLITS
from deft_experiments import provenance, spent
from deft_experiments.config import RunConfig, with_shipped
from deft_experiments.errors import RigError
from deft_experiments.evaluate import PRIOR_ALONE, Candidate, evaluate, other_policy, prior_alone
from deft_experiments.lockstep import Lockstep
from deft_experiments.parts import Parts, make_parts, single_thread
from deft_experiments.run import Run
from deft_experiments.store import Store

RUNS: Final = Path("runs")
SHARDS: Final = "shards"
MAX_RESTARTS: Final = 5
"""Deaths of one worker before the sweep stops (our choice); it resumes."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a sweep and what is evaluated of it.

    Attributes:
        config: the run; its agent names the search and the first policy.
        policies: every policy that is fitted to its episodes.
        prior: whether the untouched prior is evaluated with this run (once a task, prior and seed).
    """

    config: RunConfig
    policies: tuple[str, ...]
    prior: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole sweep.

    Attributes:
        jobs: the runs.
        trials: evaluation episodes a split; 0 for no evaluation.
        at: fine-tuning episodes after which policies are distilled and evaluated.
        weights: name -> path.
        splits: the splits that are evaluated.
    """

    jobs: tuple[Job, ...]
    trials: int
    at: tuple[int, ...]
    weights: Mapping[str, Path] = field(default_factory=dict)
    splits: tuple[str, ...] = SPLITS

    @property
    def training_episodes(self) -> int:
        """Fine-tuning episodes of all runs."""
        return sum(job.config.episodes for job in self.jobs)

    @property
    def evaluation_episodes(self) -> int:
        """Evaluation episodes of all runs."""
        return self.trials * len(self.splits) * sum(len(j.policies) * len(self.at) + j.prior for j in self.jobs)

    def part(self, jobs: Sequence[Job]) -> Plan:
        """The same plan for some of the jobs."""
        return dataclasses.replace(self, jobs=tuple(jobs))

    def groups(self) -> list[list[Job]]:
        """Jobs that can advance together: same task, rig, prior, reward and encoder with the same options."""
        found: dict[str, list[Job]] = {}
        for job in self.jobs:
            shared = {k: v for k, v in job.config.as_dict().items() if k not in ("agent", "agent_options", "seed")}
            found.setdefault(json.dumps(shared, sort_keys=True), []).append(job)
        return list(found.values())


def new_folder(name: str = "bench") -> Path:
    """A folder that does not exist yet: ``runs/<time>-<name>``."""
    base = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    folder, n = base, 2
    while folder.exists():
        folder, n = base.with_name(f"{base.name}-{n}"), n + 1
    return folder


def jobs(base: RunConfig, agents: Sequence[str], tasks: Sequence[str], seeds: int) -> list[Job]:
    """The runs of agents x tasks x seeds: one for each search, shared by the agents that have it."""
    policies: dict[str, list[str]] = {}
    for agent in agents:
        search, policy = split_name(agent)
        if policy not in policies.setdefault(search, []):
            policies[search].append(policy)
    out = []
    for task in tasks:
        for seed in range(seeds):
            for i, (search, names) in enumerate(policies.items()):
                config = dataclasses.replace(base, task=task, seed=seed, agent=f"{search}+{names[0]}")
                out.append(Job(with_shipped(config), tuple(names), prior=i == 0))
    return out


def work(plan: Plan, store: Store, progress: Callable[[int], None]) -> spent.Spent:
    """Does (or goes on with) a plan in this process, one group of like jobs after the other.

    Returns:
        CPU seconds of this process by what they went into; ``spent.ALL`` is all of it.
    """
    started = time.process_time()
    total: spent.Spent = {}
    where = provenance.collect()
    for mine in plan.groups():
        with make_parts(mine[0].config, plan.weights) as parts:
            runs = [_open(job.config, parts, store, where) for job in mine]
            progress(sum(e.counts for run in runs for e in run.episodes))
            Lockstep(runs, parts, store, every_event=parts.rig.real).run_to_end(progress)
            if plan.trials:
                progress(sum(_evaluated(run, job, plan) for run, job in zip(runs, mine, strict=True)))
                # One run after the other: what a policy holds in memory lives no longer than its evaluation.
                for run, job in zip(runs, mine, strict=True):
                    todo = candidates(run, job, plan.at)
                    evaluate(todo, parts, store, trials=plan.trials, splits=plan.splits, progress=progress)
            spent.add_up(total, parts.spent)
    total[spent.ALL] = time.process_time() - started
    return total


def _evaluated(run: Run, job: Job, plan: Plan) -> int:
    """Evaluation episodes of the plan that are stored already; a store may hold others."""
    wanted = {(PRIOR_ALONE, 0)} if job.prior else set()
    wanted |= {(policy, after) for policy in job.policies for after in plan.at}
    return sum(
        k < plan.trials and split in plan.splits and (policy, after) in wanted
        for policy, after, split, k in run.evaluations.done
    )


def _open(config: RunConfig, parts: Parts, store: Store, where: Mapping[str, Any]) -> Run:
    return Run(
        config,
        functools.partial(parts.agent, config),
        store,
        reward_range=parts.reward.range,
        higher_is_better=parts.reward.higher_is_better,
        provenance={**where, "stand_ins": list(parts.stand_ins), "demonstration": parts.task.demonstration.hash},
    )


def candidates(run: Run, job: Job, at: Sequence[int]) -> list[Candidate]:
    """What is evaluated of a run: the prior alone, then every policy after every number of episodes."""
    out = [prior_alone(run)] if job.prior else []

    def fit(policy: str, after: int) -> Policy:
        agent = run.agent if after == run.config.episodes else run.agent_after(after)
        return other_policy(agent, policy)

    for after in at:
        out += [Candidate(run, functools.partial(fit, policy, after), policy, after) for policy in job.policies]
    return out


# --- workers ----------------------------------------------------------------------------------------------------------
def _worker(plan: Plan, shard: Path, progress: Connection) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends its workers
    single_thread()
    # A pipe whose reader is gone ends this process: no orphan goes on after its parent was killed.
    with Store(shard, "w", durable=False) as store:
        total = work(plan, store, progress.send)
    total[spent.ALL] = time.process_time()  # with what it took to start
    progress.send(total)


def run_sweep(plan: Plan, folder: Path, workers: int, progress: Callable[[int], None]) -> spent.Spent:
    """Does (or goes on with) a plan; the rows end up in the store of ``folder``, whatever the number of workers.

    Args:
        plan: the sweep.
        folder: where the store and the shards lie.
        workers: spawned processes; 1 works in this one.
        progress: called with numbers of episodes as they are done.

    Returns:
        CPU seconds of all workers by what they went into (as of ``work``); without those of workers that died.

    Raises:
        RigError: if a worker dies again and again.
    """
    shards = folder / SHARDS
    with Store(folder, "w", durable=False) as store:
        take_over(store, folder)
        if workers == 1:
            return work(plan, store, progress)
        parts = [plan.part(plan.jobs[i::workers]) for i in range(min(workers, len(plan.jobs)))]
        paths = [shards / f"{i:03d}.sqlite" for i in range(len(parts))]
        for part, path in zip(parts, paths, strict=True):
            with Store(path, "w", durable=False) as shard_store:
                shard_store.merge(store.path, [job.config.run_id for job in part.jobs])
        try:
            total = _supervise(parts, paths, progress)
        finally:
            for path in paths:
                store.merge(path)
        for path in paths:
            _remove(path)
        shards.rmdir()
        return total


def take_over(store: Store, folder: Path) -> None:
    """Merges the shards that an interrupted sweep left behind in its folder.

    Raises:
        StoreLockedError: if a worker of a killed sweep still writes one.
    """
    for shard in sorted((folder / SHARDS).glob("*.sqlite")):
        Store(shard, "a", durable=False).close()
        store.merge(shard)
        _remove(shard)


def _supervise(parts: Sequence[Plan], paths: Sequence[Path], progress: Callable[[int], None]) -> spent.Spent:
    context = multiprocessing.get_context("spawn")  # fork after a GL context hangs
    deaths, counted = [0] * len(parts), [0] * len(parts)
    total: spent.Spent = {}

    # A pipe each, no queue: a process that is killed while it holds a queue's lock would silence all others for ever.
    def start(i: int) -> tuple[Connection, tuple[int, BaseProcess]]:
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(target=_worker, args=(parts[i], paths[i], writer), name=f"deft-worker-{i}")
        process.start()
        writer.close()
        return reader, (i, process)

    alive = dict(start(i) for i in range(len(parts)))
    try:
        while alive:
            for reader in wait(list(alive)):
                assert isinstance(reader, Connection)
                try:
                    news = reader.recv()
                    if isinstance(news, dict):
                        spent.add_up(total, news)
                        continue
                    counted[alive[reader][0]] += news
                    progress(news)
                    continue
                except (EOFError, OSError):
                    pass  # the worker is done or dead
                i, process = alive.pop(reader)
                reader.close()
                process.join()
                if process.exitcode == 0:
                    continue
                deaths[i] += 1
                if deaths[i] > MAX_RESTARTS:
                    raise RigError(
                        f"worker {i} died {deaths[i]} times (exit code {process.exitcode}); what it did is stored: "
                        "see its message above, then resume"
                    )
                progress(-counted[i])  # its successor counts what is stored already
                counted[i] = 0
                reader, entry = start(i)
                alive[reader] = entry
    finally:
        for _, process in alive.values():
            process.terminate()
        for _, process in alive.values():
            process.join()
    return total


def _remove(store: Path) -> None:
    for path in store.parent.glob(f"{store.name}*"):
        path.unlink()
