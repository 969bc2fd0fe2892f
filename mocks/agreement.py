"""How often the same grasps end alike in the simulated rig and, through the vendors' SDKs, on the mock rig.

python -m deft_mocks.agreement PickCup 24        # one line of JSON a trial, then the counts

Grasps are, in turn, a person's, one halfway to the simulated prior's, and the prior's, each with half a standard
deviation of noise in every direction, so that some succeed, some fail and some are close.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import numpy as np

from deft_env import grasp
from deft_env.episode import EpisodeKey, Outcome
from deft_env.prior.simulated import SimulatedPrior
from deft_env.rewards.human import HumanReward
from deft_env.rigs.real.rig import RealRig
from deft_env.rigs.real.rig_config import RealRigConfig
from deft_env.rigs.simulated import SimulatedRig
from deft_mocks.rig import MockRig

SEED: Final = 7
NOISE_SIGMA: Final = 0.5
MIXES: Final = (0.0, 0.5, 1.0)


def _ended(outcome: Outcome) -> dict[str, Any]:
    return {"status": str(outcome.status), "success": outcome.success, "score": outcome.score, "reason": outcome.reason}


def compare(task_name: str, trials: int) -> list[dict[str, Any]]:
    """Plays ``trials`` scenes of a task's training split twice; a row a trial with how ``rig`` and ``sim`` ended."""
    rows: list[dict[str, Any]] = []
    simulated, prior, reward = SimulatedRig(film=False), SimulatedPrior(), HumanReward()
    with MockRig(task_name) as mock, RealRig(RealRigConfig(file=str(mock.config_path))) as rig:
        task = simulated.task(task_name)
        for k in range(trials):
            key = EpisodeKey(task_name, "train", "train", SEED, k)
            frames = rig.reset_batch([key])
            simulated.reset_batch([key])
            assert frames.truths is not None, "the mock rig's person knows the scene"
            human, mix = frames.truths[0].human_grasp, MIXES[k % len(MIXES)]
            noise = NOISE_SIGMA * grasp.SIGMA * np.random.default_rng(k).standard_normal(grasp.DIM)
            wished = human + mix * (prior(frames, task)[0] - human) + noise
            real = rig.execute_batch(wished[None], [task.demonstration])
            reward(frames, real, task)  # the mock rig's person judges
            (same,) = simulated.execute_batch(wished[None], [task.demonstration])
            rows.append({"k": k, "mix": mix, "rig": _ended(real[0]), "sim": _ended(same)})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def summary(task_name: str, rows: list[dict[str, Any]]) -> str:
    """The counts in one line."""
    alike = {name: sum(r["rig"][name] == r["sim"][name] for r in rows) for name in ("status", "success")}
    good = {name: sum(bool(r[name]["success"]) for r in rows) for name in ("rig", "sim")}
    apart = float(np.median([abs((r["rig"]["score"] or 0.0) - (r["sim"]["score"] or 0.0)) for r in rows]))
    return (
        f"{task_name}: {len(rows)} trials, same status {alike['status']}, same success {alike['success']}, successes "
        f"{good['rig']} (SDKs) and {good['sim']} (simulated), scores differ by {apart:.4f} in the median"
    )


if __name__ == "__main__":
    print(summary(sys.argv[1], compare(sys.argv[1], int(sys.argv[2]))))
