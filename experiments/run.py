"""One run of Algorithm 1 as a state machine driven by its event log.

    asked -> executed -> scored (again, if corrected) -> told, or voided

Live, an event is appended to the store and then applied; resuming applies the stored events to a fresh agent, and
checks that it asks the same. ``told`` is due when the next ask is about to be made: until then a correction costs
nothing, after it a correction is kept for re-fitting and re-scoring only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from deft_agents.agent import Agent
from deft_env import grasp
from deft_env.episode import Context, EpisodeKey, Outcome, Status, Trial
from deft_experiments.config import RunConfig
from deft_experiments.errors import ReplayError
from deft_experiments.payloads import asked_payload, logged_context, outcome_payload, same_context
from deft_experiments.run_episode import Episode
from deft_experiments.run_evaluations import Evaluations
from deft_experiments.run_log import RunLog
from deft_experiments.store import Event, Store

TRAIN: Final = "train"


class Run:
    """One fine-tuning run: configuration, agent, log.

    Attributes:
        config: what was asked for.
        id: id in the store.
        agent: replayed, ready for the next ask.
        episodes: what happened, by k.
        evaluations: of its frozen policies.
    """

    def __init__(
        self,
        config: RunConfig,
        make_agent: Callable[[], Agent],
        store: Store,
        *,
        reward_range: tuple[float, float] = (0.0, 1.0),
        higher_is_better: bool = True,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Opens the run in the store: a new one starts, one that is there is replayed through a fresh agent.

        Raises:
            ReplayError: if the agent asks something else than the log says.
        """
        self.config, self.agent, self.id = config, make_agent(), config.run_id
        self._make_agent = make_agent
        self.reward_range, self.sign = reward_range, 1.0 if higher_is_better else -1.0
        self.episodes: list[Episode] = []
        self._log = RunLog(self.id, store)
        self.evaluations = Evaluations(self._log, config.reward)
        self._store = store
        store.add_run(self.id, config.as_dict(), provenance or {})
        for event in store.events(self.id):
            self._replay(event)

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def cursor(self) -> int:
        """Sequence number of the next event."""
        return self._log.cursor

    @property
    def mishap(self) -> str:
        """Why the newest attempt did not count; empty after one that did."""
        return self._log.mishap

    @property
    def next_k(self) -> int | None:
        """The episode to do next: an interrupted, faulted or voided one first; None when all N have been executed."""
        for episode in self.episodes:
            if episode.executed is None:
                return episode.k
        return len(self.episodes) if len(self.episodes) < self.config.episodes else None

    @property
    def unscored(self) -> list[Episode]:
        """Episodes that were executed and wait for a score."""
        return [e for e in self.episodes if e.counts and not e.rewards and e.told is None]

    @property
    def finished(self) -> bool:
        """Whether all N episodes were told."""
        return len(self.episodes) == self.config.episodes and all(e.told is not None for e in self.episodes)

    def key(self, k: int) -> EpisodeKey:
        """The key of training episode ``k``."""
        return EpisodeKey(self.config.task, "train", TRAIN, self.config.seed, k)

    def agent_after(self, told: int) -> Agent:
        """A fresh agent in the state it had when it had been told ``told`` episodes, from the log.

        Raises:
            ValueError: if the run has not been told that many.
        """
        agent, trials, count = self._make_agent(), dict[int, Trial](), 0
        for event in self._store.events(self.id) if told else ():
            if event.role != TRAIN:
                continue
            if event.kind == "asked":
                context = logged_context(event)
                first = trials.get(event.k)
                trials[event.k] = dataclasses.replace(first, context=context) if first else agent.ask(context)
            elif event.kind == "told":
                agent.tell(trials[event.k], float(event.payload["reward"]), Status(event.payload["status"]))
                count += 1
            if count == told:
                return agent
        if count < told:
            raise ValueError(f"told: run {self.id} has been told {count} episodes, fewer than {told}")
        return agent

    # --- what happens, in the order of an episode --------------------------------------------------------------------
    def settle(self) -> None:
        """Tells the agent everything that is scored and not yet told: the next ask (or the end) is due."""
        for episode in self.episodes:
            if episode.counts and episode.rewards and episode.told is None:
                status = str(episode.executed["status"]) if episode.executed else ""
                self._emit("told", episode, {"reward": self.sign * episode.rewards[-1], "status": status})

    def ask(self, context: Context) -> Trial:
        """Asks the agent for episode ``next_k`` (or takes up its interrupted trial) and records it."""
        k = self.next_k
        if k is None:
            raise ValueError("ask: all episodes of this run have been executed")
        if k == len(self.episodes):
            self.episodes.append(Episode(k))
        episode = self.episodes[k]
        if episode.trial is None:
            episode.trial = self.agent.ask(context)
        elif episode.asked and same_context(context, episode.trial.context):
            return episode.trial  # interrupted between ask and execution, and the scene is the same: nothing new
        else:
            if episode.asked:
                episode.again()
            episode.trial = dataclasses.replace(episode.trial, context=context)
        trial = episode.trial
        self._emit("asked", episode, asked_payload(str(self.key(k)), trial))
        return trial

    def executed(self, k: int, outcome: Outcome, seconds: float | None = None) -> None:
        """Records what the rig reports of episode ``k``; a fault or void puts the same trial in line again.

        Raises:
            RigError: after ``MAX_ATTEMPTS`` faults and voids of the same episode.
        """
        self._emit("executed", self.episodes[k], outcome_payload(outcome), seconds)
        if outcome.status.counts:
            self._log.went_well()
        else:
            self._log.went_wrong(self.key(k), f"{outcome.status}: {outcome.reason or 'no reason given'}")

    def scored(
        self, k: int, reward: float, *, success: bool | None = None, score: float | None = None, source: str = ""
    ) -> None:
        """Records a score of episode ``k``, the first one or a correction, early or late.

        Raises:
            ValueError: for an episode that was not executed, or a reward that is NaN or out of range; nothing is kept.
        """
        episode = self._executed_episode(k, "score")
        low, high = self.reward_range
        if not low <= reward <= high:
            raise ValueError(f"reward of episode {k}: expected a number in [{low}, {high}], got {reward!r}")
        payload: dict[str, Any] = {"reward": float(reward), "source": source or self.config.reward}
        if success is not None:
            payload["success"] = bool(success)
        if score is not None:
            payload["score"] = float(score)
        self._emit("scored", episode, payload)

    def void(self, k: int, reason: str) -> None:
        """Records that episode ``k`` was not the action's doing: before it was told the same trial runs again."""
        episode = self._executed_episode(k, "void")
        self._emit("voided", episode, {"reason": reason})
        self._log.went_wrong(self.key(k), f"voided: {reason}")

    def no_scene(self, reason: str) -> None:
        """Records that the scene of episode ``next_k`` was no good (nothing to grasp in it): a fresh one is needed."""
        k = self.next_k
        if k is None:
            raise ValueError("no_scene: all episodes of this run have been executed")
        if k == len(self.episodes):
            self.episodes.append(Episode(k))
        self._emit("voided", self.episodes[k], {"reason": reason})
        self._log.went_wrong(self.key(k), f"voided: {reason}")

    # --- the log ----------------------------------------------------------------------------------------------------
    def _emit(self, kind: str, episode: Episode, payload: dict[str, Any], seconds: float | None = None) -> None:
        event = self._log.append(kind, TRAIN, ("", 0, "train", episode.k), episode.attempt, payload, seconds)
        self._apply(event, episode)

    def _apply(self, event: Event, episode: Episode) -> None:
        episode.apply(event)
        if event.kind == "told":
            if episode.trial is None:
                raise ReplayError(
                    f"run {self.id}: episode {episode.k} was told before it was asked; the log is damaged"
                )
            self.agent.tell(episode.trial, float(event.payload["reward"]), Status(event.payload["status"]))

    def _replay(self, event: Event) -> None:
        self._log.replay(event)
        if event.role != TRAIN:
            self.evaluations.apply(event)
            return
        if event.k > len(self.episodes):
            raise ReplayError(f"run {self.id}: episode {len(self.episodes)} is missing from the log; it is damaged")
        if event.k == len(self.episodes):
            self.episodes.append(Episode(event.k))
        episode = self.episodes[event.k]
        if event.kind == "asked":
            if event.attempt > episode.attempt:
                episode.again()
            context = logged_context(event)
            if episode.trial is None:
                episode.trial = self.agent.ask(context)
            else:
                episode.trial = dataclasses.replace(episode.trial, context=context)
            if episode.trial.residual.tolist() != event.payload["residual"]:
                worst = int(np.argmax(np.abs(grasp.whiten(episode.trial.residual - event.payload["residual"]))))
                raise ReplayError(
                    f"run {self.id}: on replay the agent {self.config.agent!r} asks another residual for episode "
                    f"{event.k} (first at {grasp.NAMES[worst]}); it was recorded by other code, another machine or "
                    "other package versions: resume there, or start a new run"
                )
        self._apply(event, episode)

    def _executed_episode(self, k: int, word: str) -> Episode:
        if not 0 <= k < len(self.episodes) or not self.episodes[k].counts:
            done = [e.k for e in self.episodes if e.counts]
            raise ValueError(f"{word}: episode {k!r} has not been executed; executed ones: {done or 'none'}")
        return self.episodes[k]
