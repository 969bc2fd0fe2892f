"""A person scores on a rig without a judge: their words are kept, and an episode never runs twice for want of them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deft_env.episode import Outcome
from deft_env.rewards.human import HumanReward
from deft_env.rigs.operator import READY, Operator, OperatorGoneError, Preparation, Verdict
from deft_experiments import evaluate
from deft_experiments.errors import RigError
from deft_experiments.images import FrameKeeper
from deft_experiments.lockstep import Lockstep
from deft_experiments.run import Run
from deft_experiments.store import Store


class Person(Operator):
    """Says what a function of (episode, how often asked) says."""

    name = "test"

    def __init__(self, says: Any) -> None:
        super().__init__()
        self.says, self.asked, self.saw = says, [], []

    def _prepare(self, scene: Any) -> Preparation:
        return READY

    def _judge(self, before: Any, outcome: Outcome) -> Verdict:
        self.asked.append(str(outcome.key))
        self.saw.append(before.rgb.mean())
        verdict = self.says(outcome.key, self.asked.count(str(outcome.key)))
        assert isinstance(verdict, Verdict)
        return verdict


class RealLike:
    """The landscape as a real rig: one episode at a time, and nobody but a person knows how it went."""

    real, max_batch = True, 1

    def __init__(self, rig: Any) -> None:
        self._rig, self.executed = rig, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rig, name)

    def execute_batch(self, grasps: Any, demonstrations: Any) -> list[Outcome]:
        self.executed += len(grasps)
        outcomes = self._rig.execute_batch(grasps, demonstrations)
        return [dataclasses.replace(o, success=None, score=None) for o in outcomes]


def _happy(key: Any, times: int) -> Verdict:
    return Verdict(score=(key.k % 5) / 4, success=key.k % 5 > 2)


def _open(config: Any, parts: Any, store: Store, person: Person, opener: Any) -> Run:
    parts.reward = HumanReward(operator=person)
    run: Run = opener(config, parts, store)
    return run


def test_scores_and_voids(config: Any, parts: Any, store: Store, opener: Any, tmp_path: Path) -> None:
    def says(key: Any, times: int) -> Verdict:
        return Verdict(void="bad reset") if key.k == 4 and times == 1 else _happy(key, times)

    parts.rig = RealLike(parts.rig)
    run = _open(config, parts, store, Person(says), opener)
    Lockstep([run], parts, store, keeper=FrameKeeper(tmp_path / "frames", "all")).run_to_end()
    rows = store.rows("SELECT k, attempt, success, score, reward_told FROM episodes ORDER BY k")
    assert [r["attempt"] for r in rows] == [int(k == 4) for k in range(config.episodes)]
    assert [r["reward_told"] for r in rows] == [(k % 5) / 4 for k in range(config.episodes)]
    assert [bool(r["success"]) for r in rows] == [k % 5 > 2 for k in range(config.episodes)]
    assert parts.rig.executed == config.episodes + 1


def test_operator_gone_costs_no_episode(config: Any, parts: Any, tmp_path: Path, opener: Any) -> None:
    def leaves(key: Any, times: int) -> Verdict:
        if key.k == 6:
            raise OperatorGoneError("no answer in 600 s")
        return _happy(key, times)

    parts.rig = RealLike(parts.rig)
    keeper = FrameKeeper(tmp_path / "frames", "all")
    with Store(tmp_path / "store", "w", durable=False) as store:
        run = _open(config, parts, store, Person(leaves), opener)
        with pytest.raises(RigError, match="resume to score it"):
            Lockstep([run], parts, store, keeper=keeper).run_to_end()
        assert [e.k for e in run.unscored] == [6]
    with Store(tmp_path / "store", "a", durable=False) as store:
        person = Person(_happy)
        run = _open(config, parts, store, person, opener)
        Lockstep([run], parts, store, keeper=keeper).run_to_end()
        assert run.finished
    assert parts.rig.executed == config.episodes, "the episode that waited for its score was not run again"
    assert person.asked[0].endswith("/train/0/6")
    assert np.isfinite(person.saw).all()


def test_evaluation_is_judged_too(config: Any, parts: Any, tmp_path: Path, opener: Any) -> None:
    def says(key: Any, times: int) -> Verdict:
        if key.role == "eval" and key.k == 1 and key.split == "test":
            raise OperatorGoneError("no answer in 600 s")
        if key.role == "eval" and key.k == 0 and times == 1:
            return Verdict(void="bad reset")
        return _happy(key, times)

    parts.rig = RealLike(parts.rig)
    keeper = FrameKeeper(tmp_path / "frames", "all")
    with Store(tmp_path / "store", "w", durable=False) as store:
        run = _open(config, parts, store, Person(says), opener)
        Lockstep([run], parts, store).run_to_end()
        parts.rig.executed = 0
        with pytest.raises(RigError, match="does not answer"):
            evaluate.evaluate([evaluate.prior_alone(run)], parts, store, trials=4, every_event=True, keeper=keeper)
    with Store(tmp_path / "store", "a", durable=False) as store:
        run = _open(config, parts, store, Person(_happy), opener)
        evaluate.evaluate([evaluate.prior_alone(run)], parts, store, trials=4, every_event=True, keeper=keeper)
        rows = store.rows("SELECT * FROM evaluations ORDER BY split")
        assert [(r["split"], r["trials"], r["successes"]) for r in rows] == [("test", 4, 1), ("train", 4, 1)]
    assert parts.rig.executed == 8 + 2


def test_evaluation_without_a_judge_says_so(config: Any, parts: Any, store: Store, opener: Any) -> None:
    run = opener(config, parts, store)
    Lockstep([run], parts, store).run_to_end()
    parts.rig = RealLike(parts.rig)
    with pytest.raises(RigError, match="nobody said whether it succeeded"):
        evaluate.evaluate([evaluate.prior_alone(run)], parts, store, trials=1)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_a_person_at_a_terminal_sees_the_question(tmp_path: Path) -> None:
    """On a real terminal a progress bar would be drawn over the question, and keep its unfinished line to itself."""
    master, slave = os.openpty()
    words = ["tune", "PickCup", "--rig", "landscape", "--agent", "random", "--reward", "human", "--no-eval"]
    code = "import sys; from deft_experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *words, "--episodes", "2", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen, answered = "", 0
    try:
        deadline = time.monotonic() + 120.0
        while answered < 2:
            assert time.monotonic() < deadline, seen
            assert select.select([master], [], [], 120.0)[0], seen
            seen += os.read(master, 4096).decode(errors="replace")
            if seen.count("score from 0 to 1") > answered:
                answered += 1
                os.write(master, b"0.5 y\n")
        with contextlib.suppress(OSError):  # the terminal's other end closes when the program ends
            while time.monotonic() < deadline and select.select([master], [], [], 120.0)[0]:
                seen += os.read(master, 4096).decode(errors="replace")
        assert process.wait(60) == 0, seen
    finally:
        process.kill()
        process.wait()
        os.close(master)
    with Store(tmp_path / "run", "r") as store:
        (run,) = store.runs()
        assert [e.payload["reward"] for e in store.events(run) if e.kind == "scored"] == [0.5, 0.5]
