"""An agent made of a search and a policy, and its event log.

This layer owns everything that no algorithm should have to think about: ids, units, the box, duplicates, NaN, rewards
out of range, foreign trials, and a state that is exact for any library: the log of asks and tells, replayed on load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Agent, Policy
from deft_agents.history import History
from deft_agents.policies.base import PolicyFitter
from deft_agents.search.base import LIMIT, Search
from deft_env import grasp
from deft_env.episode import Context, Status, Trial

Array = NDArray[np.float64]

STATE_FORMAT: Final = 1


class SearchPolicyAgent(Agent):
    """``search+policy`` behind the interface of ``Agent``; see there for ask, tell, freeze and the state."""

    def __init__(
        self,
        search: Search,
        policy: PolicyFitter,
        *,
        name: str = "",
        reward_range: tuple[float, float] = (0.0, 1.0),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Joins a search and a policy.

        Args:
            search: a fresh search that nobody else asks.
            policy: what to fit in the end.
            name: full name; by default ``search.name + "+" + policy.name``.
            reward_range: (low, high) of the rewards that ``tell`` accepts; an end may be infinite.
            config: the options that search and policy were made with, kept in the state and compared on load.

        Raises:
            ValueError: if the reward range is not two increasing numbers.
        """
        low, high = (float(end) for end in reward_range)
        if not low < high:
            raise ValueError(f"reward_range: expected (low, high) with low < high, got {tuple(reward_range)!r}")
        self.search, self.policy = search, policy
        self.name = name or f"{search.name}+{policy.name}"
        self.reward_range = (low, high)
        self.learns_from_foreign = search.learns_from_foreign
        self._config = dict(config or {})
        self._asked: list[tuple[Trial, Array]] = []
        self._results: dict[int, tuple[Trial, Array, float, Status]] = {}
        self._log: list[int | tuple[Trial, float, Status]] = []  # an ask is its number, a tell what was told
        self._told = 0
        self._frozen: tuple[int, Policy] | None = None

    def ask(self, context: Context) -> Trial:
        """Proposes a residual for this episode, inside the 4-sigma box. Asks may outrun tells."""
        # Bounds without np.clip's dispatch: this is the hot path of every sweep.
        z = np.minimum(np.maximum(self.search.ask(context), -LIMIT), LIMIT)
        number = len(self._asked)
        trial = Trial(number, z * grasp.SIGMA, context)
        z.flags.writeable = False
        trial.residual.flags.writeable = False
        self._asked.append((trial, z))
        self._log.append(number)
        return trial

    def tell(self, trial: Trial, reward: float, status: Status = Status.COMPLETED) -> None:
        """Reports the reward of a trial, once, in any order.

        A trial that this agent did not ask for is foreign and carries a negative id; a search that cannot learn from it
        (``learns_from_foreign``) is not told, the policy is fitted to it all the same. The trial's own context counts,
        which differs from the asked one if the trial was repeated on a fresh scene.

        Raises:
            ValueError: for a reward that is NaN or outside ``reward_range``, a status that does not count, a trial that
                was told before, an id that was never asked, or a residual that is not the asked one. Nothing changes.
        """
        try:
            value = float(reward)
        except (TypeError, ValueError):
            raise ValueError(f"reward: expected a number, got {reward!r}") from None
        low, high = self.reward_range
        if not low <= value <= high or value - value != 0.0:
            raise ValueError(
                f"reward: expected a finite number in [{low}, {high}] (the agent's reward_range), got {reward!r}"
            )
        if status is not Status.COMPLETED and status is not Status.FAILED:
            status = _counting_status(status)
        number = trial.id
        if number in self._results:
            raise ValueError(f"trial: number {number} was told before; a trial is told once")
        if 0 <= number < len(self._asked) and trial is self._asked[number][0]:
            z = self._asked[number][1]
        else:
            z = self._matching(trial)
        self._results[number] = (trial, z, value, status)
        self._log.append((trial, value, status))
        self._told += 1
        if number >= 0 or self.learns_from_foreign:
            self.search.tell(number, z, value, trial.context)

    def _matching(self, trial: Trial) -> Array:
        """The point of a trial that is not the very object that was asked; refuses what cannot be right."""
        number = trial.id
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"trial: expected an integer id, got {number!r}")
        if number < 0:
            z = np.minimum(np.maximum(trial.residual / grasp.SIGMA, -LIMIT), LIMIT)
            z.flags.writeable = False
            return z
        if number >= len(self._asked):
            raise ValueError(
                f"trial: number {number} was never asked ({len(self._asked)} asks so far); trials from elsewhere carry "
                "negative ids"
            )
        asked, z = self._asked[number]
        if not np.array_equal(asked.residual, trial.residual):
            raise ValueError(f"trial: the residual of number {number} is not the one that was asked")
        return z

    def history(self) -> History:
        """What policies are fitted to: every told trial, foreign ones first, then own ones by id."""
        order = sorted(self._results, key=lambda n: n if n >= 0 else -1)  # stable: foreign ones as they were told
        rows = [self._results[n] for n in order]
        if not rows:
            return History(reward_range=self.reward_range)
        return History(
            z=np.array([row[1] for row in rows]),
            rewards=np.array([row[2] for row in rows]),
            numbers=np.array(order, dtype=np.int64),
            statuses=tuple(row[3] for row in rows),
            contexts=tuple(row[0].context for row in rows),
            reward_range=self.reward_range,
        )

    def freeze(self) -> Policy:
        """An immutable snapshot of what the agent would do now; leaves agent and generators untouched."""
        if self._frozen is None or self._frozen[0] != self._told:
            self._frozen = (self._told, self.policy.fit(self.history(), self.search))
        return self._frozen[1]

    def state_dict(self) -> dict[str, Any]:
        """The event log, JSON-able: contexts once each, asks with their residuals, tells with what was told."""
        contexts: list[Context] = []
        places: dict[int, int] = {}

        def place(context: Context) -> int:
            if id(context) not in places:
                places[id(context)] = len(contexts)
                contexts.append(context)
            return places[id(context)]

        events: list[list[Any]] = []
        for event in self._log:
            if isinstance(event, int):
                trial = self._asked[event][0]
                events.append(["ask", place(trial.context), trial.residual.tolist()])
            else:
                trial, reward, status = event
                foreign = trial.residual.tolist() if trial.id < 0 else None
                events.append(["tell", trial.id, place(trial.context), reward, str(status), foreign])
        return {
            "format": STATE_FORMAT,
            **self._identity(),
            "contexts": [[c.prior.tolist(), c.features.tolist(), c.encoder] for c in contexts],
            "events": events,
        }

    def _identity(self) -> dict[str, Any]:
        return {
            "agent": self.name,
            "seed": self.search.seed,
            "budget": self.search.budget,
            "reward_range": [repr(end) for end in self.reward_range],
            "config": {key: repr(value) for key, value in sorted(self._config.items())},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replays an event log into this fresh agent and checks that it asks what it asked then.

        Raises:
            ValueError: if this agent was used before, was made otherwise (name, seed, budget, options), the state is
                malformed, or the replay asks something else (another version of a library). After such a failure in the
                middle of a replay the agent is no good; make a new one.
        """
        if self._log:
            raise ValueError("load_state_dict: expected a fresh agent; make one with make_agent and load into that")
        if not isinstance(state, Mapping) or state.get("format") != STATE_FORMAT:
            raise ValueError(f"state: expected an agent state of format {STATE_FORMAT}, as state_dict() returns it")
        for key, mine in self._identity().items():
            if state.get(key) != mine:
                raise ValueError(f"state: it is of an agent with {key}={state.get(key)!r}, this one has {mine!r}")
        try:
            contexts = [
                Context(np.array(prior), np.array(features, dtype=np.float64), str(encoder))
                for prior, features, encoder in state["contexts"]
            ]
            for event in state["events"]:
                self._replay(event, contexts)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"state: malformed event log ({type(error).__name__}: {error})") from error

    def _replay(self, event: Any, contexts: list[Context]) -> None:
        if event[0] == "ask":
            trial = self.ask(contexts[event[1]])
            if trial.residual.tolist() != event[2]:
                raise ValueError(
                    f"state: replay of ask {trial.id} of {self.name!r} gives another residual than the one recorded; "
                    "were numpy or the optimizer's library changed in between?"
                )
        elif event[0] == "tell":
            _, number, place, reward, status, foreign = event
            residual = np.array(foreign) if number < 0 else self._asked[number][0].residual
            asked = self._asked[number][0] if number >= 0 else None
            context = contexts[place]
            same = asked is not None and asked.context is context
            trial = asked if same and asked is not None else Trial(number, residual, context)
            self.tell(trial, reward, Status(status))
        else:
            raise ValueError(f"state: unknown event {event[0]!r}; expected 'ask' or 'tell'")


def _counting_status(status: object) -> Status:
    try:
        known = Status(status)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"status: expected one of {[str(s) for s in Status]}, got {status!r}") from None
    if not known.counts:
        raise ValueError(f"status: a {known} trial is not told; run it again on a fresh scene, or leave it out")
    return known
