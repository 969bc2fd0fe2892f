"""The contract of rewards, and the two that ask the judge."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from deft_env import registries, testing
from deft_env.episode import EpisodeKey, Outcome, Status
from deft_env.rewards import Reward
from deft_env.rewards.oracle import OracleConfig, OracleReward, SuccessReward
from deft_env.rigs.rig import Frames
from deft_mocks.landscape import LandscapeRig

TASK = LandscapeRig().task("PickCup")


def outcomes_of(scores: Sequence[float | None], status: Status = Status.COMPLETED) -> tuple[Frames, list[Outcome]]:
    keys = [EpisodeKey("PickCup", "train", "train", 0, k) for k in range(len(scores))]

    def render(_: int) -> Any:
        raise AssertionError("these rewards look at no picture")

    success = [None if s is None else s >= 0.5 for s in scores]
    return Frames(keys, render), [
        Outcome(key, np.zeros(22), status, success=w, score=s) for key, w, s in zip(keys, success, scores, strict=True)
    ]


@pytest.mark.parametrize("name", ["oracle", "success"])
def test_contract(name: str) -> None:
    testing.check_reward(registries.make_reward(name), LandscapeRig)
    testing.check_reward(registries.make_reward("oracle", {"noise": 0.2, "step": 0.1}), LandscapeRig)


def test_oracle_is_the_score_and_success_the_word() -> None:
    frames, outcomes = outcomes_of([0.0, 0.37, 0.5, 1.0])
    np.testing.assert_array_equal(OracleReward()(frames, outcomes, TASK), [0.0, 0.37, 0.5, 1.0])
    np.testing.assert_array_equal(SuccessReward()(frames, outcomes, TASK), [0.0, 0.0, 1.0, 1.0])


def test_steps_round_as_a_person_would() -> None:
    frames, outcomes = outcomes_of([0.04, 0.37, 0.96])
    np.testing.assert_allclose(OracleReward(OracleConfig(step=0.1))(frames, outcomes, TASK), [0.0, 0.4, 1.0])


def test_noise_is_the_key_s_own() -> None:
    frames, outcomes = outcomes_of([0.5] * 500)
    reward = OracleReward(OracleConfig(noise=0.1))
    first = reward(frames, outcomes, TASK)
    np.testing.assert_array_equal(first, reward(frames, outcomes, TASK))
    assert abs(first.std() - 0.1) < 0.01
    expected = 0.5 + 0.1 * outcomes[3].key.generator("judge").standard_normal()
    assert first[3] == expected


def test_failed_is_worst_and_faults_have_none() -> None:
    for status, expected in ((Status.FAILED, 0.0), (Status.FAULTED, np.nan), (Status.VOIDED, np.nan)):
        frames, outcomes = outcomes_of([1.0, None], status)
        np.testing.assert_array_equal(OracleReward()(frames, outcomes, TASK), [expected] * 2)


def test_mixed_batches_keep_their_order() -> None:
    frames, outcomes = outcomes_of([0.1, 0.2, 0.3, 0.4])
    outcomes[1] = outcomes_of([0.0, 0.2], Status.FAILED)[1][1]
    outcomes[2] = outcomes_of([0.0, 0.0, 0.3], Status.VOIDED)[1][2]
    np.testing.assert_array_equal(OracleReward()(frames, outcomes, TASK), [0.1, 0.0, np.nan, 0.4])


@pytest.mark.parametrize("reward", [OracleReward(), SuccessReward()])
def test_nobody_said(reward: Reward) -> None:
    frames, outcomes = outcomes_of([None])
    with pytest.raises(ValueError, match=r"PickCup/train/train/0/0.*reward='human'"):
        reward(frames, outcomes, TASK)


class _Distance(Reward):
    name = "distance"
    range = (0.0, 5.0)
    higher_is_better = False

    def __init__(self, values: Any) -> None:
        self.values = values

    def rate(self, before: Frames, outcomes: Sequence[Outcome], task: Any) -> Any:
        return self.values


def test_lower_may_be_better() -> None:
    frames, outcomes = outcomes_of([None], Status.FAILED)
    assert _Distance([1.0])(frames, outcomes, TASK)[0] == 5.0


@pytest.mark.parametrize("values", [[np.nan], [5.1], [-0.1], [1.0, 2.0], 1.0])
def test_a_broken_reward_is_named(values: Any) -> None:
    frames, outcomes = outcomes_of([0.5])
    with pytest.raises(ValueError, match="reward 'distance'"):
        _Distance(values)(frames, outcomes, TASK)


@pytest.mark.parametrize("fields", [{"noise": -1.0}, {"noise": np.nan}, {"step": 1.5}, {"step": -0.1}])
def test_bad_oracles(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        OracleConfig(**fields)


def test_the_contract_notices_a_bad_reward() -> None:
    class Neighbourly(OracleReward):
        def rate(self, before: Frames, outcomes: Sequence[Outcome], task: Any) -> Any:
            return np.full(len(outcomes), np.mean([o.score for o in outcomes if o.score is not None]) / len(outcomes))

    with pytest.raises(AssertionError, match="depend on the others"):
        testing.check_reward(Neighbourly(), LandscapeRig)
