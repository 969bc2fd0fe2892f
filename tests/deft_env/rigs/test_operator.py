"""The operator: its turns, its nonsense, its silence, its stop; the human reward that asks it."""

from __future__ import annotations

import math
import os
import queue
import threading
from typing import TextIO

import numpy as np
import pytest

from deft_env.episode import EpisodeKey, Frame, Outcome, Status
from deft_env.rewards.human import HumanReward
from deft_env.rigs.operator import (
    READY,
    OperatorGoneError,
    Preparation,
    RunAborted,
    SceneRequest,
    TerminalOperator,
    Verdict,
    current_operator,
    make_operator,
    use_operator,
)
from deft_env.rigs.rig import Frames
from deft_env.rigs.stop_key import StopKey
from deft_mocks.operators import ABORT, SILENCE, Late, ReplayOperator, ScriptedOperator

KEY = EpisodeKey("PickCup", "train", "train", 0, 3)
SCENE = SceneRequest(KEY, "pick up the cup", ("solo_cup",))


def _outcome(status: Status = Status.COMPLETED, key: EpisodeKey = KEY) -> Outcome:
    return Outcome(key, np.zeros(22), status, "" if status is Status.COMPLETED else "because")


def _frame(_: int) -> Frame:
    return Frame(np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.float32), np.eye(3), np.eye(4))


def _terminal(*lines: str | None) -> TerminalOperator:
    said = iter(lines)
    return TerminalOperator(timeout_s=5.0, read=lambda question, timeout_s: next(said))


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("0.7", Verdict(0.7)),
        ("0,7 y", Verdict(0.7, True)),
        ("0 n", Verdict(0.0, False)),
        ("v the cup fell", Verdict(void="the cup fell")),
        ("V", Verdict(void="voided")),
    ],
)
def test_terminal_reads_scores(line: str, verdict: Verdict) -> None:
    assert _terminal(line).judge(None, _outcome()) == verdict


def test_terminal_asks_again_after_nonsense_and_gives_up() -> None:
    assert _terminal("good", "1.2", "0.5").judge(None, _outcome()) == Verdict(0.5)
    with pytest.raises(OperatorGoneError, match="without sense"):
        _terminal("nan", "-1", "0.5 maybe", "0.5").judge(None, _outcome())


def test_terminal_prepares_voids_quits_and_falls_silent() -> None:
    assert _terminal("").prepare(SCENE) == READY
    answer = _terminal("v no cup").prepare(SCENE)
    assert not answer.ready
    assert answer.reason == "no cup"
    with pytest.raises(RunAborted):
        _terminal("q").prepare(SCENE)
    with pytest.raises(OperatorGoneError, match="5 s"):
        _terminal(None).prepare(SCENE)


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.1, None, True, "0.5"])
def test_a_verdict_that_is_no_score_is_a_problem(score: object) -> None:
    assert Verdict(score).problem  # type: ignore[arg-type]
    assert not Verdict(score, void="bad reset").problem  # type: ignore[arg-type]


def test_scripted_is_silent_late_and_talks_nonsense() -> None:
    person = ScriptedOperator([SILENCE, Late(READY, 90.0), Late(READY, 30.0), ABORT], timeout_s=60.0)
    for _ in range(2):
        with pytest.raises(OperatorGoneError):
            person.prepare(SCENE)
    assert person.prepare(SCENE).ready
    with pytest.raises(RunAborted):
        person.prepare(SCENE)
    person = ScriptedOperator(verdicts=[Verdict(7.0), Verdict(0.3)])
    assert person.judge(None, _outcome()).score == 0.3
    assert "7.0" in person.told[0]


def test_two_parts_never_ask_at_once() -> None:
    """The scripted person raises if a second question comes while a first one is open."""

    class Slow(ScriptedOperator):
        def _judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
            assert self._asked.acquire(blocking=False), "two parts asked the person at once"
            try:
                gate.wait(0.02)
            finally:
                self._asked.release()
            return Verdict(0.5)

    gate, errors = threading.Event(), []
    person = Slow()

    def ask() -> None:
        try:
            person.judge(None, _outcome())
        except AssertionError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_stop_reaches_every_listener_and_lasts_until_ready() -> None:
    person, heard = ScriptedOperator([Preparation(False, "no"), READY]), []

    def broken(reason: str) -> None:
        raise RuntimeError(reason)

    person.on_stop(broken)
    remove = person.on_stop(heard.append)
    person.stop("button")
    assert person.stopped
    assert heard == ["button"]
    person.prepare(SCENE)
    assert person.stopped, "a refused scene does not free the robot"
    person.prepare(SCENE)
    assert not person.stopped
    remove()
    person.stop("again")
    assert heard == ["button"]


def test_human_reward_asks_only_about_completed_episodes_and_keeps_the_words() -> None:
    person = ScriptedOperator(verdicts=[Verdict(0.25, True), Verdict(void="bad reset")])
    keys = [EpisodeKey("PickCup", "train", "train", s, 0) for s in range(4)]
    statuses = (Status.COMPLETED, Status.FAILED, Status.FAULTED, Status.COMPLETED)
    outcomes = [_outcome(s, k) for s, k in zip(statuses, keys, strict=True)]
    rewards = HumanReward(operator=person)(Frames(keys, _frame), outcomes, None)  # type: ignore[arg-type]
    assert rewards[:2].tolist() == [0.25, 0.0]
    assert np.isnan(rewards[2:]).all()
    assert [o.key for o in person.judged] == [keys[0], keys[3]]
    assert (outcomes[0].success, outcomes[0].score) == (True, 0.25)
    assert (outcomes[3].status, outcomes[3].reason) == (Status.VOIDED, "bad reset")


def test_rig_and_reward_share_the_operator() -> None:
    person = ScriptedOperator(verdicts=[Verdict(1.0)])
    use_operator(person)
    try:
        assert current_operator() is person
        assert HumanReward()(Frames([KEY], _frame), [_outcome()], None).tolist() == [1.0]  # type: ignore[arg-type]
    finally:
        use_operator(None)
    assert make_operator("terminal", {"timeout_s": 3.0}).name == "terminal"
    use_operator(None)


def test_replay_says_the_last_word_of_each_attempt() -> None:
    log = [
        ("asked", KEY, {}),
        ("voided", KEY, {"reason": "cup fell"}),
        ("scored", KEY, {"reward": 0.2}),
        ("scored", KEY, {"reward": 0.9, "success": True}),
    ]
    person = ReplayOperator.from_events(log)
    assert person.prepare(SCENE).ready
    assert person.judge(None, _outcome()) == Verdict(void="cup fell")
    assert person.judge(None, _outcome()) == Verdict(0.9, True)
    with pytest.raises(OperatorGoneError, match="no verdict"):
        person.judge(None, _outcome(key=EpisodeKey("PickCup", "train", "train", 0, 4)))


def _terminal_pair() -> tuple[int, TextIO]:
    master, slave = os.openpty()
    return master, os.fdopen(slave, "r")


def test_enter_stops_the_robot_while_it_moves_and_only_then() -> None:
    master, terminal = _terminal_pair()
    heard: queue.Queue[str] = queue.Queue()
    with terminal:
        os.write(master, b"typed ahead\n")
        with StopKey(heard.put, stream=terminal):
            pass
        assert heard.empty(), "what was typed before the robot moved is no stop"
        with StopKey(heard.put, stream=terminal):
            os.write(master, b"\n")
            assert heard.get(timeout=30) == "Enter at the terminal"
        os.write(master, b"0.7\n")
        assert terminal.readline() == "0.7\n", "afterwards lines are answers again"
    os.close(master)
    assert heard.empty()


def test_without_a_terminal_nothing_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    with open(os.devnull) as nothing, StopKey(lambda _: pytest.fail("stopped"), stream=nothing):
        assert not [t for t in threading.enumerate() if t.name == "stop-key"]
    with ScriptedOperator().watching(), _terminal().watching():
        assert "Enter stops it" in capsys.readouterr().err
