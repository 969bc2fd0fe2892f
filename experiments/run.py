"""One run of Algorithm 1 as a state machine driven by its event log.

    asked -> executed -> scored (again, if corrected) -> told, or voided

Live, an event is appended to the store and then applied; resuming applies the stored events to a fresh agent, and
checks that it asks the same. ``told`` is due when the next ask is about to be made: until then a correction costs
nothing, after it a correction is kept for re-fitting and re-scoring only.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Agent
from deft_env import grasp
from deft_env.episode import Context, EpisodeKey, Outcome, Status, Trial, jsonable
from deft_experiments.config import RunConfig
from deft_experiments.errors import ReplayError, RigError
from deft_experiments.store import Event, Store

MAX_ATTEMPTS: Final = 10
"""Faults and voids of one episode in a row before a run stops (our choice); it resumes when the rig is mended."""
TRAIN: Final = "train"


@dataclass(slots=True)
class Episode:
    """What the log says of one episode of a run.

    Attributes:
        k: number, from 0.
        attempt: faults and voids so far.
        trial: what the agent proposed, in the context of the last attempt; None before the first ask.
        executed: content of the ``executed`` event of the last attempt; None while that is to come.
        rewards: every score of the last attempt in the order they came, as the reward gives them; the last one counts.
        told: what the agent was told; None before.
        voided: whether an operator voided it after it was told: kept, left out of re-fits.
    """

    k: int
    attempt: int = 0
    trial: Trial | None = None
    asked: bool = False
    executed: Mapping[str, Any] | None = None
    rewards: list[float] = field(default_factory=list)
    told: float | None = None
    voided: bool = False
    success: bool | None = None
    score: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it was executed and counts as one of N; a faulted or voided attempt leaves nothing here."""
        return self.executed is not None

    def again(self) -> None:
        """The same trial is to run again on a fresh scene."""
        self.attempt += 1
        self.asked, self.executed, self.rewards, self.success, self.score = False, None, [], None, None


def pack(features: NDArray[np.float64]) -> str:
    """Features as text, exactly: four bytes a number where those hold it, else eight."""
    short = features.astype(np.float32)
    exact = np.array_equal(short.astype(np.float64), features)
    return ("f4:" if exact else "f8:") + base64.b64encode((short if exact else features).tobytes()).decode()


def unpack(text: str) -> NDArray[np.float64]:
    """Reads what ``pack`` wrote."""
    kind, _, data = text.partition(":")
    return np.frombuffer(base64.b64decode(data), dtype=f"<{kind}").astype(np.float64)


def outcome_payload(outcome: Outcome) -> dict[str, Any]:
    """What the log keeps of an outcome; pictures are files, and signals can be made again in simulation."""
    # What the action made impossible (unreachable, a collision) is no success, though no judge looked at it.
    success = False if outcome.status is Status.FAILED else outcome.success
    return {
        "status": str(outcome.status),
        "reason": outcome.reason,
        "executed_grasp": jsonable(np.asarray(outcome.executed_grasp)),
        "success": None if success is None else bool(success),
        "score": None if outcome.score is None else float(outcome.score),
        "subgoals": [[name, bool(reached)] for name, reached in outcome.subgoals.items()],
    }


class Run:
    """One fine-tuning run: configuration, agent, log.

    Attributes:
        config: what was asked for.
        id: id in the store.
        agent: replayed, ready for the next ask.
        episodes: what happened, by k.
        cursor: sequence number of the next event.
        mishap: why the newest attempt did not count; empty after one that did.
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
        self.waiting: dict[tuple[str, int, str, int], Mapping[str, Any]] = {}
        """(policy, after, split, k) -> what was executed, of evaluation episodes that wait for a person's verdict."""
        self.evaluated: dict[tuple[str, int, str, int], int] = {}
        """(policy, after, split, k) -> attempts of an evaluation episode so far; done ones are -1."""
        self.cursor = 0
        self._mishaps, self.mishap = 0, ""
        self._store = store
        store.add_run(self.id, config.as_dict(), provenance or {})
        for event in store.events(self.id):
            self._replay(event)

    # --- state ------------------------------------------------------------------------------------------------------
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
        payload = {
            "key": str(self.key(k)),
            "trial": trial.id,
            "residual": trial.residual.tolist(),
            "prior": context.prior.tolist(),
            "encoder": context.encoder,
            "features": pack(context.features),
        }
        self._emit("asked", episode, payload)
        return trial

    def executed(self, k: int, outcome: Outcome, seconds: float | None = None) -> None:
        """Records what the rig reports of episode ``k``; a fault or void puts the same trial in line again.

        Raises:
            RigError: after ``MAX_ATTEMPTS`` faults and voids of the same episode.
        """
        self._emit("executed", self.episodes[k], outcome_payload(outcome), seconds)
        if outcome.status.counts:
            self._mishaps, self.mishap = 0, ""
        else:
            self._mishap(self.key(k), f"{outcome.status}: {outcome.reason or 'no reason given'}")

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
        self._mishap(self.key(k), f"voided: {reason}")

    def no_scene(self, reason: str) -> None:
        """Records that the scene of episode ``next_k`` was no good (nothing to grasp in it): a fresh one is needed."""
        k = self.next_k
        if k is None:
            raise ValueError("no_scene: all episodes of this run have been executed")
        if k == len(self.episodes):
            self.episodes.append(Episode(k))
        self._emit("voided", self.episodes[k], {"reason": reason})
        self._mishap(self.key(k), f"voided: {reason}")

    def evaluation(self, policy: str, after: int, key: EpisodeKey, payload: dict[str, Any], seconds: float) -> None:
        """Records an executed evaluation episode of a frozen policy."""
        self._evaluation_event("executed", policy, after, key, payload, seconds)
        if Status(payload["status"]).counts:
            self._mishaps, self.mishap = 0, ""
        else:
            self._mishap(key, f"{payload['status']}: {payload['reason'] or 'no reason given'}")

    def verdict(
        self, policy: str, after: int, key: EpisodeKey, reward: float, *, success: bool | None, score: float | None
    ) -> None:
        """Records a person's verdict on an evaluation episode that was executed."""
        payload = {"reward": float(reward), "source": self.config.reward, "success": success, "score": score}
        self._evaluation_event("scored", policy, after, key, payload)

    def void_evaluation(self, policy: str, after: int, key: EpisodeKey, reason: str) -> None:
        """Records that an evaluation episode was not the policy's doing; it runs again on a fresh scene."""
        self._evaluation_event("voided", policy, after, key, {"reason": reason})
        self._mishap(key, f"voided: {reason}")

    def _evaluation_event(
        self,
        kind: str,
        policy: str,
        after: int,
        key: EpisodeKey,
        payload: Mapping[str, Any],
        seconds: float | None = None,
    ) -> None:
        attempt = max(self.evaluated.get((policy, after, key.split, key.k), 0), 0)
        event = Event(self.id, self.cursor, kind, "eval", policy, after, key.split, key.k, attempt, payload, seconds)
        self._store.append(event)
        self._apply_evaluation(event)

    # --- the log ----------------------------------------------------------------------------------------------------
    def _emit(self, kind: str, episode: Episode, payload: dict[str, Any], seconds: float | None = None) -> None:
        event = Event(self.id, self.cursor, kind, TRAIN, "", 0, "train", episode.k, episode.attempt, payload, seconds)
        self._store.append(event)
        self._apply(event, episode)

    def _apply(self, event: Event, episode: Episode) -> None:
        self.cursor = event.seq + 1
        payload = event.payload
        if event.kind == "asked":
            episode.asked = True
        elif event.kind == "executed":
            if Status(payload["status"]).counts:
                episode.executed = payload
            else:
                episode.again()
        elif event.kind == "scored":
            episode.rewards.append(float(payload["reward"]))
            episode.success = payload.get("success", episode.success)
            episode.score = payload.get("score", episode.score)
        elif event.kind == "voided":
            if episode.told is None:
                episode.again()
            else:
                episode.voided = True
        elif event.kind == "told":
            if episode.trial is None:
                raise ReplayError(
                    f"run {self.id}: episode {episode.k} was told before it was asked; the log is damaged"
                )
            episode.told = float(payload["reward"])
            self.agent.tell(episode.trial, episode.told, Status(payload["status"]))

    def _apply_evaluation(self, event: Event) -> None:
        self.cursor = event.seq + 1
        place = (event.policy, event.after, event.split, event.k)
        self.waiting.pop(place, None)
        if event.kind == "scored":
            self.evaluated[place] = -1
        elif event.kind == "voided" or not Status(event.payload["status"]).counts:
            self.evaluated[place] = event.attempt + 1
        elif event.payload["success"] is None:
            self.waiting[place], self.evaluated[place] = event.payload, event.attempt
        else:
            self.evaluated[place] = -1

    def _replay(self, event: Event) -> None:
        if event.seq != self.cursor:
            raise ReplayError(
                f"run {self.id}: event {self.cursor} is missing from the log; restore the store from a copy"
            )
        if event.role != TRAIN:
            self._apply_evaluation(event)
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

    def _mishap(self, key: EpisodeKey, why: str) -> None:
        """Counts faults and voids in a row since the run was opened, so that a mended rig starts from none."""
        self._mishaps, self.mishap = self._mishaps + 1, why
        if self._mishaps >= MAX_ATTEMPTS:
            raise RigError(
                f"episode {key} was faulted or voided {MAX_ATTEMPTS} times (last: {why}); everything is stored: "
                "mend the rig and resume"
            )


def logged_context(event: Event) -> Context:
    """What the agent saw when it was asked."""
    payload = event.payload
    return Context(np.array(payload["prior"]), unpack(payload["features"]), payload["encoder"])


def same_context(a: Context, b: Context) -> bool:
    """Whether two contexts are equal to the last bit."""
    return bool(np.array_equal(a.prior, b.prior) and np.array_equal(a.features, b.features) and a.encoder == b.encoder)
