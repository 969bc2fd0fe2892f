"""Late scores, corrections, voids and faults: each happens as documented, and replays exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from deft_env.episode import Outcome, Status
from deft_env.prior.prior import PriorFailureError
from deft_experiments.errors import RigError
from deft_experiments.evaluate import evaluate, prior_alone
from deft_experiments.lockstep import Lockstep
from deft_experiments.payloads import pack, unpack
from deft_experiments.run import Run
from deft_experiments.run_log import MAX_ATTEMPTS
from deft_experiments.store import Store
from deft_experiments.words import Word


class Script:
    """An inbox that says prepared words before given steps."""

    def __init__(self, words: dict[int, list[Word]]) -> None:
        self.words, self.step = words, -1

    def poll(self) -> Iterable[Word]:
        self.step += 1
        return self.words.pop(self.step, [])


class Faulty:
    """A rig that faults when it is told to; everything else goes to the landscape."""

    def __init__(self, rig: Any, faults: dict[int, int]) -> None:
        self._rig, self.faults = rig, faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rig, name)

    def execute_batch(self, grasps: Any, demonstrations: Any) -> list[Outcome]:
        out = []
        for outcome in self._rig.execute_batch(grasps, demonstrations):
            if self.faults.get(outcome.key.k, 0) > 0:
                self.faults[outcome.key.k] -= 1
                outcome = Outcome(outcome.key, outcome.executed_grasp, Status.FAULTED, "camera unplugged")
            out.append(outcome)
        return out


def _same(a: Run, b: Run) -> None:
    assert a.cursor == b.cursor
    assert a.agent.state_dict() == b.agent.state_dict()
    for x, y in zip(a.episodes, b.episodes, strict=True):
        for name in ("k", "attempt", "asked", "executed", "rewards", "told", "voided", "success", "score"):
            assert getattr(x, name) == getattr(y, name), name
        assert (x.trial is None) == (y.trial is None)
        if x.trial is not None and y.trial is not None:
            assert x.trial.id == y.trial.id
            np.testing.assert_array_equal(x.trial.residual, y.trial.residual)
            np.testing.assert_array_equal(x.trial.context.prior, y.trial.context.prior)


def _drive(loop: Lockstep, run: Run, check: Callable[[], None], most: int = 200) -> None:
    for _ in range(most):
        if loop.finished:
            return
        loop.step()
        check()
    raise AssertionError(f"not finished after {most} steps: {run.episodes}")


def test_words_in_any_order_replay_exactly(config: Any, parts: Any, store: Store, opener: Any) -> None:
    words: dict[int, list[Word]] = {k + 1: [Word(k, reward=0.5 + k / 100)] for k in range(60)}
    words[3] = []  # the score of episode 2 comes late
    words[4] = [Word(3, reward=0.4)]
    words[6] = [Word(2, reward=0.9), Word(5, reward=0.1), Word(5, reward=0.7)]  # and 5 is corrected before it is told
    words[9] = [Word(1, reward=0.0, success=True), Word(8, reward=0.2)]  # 1 is corrected after it was told
    words[11] = [Word(10, void="the cup was not in its place")]  # 10 runs again
    for k in range(11, 60):
        words[k + 1] = [Word(k - 1, reward=0.3)] if k - 1 < config.episodes else []
    run = opener(config, parts, store)
    loop = Lockstep([run], parts, store, inbox=Script(words), lag=3)
    _drive(loop, run, lambda: _same(run, opener(config, parts, store)))
    told = [e.told for e in run.episodes]
    assert told[2] == 0.9
    assert told[5] == 0.7
    assert told[1] == 0.51
    assert run.episodes[1].rewards == [0.51, 0.0]
    assert run.episodes[1].success is True
    assert run.episodes[10].attempt == 1
    assert [e.kind for e in store.events(run.id)].count("told") == config.episodes
    kinds = [(e.kind, e.k) for e in store.events(run.id)]
    assert kinds.index(("told", 2)) > kinds.index(("asked", 5)), "asks outran the late score"


def test_a_run_waits_for_its_score(config: Any, parts: Any, store: Store, opener: Any) -> None:
    run = opener(config, parts, store)
    loop = Lockstep([run], parts, store, inbox=Script({5: [Word(0, reward=0.5)]}))
    assert [loop.step() for _ in range(7)] == [1, 0, 0, 0, 0, 1, 0]
    with pytest.raises(RuntimeError, match="wait for a score"):
        loop.run_to_end()


def test_correction_before_the_next_ask_costs_nothing(
    config: Any, parts: Any, tmp_path: Any, opener: Any, read_log: Any
) -> None:
    asked = []
    for name, first in (("right", [0.7]), ("corrected", [0.1, 0.7])):
        with Store(tmp_path / name, "w", durable=False) as store:
            run = opener(config, parts, store)
            words = {k + 1: [Word(k, reward=r) for r in (first if k == 3 else [0.5])] for k in range(20)}
            _drive(Lockstep([run], parts, store, inbox=Script(words)), run, lambda: None)
            asked.append([e.payload for e in store.events(run.id) if e.kind in ("asked", "told")])
    assert asked[0] == asked[1]


@pytest.mark.parametrize("faults", [{}, {0: 1, 7: 2}])
def test_fault_runs_the_same_trial_again(
    faults: dict[int, int], config: Any, parts: Any, store: Store, tmp_path: Any, opener: Any
) -> None:
    plain = opener(config, parts, store)
    Lockstep([plain], parts, store).run_to_end()
    parts.rig = Faulty(parts.rig, dict(faults))
    with Store(tmp_path / "faulty", "w", durable=False) as other:
        run = opener(config, parts, other)
        _drive(Lockstep([run], parts, other), run, lambda: _same(run, opener(config, parts, other)))
        rows = other.rows("SELECT k, attempt, residual, status FROM episodes ORDER BY k")
        assert [r["attempt"] for r in rows] == [faults.get(k, 0) for k in range(config.episodes)]
        assert {r["status"] for r in rows} == {"completed"}
        assert [r["residual"] for r in rows] == [
            r["residual"] for r in store.rows("SELECT residual FROM episodes ORDER BY k")
        ]
    assert [e.told for e in run.episodes] == [e.told for e in plain.episodes]


def test_endless_faults_stop_the_run_and_it_resumes(config: Any, parts: Any, store: Store, opener: Any) -> None:
    rig = parts.rig
    parts.rig = Faulty(rig, {4: 10_000})
    run = opener(config, parts, store)
    with pytest.raises(RigError, match=f"{MAX_ATTEMPTS} times"):
        Lockstep([run], parts, store).run_to_end()
    parts.rig = rig
    run = opener(config, parts, store)
    Lockstep([run], parts, store).run_to_end()
    assert run.finished


def test_nothing_to_grasp_voids_the_scene_only(config: Any, parts: Any, store: Store, opener: Any) -> None:
    prior, blind = parts.prior, [3]

    def sometimes(frames: Any, task: Any) -> Any:
        if frames.keys[0].k in blind:
            blind.remove(frames.keys[0].k)
            raise PriorFailureError("no object in sight", 0)
        return prior(frames, task)

    parts.prior = sometimes
    run = opener(config, parts, store)
    _drive(Lockstep([run], parts, store), run, lambda: _same(run, opener(config, parts, store)))
    assert [e.attempt for e in run.episodes] == [1 if e.k == 3 else 0 for e in run.episodes]
    assert len(run.agent.state_dict()["events"]) == 2 * config.episodes, "the agent was not asked for the lost scene"


@pytest.mark.parametrize("reward", [float("nan"), -0.1, 1.1, float("inf")])
def test_bad_rewards_are_refused_and_not_recorded(
    reward: float, config: Any, parts: Any, store: Store, opener: Any, read_log: Any
) -> None:
    run = opener(config, parts, store)
    Lockstep([run], parts, store, inbox=Script({})).step()
    before = read_log(store, run.id)
    with pytest.raises(ValueError, match="reward of episode 0"):
        run.scored(0, reward)
    with pytest.raises(ValueError, match="has not been executed"):
        run.scored(1, 0.5)
    assert read_log(store, run.id) == before


def test_lockstep_equals_one_by_one(config: Any, parts: Any, tmp_path: Any, opener: Any, read_log: Any) -> None:
    configs = [
        config.from_dict({**config.as_dict(), "seed": seed, "agent": a}) for seed in (0, 1) for a in ("cem", "random")
    ]
    with Store(tmp_path / "together", "w", durable=False) as store:
        runs = [opener(c, parts, store) for c in configs]
        Lockstep(runs, parts, store, every_event=False).run_to_end()
        together = {run.id: read_log(store, run.id) for run in runs}
    with Store(tmp_path / "alone", "w", durable=False) as store:
        for c in configs:
            run = opener(c, parts, store)
            Lockstep([run], parts, store).run_to_end()
            assert read_log(store, run.id) == together[run.id]


def test_features_survive_exactly() -> None:
    g = np.random.default_rng(0)
    for values in (g.normal(size=7), g.normal(size=7).astype(np.float32).astype(np.float64), np.zeros(0)):
        np.testing.assert_array_equal(unpack(pack(values)), values)
    assert len(pack(np.ones(100))) < 600


def test_a_simulated_scene_without_a_prior_counts_against_the_method(
    config: Any, parts: Any, store: Store, opener: Any
) -> None:
    run = opener(config, parts, store)
    Lockstep([run], parts, store).run_to_end()
    prior = parts.prior

    def blind(frames: Any, task: Any) -> Any:
        for i, key in enumerate(frames.keys):
            if key.split == "test" and key.k in (1, 3):
                raise PriorFailureError("no object in sight", i)
        return prior(frames, task)

    parts.prior = blind
    evaluate([prior_alone(run)], parts, store, trials=5)
    rows = store.rows("SELECT * FROM evaluation_episodes WHERE split = 'test' ORDER BY k")
    assert [r["status"] for r in rows] == ["completed", "failed", "completed", "failed", "completed"]
    assert [r["success"] for r in rows if r["status"] == "failed"] == [0, 0]
    assert rows[1]["reason"] == "prior: no object in sight"
    assert opener(config, parts, store).evaluations.done == run.evaluations.done
