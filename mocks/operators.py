"""Stand-ins for the person at the rig: a scripted one (also silent, late or talking nonsense) and a replaying one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deft_env.episode import EpisodeKey, Frame, Outcome
from deft_env.rigs.operator import READY, Operator, OperatorGoneError, Preparation, RunAborted, SceneRequest, Verdict


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Late:
    """An answer that comes ``delay_s`` late: too late where the operator's patience is shorter."""

    answer: Any
    delay_s: float


@dataclass(frozen=True, slots=True)
class Abort:
    """The person ends the run."""


SILENCE: Final = Silence()
ABORT: Final = Abort()
Answer = Preparation | Verdict | Silence | Late | Abort


def given(answer: Answer | None, timeout_s: float) -> Any:
    """What one hears of a scripted answer who waits ``timeout_s``; None where the script has nothing to say.

    Raises:
        RunAborted: if the person ends the run.
        OperatorGoneError: if the answer does not come in time.
    """
    if isinstance(answer, Late):
        answer = SILENCE if answer.delay_s > timeout_s else answer.answer
    if isinstance(answer, Abort):
        raise RunAborted
    if isinstance(answer, Silence):
        raise OperatorGoneError(f"nobody answered within {timeout_s:g} s")
    return answer


class ScriptedOperator(Operator):
    """Answers from a script; when the script has ended, from ``otherwise`` (ready, and a score of ``otherwise``).

    Time is not real: a late answer is on time if ``delay_s`` does not exceed ``timeout_s``. Attributes ``requests``
    and ``judged`` are what it was asked, ``told`` what it was shown.
    """

    name = "scripted"
    stand_in = True

    def __init__(
        self,
        preparations: Iterable[Answer] = (),
        verdicts: Iterable[Answer] = (),
        *,
        otherwise: float = 0.5,
        timeout_s: float = 60.0,
    ) -> None:
        """Takes the answers to ``prepare`` and ``judge``, in order."""
        super().__init__()
        self._preparations, self._verdicts = list(preparations), list(verdicts)
        self._otherwise, self.timeout_s = otherwise, timeout_s
        self.requests: list[SceneRequest] = []
        self.judged: list[Outcome] = []
        self.told: list[str] = []
        self._asked = threading.Lock()

    def tell(self, text: str) -> None:
        """Keeps the line."""
        self.told.append(text)

    def _next(self, script: list[Answer], otherwise: Answer) -> Any:
        # A second part that asks at the same time is a bug that the operator's turns exclude.
        if not self._asked.acquire(blocking=False):
            raise AssertionError("two parts asked the person at once")
        try:
            return given(script.pop(0) if script else otherwise, self.timeout_s)
        finally:
            self._asked.release()

    def _prepare(self, scene: SceneRequest) -> Preparation:
        self.requests.append(scene)
        answer: Preparation = self._next(self._preparations, READY)
        return answer

    def _judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
        self.judged.append(outcome)
        answer: Verdict = self._next(self._verdicts, Verdict(self._otherwise))
        return answer


class ReplayOperator(Operator):
    """Says what a person said once, episode by episode; a void is said once, at its episode's first attempt.

    Args:
        verdicts: episode key (or its text) -> verdict, or the list of them in the order they were given.
    """

    name = "replay"
    stand_in = True

    def __init__(self, verdicts: Mapping[str, Verdict | list[Verdict]]) -> None:
        super().__init__()
        self._verdicts = {str(k): list(v) if isinstance(v, list) else [v] for k, v in verdicts.items()}

    @classmethod
    def from_events(cls, events: Iterable[tuple[str, EpisodeKey, Mapping[str, Any]]]) -> ReplayOperator:
        """From a run's log: (kind, key, payload) of its ``scored`` and ``voided`` events, others are skipped."""
        verdicts: dict[str, Any] = {}
        for kind, key, payload in events:
            if kind == "scored":
                said = Verdict(float(payload["reward"]), payload.get("success"))
            elif kind == "voided":
                said = Verdict(void=str(payload["reason"]))
            else:
                continue
            verdicts.setdefault(str(key), []).append(said)
        return cls(verdicts)

    def _prepare(self, scene: SceneRequest) -> Preparation:
        return READY

    def _judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
        said = self._verdicts.get(str(outcome.key), [])
        if not said:
            raise OperatorGoneError(f"the recording holds no verdict on {outcome.key}")
        # Corrections come after one another in the log; the last one before a void or the end is what counted.
        if said[0].void:
            return said.pop(0)
        while len(said) > 1 and not said[1].void:
            said.pop(0)
        return said[0]
