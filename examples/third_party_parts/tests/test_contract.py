"""The contract suites of deft on these parts; the package must be installed."""

from __future__ import annotations

import numpy as np

import deft_env.testing
from deft_env import registries


def test_the_task_and_the_rig() -> None:
    """Words, demonstration, judge; refusals, repeatable episodes of any batch size."""
    deft_env.testing.check_rig(lambda: registries.make_rig("shifted"), task="PickTomato", pictures=False)


def test_the_reward() -> None:
    """Range, direction, the worst for failures, none for faults."""
    reward = registries.make_reward("thirds")
    deft_env.testing.check_reward(reward, lambda: registries.make_rig("simulated"), task="PickTomato")


def test_a_person_can_do_the_task() -> None:
    """What no contract can know: the reference grasp succeeds, and not by itself."""
    with registries.make_rig("simulated") as rig:
        task = registries.make_task("PickTomato", rig)
        keys = deft_env.testing.keys_of("PickTomato", 6)
        truths = rig.reset_batch(keys).truths
        assert truths is not None
        person = np.stack([truth.human_grasp for truth in truths])
        outcomes = rig.execute_batch(person, [task.demonstration] * 6)
        assert [outcome.success for outcome in outcomes] == [True] * 6
        rig.reset_batch(keys)
        above = rig.execute_batch(person + 0.1 * np.eye(22)[2], [task.demonstration] * 6)
        assert not any(outcome.success for outcome in above)
