"""The operator's page: its queue and store, its locks, and the whole of it in a real browser."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from deft_env import registries
from deft_env.episode import EpisodeKey, Outcome, Status
from deft_env.rigs.operator import RunAborted, SceneRequest
from deft_experiments.config import RunConfig
from deft_experiments.console import Action, ConsoleOperator
from deft_experiments.images import FrameKeeper
from deft_experiments.lockstep import Lockstep
from deft_experiments.operator_desk import Desk
from deft_experiments.parts import Parts
from deft_experiments.run import Run
from deft_experiments.store import Store


def _browser() -> ModuleType:
    spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["browser"] = module
    spec.loader.exec_module(module)
    return module


class Unjudged:
    """The landscape without a judge, one episode at a time, whose scenes the operator prepares."""

    real, max_batch = False, 1

    def __init__(self, rig: Any, operator: ConsoleOperator) -> None:
        self._rig, self._operator = rig, operator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rig, name)

    def reset_batch(self, keys: Any) -> Any:
        self._operator.prepare(SceneRequest(keys[0], "pick up the cup"))
        return self._rig.reset_batch(keys)

    def execute_batch(self, grasps: Any, demonstrations: Any) -> list[Outcome]:
        def film() -> list[Any]:
            return [np.full((240, 320, 3), 20 * i, np.uint8) for i in range(10)]

        outcomes = self._rig.execute_batch(grasps, demonstrations)
        return [dataclasses.replace(o, success=None, score=None, film=film) for o in outcomes]


class Session:
    """A run with a console, in a thread of its own as a process would have it."""

    def __init__(self, folder: Path, episodes: int = 3) -> None:
        self.folder = folder
        self.config = RunConfig("PickCup", "random", reward="human", rig="landscape", episodes=episodes)
        self.console = ConsoleOperator(port=0)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with Store(self.folder, "w") as store:
                rig = Unjudged(registries.make_rig("landscape"), self.console)
                task = registries.make_task("PickCup", rig)  # type: ignore[arg-type]
                prior = registries.make_prior("simulated")
                parts = Parts(rig, task, prior, registries.make_reward("human"))  # type: ignore[arg-type]
                run = Run(self.config, lambda: parts.agent(self.config), store)
                desk = Desk(run, self.console, FrameKeeper(self.folder / "frames", "all"))
                loop = Lockstep([run], parts, store, inbox=desk, keeper=desk)
                while not loop.finished:
                    loop.step()
        except BaseException as error:
            self.error = error

    def events(self) -> list[tuple[str, int, Any]]:
        with Store(self.folder, "r") as store:
            (run,) = store.runs()
            return [(e.kind, e.k, e.payload.get("reward")) for e in store.events(run)]

    def close(self) -> None:
        if self.thread.is_alive():
            self.console.act(Action("abort"))
            self.thread.join(10)
        self.console.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.close()


# --- the queue --------------------------------------------------------------------------------------------------------
def _wait(session: Session, phase: str, k: int | None = None) -> None:
    def there() -> bool:
        assert session.error is None or phase == "done", session.error
        return session.console.view.phase == phase and (k is None or session.console.view.k == k)

    _browser().Browser.until(there)


def _do(session: Session, kind: Any, **more: Any) -> Action:
    action = Action(kind, **more)
    assert session.console.act(action) == ""
    assert action.wait(), "it was never stored"
    return action


def test_scores_are_in_the_store_before_they_are_finished(session: Session) -> None:
    _wait(session, "scene")
    _do(session, "ready")
    _wait(session, "score", 0)
    _do(session, "score", k=0, score=0.25)
    assert ("scored", 0, 0.25) in session.events()
    assert not [e for e in session.events() if e[0] == "told"], "nothing is told before the next scene is ready"


def test_undo_corrects_and_only_the_last_word_is_told(session: Session) -> None:
    _wait(session, "scene")
    _do(session, "ready")
    _wait(session, "score", 0)
    _do(session, "score", k=0, score=0.25)
    _wait(session, "scene")
    _do(session, "undo")
    _wait(session, "score", 0)
    _do(session, "score", k=0, score=1.0)
    _wait(session, "scene")
    _do(session, "ready")
    _wait(session, "score", 1)
    events = session.events()
    assert [e for e in events if e[0] == "scored"] == [("scored", 0, 0.25), ("scored", 0, 1.0)]
    assert [e for e in events if e[0] == "told"] == [("told", 0, 1.0)]
    assert "take back" in session.console.act(Action("undo"))


def test_void_runs_the_same_trial_again(session: Session) -> None:
    _wait(session, "scene")
    _do(session, "ready")
    _wait(session, "score", 0)
    _do(session, "void", k=0, reason="cup fell")
    _wait(session, "scene", 0)
    _do(session, "ready")
    _wait(session, "score", 0)
    kinds = [kind for kind, _, _ in session.events()]
    assert kinds == ["asked", "executed", "voided", "asked", "executed"]


def test_the_page_says_why_an_attempt_does_not_count(session: Session) -> None:
    _wait(session, "scene")
    _do(session, "ready")
    _wait(session, "score", 0)
    _do(session, "void", k=0, reason="cup fell")
    _wait(session, "scene", 0)
    assert "cup fell" in session.console.view.note
    _do(session, "ready")
    _wait(session, "score", 0)
    _do(session, "score", k=0, score=0.5)
    _wait(session, "scene", 1)
    assert "does not count" not in session.console.view.note


@pytest.mark.parametrize(
    "action",
    [
        Action("score", k=0, score=1.5),
        Action("score", k=0),
        Action("score", k=1, score=0.5),
        Action("ready"),
        Action("undo"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_stored(session: Session, action: Action) -> None:
    _wait(session, "scene")
    _do(session, "ready")
    _wait(session, "score", 0)
    assert session.console.act(action)
    assert session.console.view.phase == "score"
    assert not [e for e in session.events() if e[0] == "scored"]


def test_pause_and_abort(session: Session) -> None:
    _wait(session, "scene")
    session.console.show(paused=True)
    assert "paused" in session.console.act(Action("ready"))
    session.console.act(Action("abort"))
    session.thread.join(10)
    assert isinstance(session.error, RunAborted)


def test_addresses_that_others_can_reach_need_flag_and_token() -> None:
    for options in ({}, {"allow_remote": True}, {"token": "x" * 32}, {"allow_remote": True, "token": "short"}):
        with pytest.raises(ValueError, match="other machines"):
            ConsoleOperator(host="0.0.0.0", port=0, **options)  # type: ignore[arg-type]


# --- the wire ---------------------------------------------------------------------------------------------------------
def _request(console: ConsoleOperator, path: str, data: Any = None, **headers: str) -> tuple[int, bytes]:
    base, _, token = console.url.partition("/?token=")
    sent = {"Cookie": f"deft_console={token}", "Origin": base, "X-Deft-Console": "1"}
    sent.update({name.replace("_", "-"): value for name, value in headers.items()})
    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(base + path, body, sent), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_gate(session: Session) -> None:
    console = session.console
    _wait(session, "scene")
    assert _request(console, "/api/state")[0] == 200
    for headers in (
        {"Cookie": ""},
        {"Cookie": "deft_console=wrong"},
        {"Origin": "http://evil.example"},
        {"Origin": ""},
        {"Origin": "null"},
        {"X_Deft_Console": ""},
    ):
        status, text = _request(console, "/api/do/ready", {}, **headers)
        assert status == 403, headers
        assert b"error" in text
    assert console.view.phase == "scene", "none of them did anything"
    assert _request(console, "/api/state", Host="evil.example:80")[0] == 421
    base = console.url.partition("/?")[0]
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{base}/?token=wrong", timeout=30)
    assert error.value.code == 403


@pytest.mark.parametrize(
    "path",
    ["/store.sqlite", "/api/picture/..%2f..%2fetc%2fpasswd", "/api/picture/0000-first.npz", "/../console.py", "/docs"],
)
def test_nothing_on_disk_can_be_asked_for(session: Session, path: str) -> None:
    assert _request(session.console, path)[0] == 404


def test_bad_bodies_are_refused(session: Session) -> None:
    _wait(session, "scene")
    for kind, data in (
        ("score", {"k": "0", "score": 0.5}),
        ("score", {"k": 0, "score": "high"}),
        ("score", {"k": 0, "score": 0.5, "more": 1}),
        ("void", {"k": 0, "reason": "x" * 1000}),
        ("delete", {}),
        ("ready", [1]),
        ("ready", {"reason": "x" * 5000}),
    ):
        assert _request(session.console, f"/api/do/{kind}", data)[0] == 422, (kind, data)


def test_emergency_stop_needs_no_turn(session: Session) -> None:
    heard: list[str] = []
    session.console.on_stop(heard.append)
    assert _request(session.console, "/api/do/stop", {})[0] == 200
    assert heard
    assert session.console.stopped


# --- a person at a browser --------------------------------------------------------------------------------------------
@pytest.mark.skipif(not _browser().available(), reason="needs chromium and chromedriver")
def test_a_session_in_a_browser(session: Session) -> None:
    browser = _browser().Browser()
    try:
        browser.open(session.console.url)
        browser.until(lambda: browser.phase() == "scene")
        assert "token" not in browser.run("return location.href"), "the token does not stay in the address"
        browser.click("ready")
        browser.until(lambda: browser.phase() == "score")
        browser.until(lambda: browser.run("return document.getElementById('first').naturalWidth") == 640)

        # The strip: eight of the film's ten pictures side by side.
        browser.until(lambda: browser.run("return document.getElementById('film').naturalWidth") == 8 * 240)
        for size in ({"width": 768, "height": 1024}, {"width": 1024, "height": 768}):  # a tablet, held either way
            browser.resize(**size)
            browser.run("window.scrollTo(0, document.body.scrollHeight)")
            low, high, tall, wide = browser.run(
                "const stop = document.getElementById('stop').getBoundingClientRect();"
                "return [stop.top, stop.bottom, innerHeight, document.documentElement.scrollWidth - innerWidth]"
            )
            assert 0 <= low < high <= tall, "the stop button is in sight wherever the page is scrolled to"
            assert wide <= 0, "nothing sticks out"

        # Reload in mid-score: nothing is lost, nothing is sent.
        browser.keys("7")
        browser.reload()
        browser.until(lambda: browser.phase() == "score")
        assert not [e for e in session.events() if e[0] == "scored"]
        browser.keys("9")
        assert browser.text("value") == "1.00"

        # Two tabs: the second one to save is refused.
        first = browser.tab()
        second = browser.new_tab()
        browser.open(session.console.url)
        browser.until(lambda: browser.phase() == "score")
        browser.keys("3")
        browser.click("save")
        browser.until(lambda: browser.text("said") == "saved")
        assert ("scored", 0, 0.33) in session.events()
        browser.switch(first)
        browser.run("post('score', {k: 0, score: 0.9})")
        browser.until(lambda: "does not wait" in browser.text("said"))
        browser.switch(second)

        # Undo, correct, go on; then void.
        browser.until(lambda: browser.phase() == "scene")
        browser.click("undo")
        browser.until(lambda: browser.phase() == "score")
        browser.keys("0")
        browser.click("save")
        browser.until(lambda: browser.phase() == "scene")
        browser.click("ready")
        browser.until(lambda: browser.phase() == "score" and session.console.view.k == 1)
        browser.click("void")
        browser.until(lambda: browser.phase() == "scene")
        assert browser.run("return document.querySelectorAll('#curve circle').length") == 1
        scored = [e for e in session.events() if e[0] in ("scored", "told", "voided")]
        assert scored == [("scored", 0, 0.33), ("scored", 0, 0.0), ("told", 0, 0.0), ("voided", 1, None)]

        # A forged page of another origin can neither read nor act.
        base = session.console.url.partition("/?")[0]
        browser.open("data:text/html,<title>other</title>")
        browser.run(
            "fetch(arguments[0] + '/api/do/abort', {method: 'POST', mode: 'no-cors', credentials: 'include'})", base
        )
        browser.open(base + "/")
        browser.until(lambda: browser.phase() == "scene")

        browser.click("stop")
        browser.until(lambda: session.console.stopped)
        browser.until(lambda: browser.text("alert").startswith("STOPPED"))
        browser.click("abort")
        browser.accept_alert()
        session.thread.join(10)
        assert isinstance(session.error, RunAborted)

        # The run is gone: nobody may rely on the page's button.
        session.console.close()
        browser.until(lambda: "red button" in browser.text("alert"))
    finally:
        browser.close()


def test_a_key_is_asked_for_once(tmp_path: Path) -> None:
    """The blocking form, as in a Gymnasium environment: the answer is finished when the next question comes."""
    console = ConsoleOperator(serve=False, timeout_s=5.0)
    key = EpisodeKey("PickCup", "train", "train", 0, 0)
    given: list[Any] = []
    outcome = Outcome(key, np.zeros(22), Status.COMPLETED)
    thread = threading.Thread(target=lambda: given.append(console.judge(None, outcome)))
    thread.start()
    _browser().Browser.until(lambda: console.view.phase == "score")
    action = Action("score", k=0, score=0.5, success=True)
    assert console.act(action) == ""
    thread.join()
    assert (given[0].score, given[0].success) == (0.5, True)
    assert not action.wait(0.0), "whoever asked has not stored it yet"
    console.saved()
    assert action.wait(0.0)
