"""The desk between a run and its console: scores as they come, corrections until the next ask is due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from deft_env.episode import Frame, Outcome, Status
from deft_env.rigs.operator import OperatorGoneError, use_operator
from deft_experiments.console import Action, ConsoleOperator, Film
from deft_experiments.errors import RigError, UsageError
from deft_experiments.images import FrameKeeper
from deft_experiments.parts import Parts
from deft_experiments.run import Run
from deft_experiments.run_episode import episode_name
from deft_experiments.words import Word

FILMS: Final = 2
"""The newest episode's, and that of the one before, whose score may be taken back."""


class Desk:
    """Inbox and keeper of one run with a console (``deft_experiments.lockstep``).

    ``poll`` waits for the person, and returns when every episode is scored and the next scene is ready: until then
    the last score may be taken back, since nothing has been told. A word is in the store when the loop asks for the
    next one, and only then is its action finished.
    """

    def __init__(self, run: Run, console: ConsoleOperator, keeper: FrameKeeper, worst: float = 0.0) -> None:
        """Joins a run and a console; ``worst`` is the reward of a failed episode."""
        self.run, self.console, self._keeper, self._worst = run, console, keeper, worst
        self._last = -1
        self._films: dict[str, Film] = {}

    # --- Keeper -----------------------------------------------------------------------------------------------------
    def keep(self, run: Run, name: str, before: Callable[[], Frame], outcome: Outcome) -> None:
        """Keeps the pictures, and the way to the newest films for as long as they may be scored or corrected."""
        self._keeper.keep(run, name, before, outcome)
        if outcome.film is not None:
            self._films[name] = outcome.film
        for old in list(self._films)[:-FILMS]:
            del self._films[old]

    def scored(self, run: Run) -> None:
        """See ``FrameKeeper``."""
        self._keeper.scored(run)

    def frame(self, run: Run, name: str, which: str) -> Frame:
        """A kept picture."""
        return self._keeper.frame(run, name, which)

    # --- Inbox ------------------------------------------------------------------------------------------------------
    def poll(self) -> Iterator[Word]:
        """Words of the person, each in the store before the next is waited for.

        Raises:
            RigError: if nobody answers in time.
            RunAborted: if the person ends the run.
        """
        correcting = -1
        while True:
            self._progress()
            waiting = self.run.unscored
            failed = next((e for e in waiting if (e.executed or {}).get("status") == Status.FAILED), None)
            if failed is not None:
                yield Word(failed.k, reward=self._worst, success=False)
                continue
            if waiting or correcting >= 0:
                episode = self.run.episodes[correcting] if correcting >= 0 else waiting[0]
                self.present(episode.k, correcting=correcting >= 0)
            elif self.run.finished:
                self.console.show(phase="done", k=-1)
                return
            else:
                last = self._last if self._last >= 0 and self.run.episodes[self._last].told is None else -1
                more = self.run.next_k is not None
                todo = "set up the next scene" if more else "all episodes are scored; ready ends the fine-tuning"
                if self.run.mishap:
                    todo = f"the last attempt does not count ({self.run.mishap}): {todo}"
                self.console.show(
                    phase="scene", last_scored=last, k=self._next(), correcting=False, label=self._label(), note=todo
                )
            try:
                action = self.console.take()
            except OperatorGoneError as error:
                raise RigError(f"the operator does not answer ({error}); everything is stored: resume") from error
            if action.kind in ("score", "void"):
                correcting = -1
                yield from self._word(action)
            elif action.kind == "undo":
                correcting = self._last
                action.finish()
            elif action.kind == "refuse":
                action.finish()  # nothing was executed in that scene: it is simply set up again
            else:
                action.finish()
                if self.run.next_k is not None:
                    self.console.latch_ready()
                self.console.show(phase="busy", last_scored=-1)
                return

    def _next(self) -> int:
        k = self.run.next_k
        return self.run.config.episodes if k is None else k

    def _label(self) -> str:
        return f"next: episode {min(self._next() + 1, self.run.config.episodes)} of {self.run.config.episodes}"

    def _word(self, action: Action) -> Iterator[Word]:
        try:
            if action.kind == "void":
                yield Word(action.k, void=action.reason or "voided on the console")
                self._last = -1
            else:
                yield Word(action.k, reward=action.score, success=action.success)
                self._last = action.k
        except GeneratorExit:
            action.finish("it could not be stored; see the terminal")
            raise
        action.finish()

    def present(self, k: int, *, correcting: bool) -> None:
        """Shows episode ``k`` on the page and lets it be scored."""
        name = episode_name(k)
        self._progress()
        first, last = (self._picture(name, which) for which in ("first", "last"))
        self.console.show_pictures(first, last, self._films.get(name))
        label = f"episode {k + 1} of {self.run.config.episodes}"
        self.console.show(phase="score", k=k, label=label, correcting=correcting, note="")

    def _picture(self, name: str, which: str) -> Frame | None:
        try:
            return self._keeper.frame(self.run, name, which)
        except FileNotFoundError:
            return None

    def _progress(self) -> None:
        rewards = tuple(e.rewards[-1] if e.rewards else None for e in self.run.episodes)
        self.console.show(episodes=self.run.config.episodes, rewards=rewards)


@contextmanager
def console(parts: Parts, port: int | None) -> Iterator[ConsoleOperator | None]:
    """The console that a run is to ask: a new one on ``port``, the rig's own, or none where ``port`` is None.

    A stand-in for a person that the rig would ask otherwise (a mock rig's) becomes the console's assistant: it still
    sets up the simulated scene when the person says that it is ready.

    Raises:
        UsageError: if the page cannot be opened.
    """
    own = getattr(parts.rig, "operator", None)
    if port is None:
        yield own if isinstance(own, ConsoleOperator) else None
        return
    try:
        made = ConsoleOperator(port=port, assistant=own if own is not None and own.stand_in else None)
    except (OSError, ImportError) as error:
        raise UsageError(f"--console: {error}; --console-port takes another port") from error
    with made:
        ask = getattr(parts.rig, "ask", None)
        if ask is not None:
            ask(made)
        use_operator(made)
        try:
            yield made
        finally:
            use_operator(None)
            if own is not None:
                own.close()
