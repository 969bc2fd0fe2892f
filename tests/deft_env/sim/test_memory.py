"""Freed memory goes back to the system."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from deft_env import grasp
from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey
from deft_env.rigs import simulated
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc only")
def test_glibc_can_be_asked() -> None:
    assert memory.give_back()


def test_a_rig_gives_back_after_every_so_many_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(memory, "give_back", lambda: asked.append(True))
    monkeypatch.setattr(simulated, "EPISODES_A_TRIM", 4)
    far = np.full(grasp.DIM, 9.0)  # out of reach: nothing is simulated
    with SimulatedRig() as rig:
        demonstration: Demonstration = rig.task("PickCup").demonstration
        for seed in range(4):
            rig.reset_batch([EpisodeKey("PickCup", "train", "train", seed, k) for k in range(2)])
            rig.execute_batch([far, far], [demonstration] * 2)
    assert len(asked) == 2
