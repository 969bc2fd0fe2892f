"""The person at the rig: prepares scenes, scores episodes, voids them, and can stop everything.

One ``Operator`` is shared by the real rig and the human reward (``use_operator``, ``current_operator``), and its
public methods take turns, so that two parts never ask the person at once. What a person answers is not trusted: a
score that is no number in [0, 1] is asked for again, and after ``NONSENSE`` bad answers nobody is taken to be there.
"""

from __future__ import annotations

import contextlib
import math
import select
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from deft_env.episode import EpisodeKey, Frame, Outcome
from deft_env.registry import Entry, Registry
from deft_env.rigs.rig import SceneTruth
from deft_env.rigs.stop_key import StopKey

NONSENSE: Final = 3
"""Answers without sense in a row, after which the operator counts as gone (our choice)."""

operators: Final = Registry("operator", "deft.operators")
operators.register(Entry("terminal", "deft_env.rigs.operator:TerminalOperator", "asks on the terminal"))


class OperatorGoneError(RuntimeError):
    """Nobody answered in time, or the answers made no sense; an episode that was executed keeps waiting for a score."""


class RunAborted(KeyboardInterrupt):
    """The person ended the run; like Ctrl-C: nothing is lost, the run resumes."""


@dataclass(frozen=True, slots=True)
class SceneRequest:
    """What the person is asked to set up.

    Attributes:
        key: the episode.
        instruction: what the robot is to do, in words.
        objects: names of the objects of this split, one of which should stand on the table.
        trouble: what went wrong before, in words, where something did; "ready" then also means that it is mended.
    """

    key: EpisodeKey
    instruction: str
    objects: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Preparation:
    """The answer to a ``SceneRequest``.

    Attributes:
        ready: whether the scene stands and the hands are out of the way; otherwise the episode is voided.
        reason: why not.
        truth: what only a stand-in for a person knows of its simulated scene; None from people.
    """

    ready: bool
    reason: str = ""
    truth: SceneTruth | None = None


READY: Final = Preparation(True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the person says of an executed episode.

    Attributes:
        score: from 0 to 1; None only with ``void``.
        success: whether the task succeeded; None where the person does not say.
        void: why the episode does not count, such as "bad reset"; empty otherwise.
    """

    score: float | None = None
    success: bool | None = None
    void: str = ""

    @property
    def problem(self) -> str:
        """What is wrong with the answer, in words; empty when it makes sense."""
        if self.void:
            return "" if isinstance(self.void, str) else f"void: expected a reason in words, got {self.void!r}"
        if isinstance(self.score, bool) or not isinstance(self.score, int | float):
            return f"score: expected a number from 0 to 1, got {self.score!r}"
        if not (math.isfinite(self.score) and 0.0 <= self.score <= 1.0):
            return f"score: expected a number from 0 to 1, got {self.score!r}"
        return "" if self.success in (None, True, False) else f"success: expected yes or no, got {self.success!r}"


class Operator(ABC):
    """A person, or what stands in for one. Subclasses write ``_prepare`` and ``_judge``; callers use the rest.

    Attributes:
        name: registry name.
        stand_in: whether this is no person; outputs name it as such.
        stop_reason: why ``stop`` was called; empty when it was not.
    """

    name: str = ""
    stand_in: bool = False

    def __init__(self) -> None:
        """Nobody is being asked."""
        self._turn = threading.RLock()
        self._stopped = threading.Event()
        self._listeners: list[Callable[[str], None]] = []
        self.stop_reason = ""

    # --- asking -----------------------------------------------------------------------------------------------------
    def prepare(self, scene: SceneRequest) -> Preparation:
        """Asks for a fresh scene and waits.

        Raises:
            OperatorGoneError: if nobody answers in time.
            RunAborted: if the person ends the run.
        """
        with self._turn:
            answer = self._prepare(scene)
            if answer.ready:
                self._clear_stop()
            return answer

    def judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
        """Asks for the verdict on an executed episode and waits.

        Args:
            before: the first picture; None where it was not kept.
            outcome: what happened.

        Raises:
            OperatorGoneError: if nobody answers in time, or ``NONSENSE`` answers in a row make no sense.
            RunAborted: if the person ends the run.
        """
        with self._turn:
            problem = ""
            for _ in range(NONSENSE):
                verdict = self._judge(before, outcome)
                problem = verdict.problem
                if not problem:
                    return verdict
                self.tell(problem)
            raise OperatorGoneError(f"{NONSENSE} answers without sense about {outcome.key}, the last: {problem}")

    def tell(self, text: str) -> None:  # noqa: B027 - most operators need not be told
        """Shows one line to the person."""

    @abstractmethod
    def _prepare(self, scene: SceneRequest) -> Preparation:
        """What a subclass does for ``prepare``."""

    @abstractmethod
    def _judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
        """What a subclass does for ``judge``; may return nonsense, which is asked again."""

    # --- the stop signal ----------------------------------------------------------------------------------------------
    def stop(self, reason: str = "stopped by the operator") -> None:
        """Stops the robot now; from any thread. Stays until the person says that the next scene is ready."""
        self.stop_reason = reason
        self._stopped.set()
        for listener in tuple(self._listeners):
            # One device that cannot be stopped must not keep the others from being stopped.
            with contextlib.suppress(Exception):
                listener(reason)

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called since the last scene was ready."""
        return self._stopped.is_set()

    def on_stop(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Calls ``listener(reason)`` at each stop, in the stopping thread; returns what unsubscribes it."""
        self._listeners.append(listener)

        def remove() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return remove

    def watching(self) -> AbstractContextManager[object]:
        """Entered while the robot moves: a way to stop it that needs no question; nothing by default."""
        return contextlib.nullcontext()

    def _clear_stop(self) -> None:
        self._stopped.clear()
        self.stop_reason = ""

    def close(self) -> None:  # noqa: B027 - a terminal has nothing to release
        """Releases what the operator holds; may be called twice."""


def _read_line(question: str, timeout_s: float | None) -> str | None:
    """A line from the terminal; None where nothing was typed in time.

    Raises:
        EOFError: if the terminal is closed.
    """
    print(question, end="", file=sys.stderr, flush=True)
    if timeout_s is not None and not select.select([sys.stdin], [], [], timeout_s)[0]:
        return None
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


class TerminalOperator(Operator):
    """Asks on the terminal: Enter when the scene is ready; a score such as ``0.7``, ``0.7 y`` or ``v bad reset``."""

    name = "terminal"

    def __init__(
        self, *, timeout_s: float | None = None, read: Callable[[str, float | None], str | None] = _read_line
    ) -> None:
        """Asks nothing yet.

        Args:
            timeout_s: how long to wait for an answer; None for ever.
            read: asks a question and returns the line, or None after the time.
        """
        super().__init__()
        if timeout_s is not None and not timeout_s > 0:
            raise ValueError(f"timeout_s: expected more than 0 or none, got {timeout_s!r}")
        self.timeout_s, self._read = timeout_s, read

    def _ask(self, question: str) -> str:
        try:
            line = self._read(question, self.timeout_s)
        except EOFError:
            raise OperatorGoneError("the terminal is closed: nobody can answer") from None
        if line is None:
            raise OperatorGoneError(f"nobody answered within {self.timeout_s:g} s")
        if line.lower() in ("q", "quit", "abort"):
            raise RunAborted
        return line

    def tell(self, text: str) -> None:
        """See ``Operator.tell``."""
        print(text, file=sys.stderr)

    def watching(self) -> AbstractContextManager[object]:
        """While the robot moves, Enter stops it."""
        self.tell("the robot moves; Enter stops it")
        return StopKey(self.stop)

    def _prepare(self, scene: SceneRequest) -> Preparation:
        if scene.trouble:
            self.tell(f"trouble: {scene.trouble}")
        objects = f" ({' or '.join(scene.objects)})" if scene.objects else ""
        self.tell(f"episode {scene.key.k + 1}, {scene.key.split}: {scene.instruction}{objects}")
        line = self._ask("place the object, step back, then Enter (v REASON voids, q quits): ")
        word, _, reason = line.partition(" ")
        return Preparation(False, reason.strip() or "voided") if word.lower() in ("v", "void") else READY

    def _judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
        line = self._ask("score from 0 to 1, then y or n for success (0.7 y), v REASON voids, q quits: ")
        word, _, rest = line.partition(" ")
        if word.lower() in ("v", "void"):
            return Verdict(void=rest.strip() or "voided")
        try:
            score = float(word.replace(",", "."))
        except ValueError:
            return Verdict(score=math.nan)
        success = {"y": True, "yes": True, "n": False, "no": False, "": None}.get(rest.strip().lower(), -1)
        return Verdict(math.nan) if success == -1 else Verdict(score, None if success is None else bool(success))


# --- one operator for rig and reward ----------------------------------------------------------------------------------
_current: Operator | None = None
_current_lock: Final = threading.Lock()


def use_operator(operator: Operator | None) -> None:
    """Makes ``operator`` the one that every part of this process asks."""
    global _current
    with _current_lock:
        _current = operator


def current_operator() -> Operator:
    """The process's operator; a terminal one where nobody chose another."""
    global _current
    with _current_lock:
        if _current is None:
            _current = TerminalOperator()
        return _current


def make_operator(name: str, options: Mapping[str, Any] | None = None) -> Operator:
    """Makes the operator ``name`` with its options.

    Raises:
        UnknownNameError: if there is none of this name.
        ValueError: for an option that it does not have.
    """
    from deft_env.registries import build

    operator: Operator = build(operators, name, options)
    return operator
