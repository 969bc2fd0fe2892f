"""Advances runs of one task together: one batch of episodes at a time. A single run is the batch of one."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import Context, EpisodeKey, Frame, Outcome
from deft_env.prior.prior import PriorFailureError
from deft_env.rigs.rig import Frames, SceneLostError
from deft_experiments import spent
from deft_experiments.errors import ReplayError, RigError
from deft_experiments.parts import Parts
from deft_experiments.payloads import outcome_payload
from deft_experiments.playing import LARGEST_BATCH, Keeper, contexts, rate, stored_outcomes
from deft_experiments.run import Run
from deft_experiments.run_episode import episode_name
from deft_experiments.store import Store
from deft_experiments.words import Inbox, Word


class Lockstep:
    """Advances many runs of one task by one episode each, physics in one batch.

    Args:
        runs: the runs; each goes on from where its log ends.
        parts: rig, task, prior, reward, encoder, shared by all.
        store: where the runs' events go.
        every_event: whether each event is committed by itself; otherwise one transaction a step (simulated sweeps).
        inbox: where a person's words come from; then ``parts.reward`` is not called, and a run waits for its scores.
        lag: unscored episodes that a run may have when it asks for the next one (0: Algorithm 1 to the letter).
        keeper: keeps pictures.
        before_ask: called with each run when all its due tells are made and it is about to ask, or has finished.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        parts: Parts,
        store: Store,
        *,
        every_event: bool = True,
        inbox: Inbox | None = None,
        lag: int = 0,
        keeper: Keeper | None = None,
        before_ask: Callable[[Run], None] | None = None,
    ) -> None:
        self.runs, self.parts, self.store = list(runs), parts, store
        self._every_event, self._inbox, self._lag = every_event, inbox, lag
        self._keeper, self._before_ask = keeper, before_ask

    @property
    def finished(self) -> bool:
        """Whether every run has been told all its episodes."""
        return all(run.finished for run in self.runs)

    def step(self) -> int:
        """One episode for every run that can have one.

        Returns:
            The number of executed episodes; 0 when all are finished or wait for a person's score.

        Raises:
            RigError: if an episode is faulted or voided again and again.
            StoreError: if something cannot be stored; the runs must then be opened anew from the store.
        """
        with nullcontext() if self._every_event else self.store.transaction():
            for word in self._inbox.poll() if self._inbox else ():
                self._hear(word)
            if self._inbox is None:
                self._rate_interrupted()
            ready = []
            for run in self.runs:
                if len(run.unscored) > (self._lag if run.next_k is not None else 0):
                    continue
                with self.parts.clock(spent.AGENTS):
                    run.settle()
                if self._before_ask is not None:
                    self._before_ask(run)
                if run.next_k is not None:
                    ready.append(run)
            size = self.parts.rig.max_batch or LARGEST_BATCH
            for start in range(0, len(ready), size):
                self._play(ready[start : start + size])
        return len(ready)

    def run_to_end(self, progress: Callable[[int], None] | None = None) -> None:
        """Steps until every run has finished.

        Raises:
            RuntimeError: if a run waits for a person's words, which somebody must bring between steps (``inbox``).
        """
        while not self.finished:
            done = self.step()
            if not done and not self.finished:
                waiting = [run.id for run in self.runs if run.unscored]
                raise RuntimeError(
                    f"run_to_end: {', '.join(waiting)} wait for a score; with an inbox call step instead"
                )
            if progress is not None:
                progress(done)

    # --- inside a step ------------------------------------------------------------------------------------------------
    def _hear(self, word: Word) -> None:
        run = next((r for r in self.runs if r.id == word.run), None) if word.run else self.runs[0]
        if run is None:
            raise ValueError(f"inbox: no run {word.run!r} here; there are: {', '.join(r.id for r in self.runs)}")
        if word.void:
            run.void(word.k, word.void)
        elif word.reward is not None:
            run.scored(word.k, word.reward, success=word.success)
        else:
            raise ValueError(f"inbox: a word about episode {word.k} must hold a reward or a reason to void it")

    def _play(self, runs: list[Run]) -> None:
        keys = [run.key(k) for run in runs if (k := run.next_k) is not None]
        frames, seen, left = self._look(runs, keys)
        if left:
            # The others' scenes are reset again: a rig executes what was reset last, all of it.
            for run, reason in left:
                run.no_scene(reason)
            rest = [run for run in runs if run not in [r for r, _ in left]]
            if rest:
                self._play(rest)
            return
        with self.parts.clock(spent.AGENTS):
            trials = [run.ask(context) for run, context in zip(runs, seen, strict=True)]
        wished = np.array([grasp.compose(t.context.prior, t.residual) for t in trials])
        outcomes, seconds = self._execute(wished)
        for i, (run, key, outcome) in enumerate(zip(runs, keys, outcomes, strict=True)):
            if self._keeper is not None:
                self._keeper.keep(run, episode_name(key.k), functools.partial(frames.__getitem__, i), outcome)
            run.executed(key.k, outcome, seconds)
        if self._inbox is None:
            self._rate(runs, frames, outcomes)

    def _look(self, runs: list[Run], keys: list[EpisodeKey]) -> tuple[Frames, list[Context], list[tuple[Run, str]]]:
        try:
            with self.parts.clock(spent.SCENES):
                frames = self.parts.rig.reset_batch(keys)
        except SceneLostError as error:  # a real rig, hence a batch of one
            return Frames(keys, _no_picture), [], [(runs[0], str(error))]
        try:
            with self.parts.clock(spent.PRIOR):
                return frames, contexts(self.parts, frames), []
        except PriorFailureError as error:
            return frames, [], [(runs[error.index], str(error))]

    def _execute(self, wished: NDArray[np.float64]) -> tuple[list[Outcome], float]:
        started = time.perf_counter()
        with self.parts.clock(spent.PHYSICS):
            outcomes = self.parts.rig.execute_batch(wished, [self.parts.task.demonstration] * len(wished))
        return outcomes, (time.perf_counter() - started) / len(wished)

    def _rate(self, runs: Sequence[Run], frames: Frames, outcomes: Sequence[Outcome]) -> None:
        rewards, judged = rate(self.parts, frames, outcomes)
        for run, outcome, said, reward in zip(runs, outcomes, judged, rewards, strict=True):
            if not outcome.status.counts:
                continue
            if not said.status.counts:
                run.void(outcome.key.k, said.reason)
                continue
            new = said is not outcome
            run.scored(
                outcome.key.k, float(reward), success=said.success if new else None, score=said.score if new else None
            )
            if self._keeper is not None:
                self._keeper.scored(run)

    def _rate_interrupted(self) -> None:
        """Scores what was executed just before a run was interrupted.

        In simulation the episode is played again, since its pictures and signals are not stored, and must come out the
        same. On a real rig the reward gets the stored outcome; a reward that looks at pictures has the kept ones.
        """
        waiting = [(run, episode) for run in self.runs for episode in run.unscored]
        if not waiting or self._lag:
            return
        size = self.parts.rig.max_batch or LARGEST_BATCH
        for start in range(0, len(waiting), size):
            part = waiting[start : start + size]
            runs = [run for run, _ in part]
            keys = [run.key(episode.k) for run, episode in part]
            if self.parts.rig.real:
                names = [(run, episode_name(episode.k)) for run, episode in part]
                payloads = [episode.executed or {} for _, episode in part]
                frames, outcomes = stored_outcomes(names, payloads, keys, self._keeper)
            else:
                frames = self.parts.rig.reset_batch(keys)
                trials = [episode.trial for _, episode in part if episode.trial is not None]
                outcomes, _ = self._execute(np.array([grasp.compose(t.context.prior, t.residual) for t in trials]))
                for (run, episode), outcome in zip(part, outcomes, strict=True):
                    if outcome_payload(outcome) != episode.executed:
                        raise ReplayError(
                            f"run {run.id}: episode {episode.k} comes out differently when played again; it was "
                            "recorded by other code, another machine or other package versions: start a new run"
                        )
            self._rate(runs, frames, outcomes)


def _no_picture(_: int) -> Frame:
    raise RigError("there is no scene, hence no picture of it")
