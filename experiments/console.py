"""The operator console: an operator whose person sits at a web page. The page itself is ``console_app``.

What the person does arrives as actions in a queue; whoever waits for it (``prepare``, ``judge``, the desk of the run
loop) takes them one by one. An action is finished, and only then does the page say "saved", when its consequence is in
the store. All that the page shows is kept here in memory: nothing on disk can be asked for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import Frame, Outcome
from deft_env.rigs.operator import (
    READY,
    Operator,
    OperatorGoneError,
    Preparation,
    RunAborted,
    SceneRequest,
    Verdict,
)

Kind = Literal["score", "void", "ready", "refuse", "undo", "abort"]
Phase = Literal["busy", "scene", "trouble", "score", "done"]
Film = Callable[[], list[NDArray[np.uint8]]]
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
SAVED_WITHIN_S: Final = 10.0
"""How long the page waits for the store before it says that a score is not saved yet."""


@dataclass(eq=False)
class Action:
    """One thing that the person did; ``finish`` says what came of it."""

    kind: Kind
    k: int = -1
    score: float | None = None
    success: bool | None = None
    reason: str = ""
    error: str = ""
    _done: threading.Event = field(default_factory=threading.Event)

    def finish(self, error: str = "") -> None:
        """Its consequence is in the store, or ``error`` says why not."""
        if not self._done.is_set():
            self.error = error
            self._done.set()

    def wait(self, timeout_s: float = SAVED_WITHIN_S) -> bool:
        """Whether it was finished in time."""
        return self._done.wait(timeout_s)


@dataclass
class View:
    """What the page shows; ``version`` grows with every change."""

    version: int = 0
    phase: Phase = "busy"
    k: int = -1
    episodes: int = 0
    label: str = ""
    instruction: str = ""
    objects: tuple[str, ...] = ()
    trouble: str = ""
    correcting: bool = False
    paused: bool = False
    rewards: tuple[float | None, ...] = ()
    last_scored: int = -1
    note: str = ""
    pictures: dict[str, bytes] = field(default_factory=dict)


class ConsoleOperator(Operator):
    """Asks on a web page. ``with ConsoleOperator() as console: print(console.url)``."""

    name = "console"

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        token: str = "",
        allow_remote: bool = False,
        timeout_s: float | None = None,
        assistant: Operator | None = None,
        serve: bool = True,
    ) -> None:
        """Opens the page.

        Args:
            host: address to listen on; anything but loopback needs ``allow_remote`` and a token of one's own.
            port: TCP port; 0 takes a free one.
            token: what opens the page; by default a random one.
            allow_remote: whether other machines may open the page (unencrypted: only in a network that is trusted).
            timeout_s: how long to wait for the person; None for ever.
            assistant: prepares the scene when the person says that it is ready (a simulated scene in a rehearsal).
            serve: False for tests of the queue alone.

        Raises:
            ValueError: for an address that is not loopback without the explicit flag and a token of 16 characters.
            ImportError: without the extra ``console``.
            OSError: if the port is taken.
        """
        super().__init__()
        if host not in LOOPBACK and not (allow_remote and len(token) >= 16):
            raise ValueError(
                f"host: {host} can be reached from other machines; that needs allow_remote and a token of at least 16 "
                "characters, or use 127.0.0.1 and an ssh tunnel"
            )
        self.timeout_s, self._assistant = timeout_s, assistant
        self.stand_in = assistant is not None and assistant.stand_in
        self.view = View()
        self.lock = threading.RLock()
        self._actions: queue.Queue[Action] = queue.Queue()
        self._unsaved: Action | None = None
        self._ready = False
        self._site: Any = None
        if serve:
            try:
                from deft_experiments.console_app import Site
            except ImportError as error:
                raise ImportError(
                    f"the console needs the extra 'console': pip install 'deft-hand[console]' ({error})"
                ) from error
            self._site = Site(self, host, port, token)

    @property
    def url(self) -> str:
        """Where the page is, token included."""
        return "" if self._site is None else str(self._site.url)

    def close(self) -> None:
        """Closes the page; may be called twice."""
        self.saved()
        site, self._site = self._site, None
        if site is not None:
            site.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what the page sees and does ----------------------------------------------------------------------------------
    def show(self, **changes: Any) -> None:
        """Changes what the page shows."""
        with self.lock:
            for name, value in changes.items():
                setattr(self.view, name, value)
            self.view.version += 1

    def show_pictures(self, first: Frame | None, last: Frame | None, film: Film | None = None) -> None:
        """Shows the first and the last picture of the episode, and a strip of its film where the rig made one."""
        from deft_experiments.images import png, strip

        pair = {"first": first, "last": last}
        pictures = {name: png(frame.rgb) for name, frame in pair.items() if frame is not None}
        frames = [] if film is None else film()
        if frames:
            pictures["film"] = png(strip(frames, height_px=180))
        self.show(pictures=pictures)

    def act(self, action: Action) -> str:
        """Takes what the person did, from the page's threads; returns why not, or nothing."""
        with self.lock:
            view = self.view
            if action.kind == "abort":
                pass
            elif action.kind in ("score", "void"):
                if view.phase != "score" or action.k != view.k:
                    return f"episode {action.k + 1} does not wait for a score now"
                problem = Verdict(action.score, action.success, action.reason if action.kind == "void" else "").problem
                if problem:
                    return problem
            elif action.kind in ("ready", "refuse"):
                if view.phase not in ("scene", "trouble", "done"):
                    return "nothing waits for a scene now"
                if view.paused:
                    return "the run is paused: go on first"
            elif view.phase != "scene" or view.last_scored < 0:
                return "there is no score to take back: it may be corrected until the next scene is ready"
            if action.kind != "abort":  # a second tab's click must not count for what comes next
                self.show(phase="busy")
        self._actions.put(action)
        return ""

    def take(self) -> Action:
        """Waits for what the person does next.

        Raises:
            OperatorGoneError: if nothing comes in time.
            RunAborted: if the person ended the run.
        """
        try:
            while True:  # in slices, so that Ctrl-C is heard
                try:
                    action = self._actions.get(timeout=0.2 if self.timeout_s is None else self.timeout_s)
                    break
                except queue.Empty:
                    if self.timeout_s is not None:
                        raise
        except queue.Empty:
            raise OperatorGoneError(f"nobody answered on the console within {self.timeout_s:g} s") from None
        if action.kind == "abort":
            action.finish()
            raise RunAborted
        return action

    def saved(self) -> None:
        """Whatever was answered before is in the store now: its caller asks the next question."""
        action, self._unsaved = self._unsaved, None
        if action is not None:
            action.finish()

    def latch_ready(self) -> None:
        """The next ``prepare`` need not ask: the person has said so already."""
        self._ready = True

    # --- Operator ---------------------------------------------------------------------------------------------------
    def tell(self, text: str) -> None:
        """Shows a line on the page."""
        self.show(note=text)

    def _prepare(self, scene: SceneRequest) -> Preparation:
        self.saved()
        self.show(instruction=scene.instruction, objects=scene.objects, trouble=scene.trouble)
        if scene.trouble or not self._ready:
            label = f"{scene.key.role}, {scene.key.split}, episode {scene.key.k + 1}"
            self.show(phase="trouble" if scene.trouble else "scene", label=label, k=scene.key.k)
            action = self.take()
            action.finish()
            if action.kind == "refuse":
                return Preparation(False, action.reason or "voided on the console")
        if not scene.trouble:
            self._ready = False
        self.show(phase="busy", trouble="", note="")
        return READY if self._assistant is None else self._assistant.prepare(scene)

    def _judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
        self.saved()
        self.show_pictures(before, None if outcome.last_frame is None else outcome.last_frame(), outcome.film)
        key = outcome.key
        label = f"{key.role}, {key.split}, episode {key.k + 1}"
        self.show(phase="score", k=key.k, label=label, last_scored=-1, note="")
        action = self._unsaved = self.take()
        return Verdict(void=action.reason) if action.kind == "void" else Verdict(action.score, action.success)
