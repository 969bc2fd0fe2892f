"""Plays runs in which every episode meets one fault, and says how each attempt was recorded.

python tests/experiments/fault_matrix.py 500        # prints the matrix
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Agent
from deft_env import grasp
from deft_env.episode import Context, Status
from deft_env.episode import Trial as AgentTrial
from deft_env.prior.prior import Prior
from deft_env.registries import TaskLike
from deft_env.rigs.operator import RunAborted, use_operator
from deft_env.rigs.real.rig import RealRig
from deft_env.rigs.real.rig_config import RealRigConfig
from deft_env.rigs.rig import Frames
from deft_experiments.config import RunConfig
from deft_experiments.errors import RigError
from deft_experiments.images import FrameKeeper
from deft_experiments.lockstep import Lockstep
from deft_experiments.parts import Parts
from deft_experiments.run import Run
from deft_experiments.store import Event, Store
from deft_mocks.rig import MockRig
from deft_mocks.rig_faults import ABORTED, COLLISION, LIMIT, NO_SCENE, UNSCORED, Person, RigFault

# Shorter than an episode should be, so that hundreds of them fit into a test; the limits follow.
QUICK = {
    "timing": {
        "settle_in_ticks": 2,
        "approach_ticks": 20,
        "close_ticks": 10,
        "hold_ticks": 4,
        "step_ticks": 2,
        "settle_ticks": 6,
    },
    "safety": {"max_speed_m_s": 1.0, "max_joint_speed_rad_s": 3.1, "max_turn_rad_s": 6.0},
}


class Knowing(Prior):
    """A person's grasp without error: nothing but the injected fault should go wrong."""

    name = "knowing"
    stand_in = True

    def predict(self, frames: Frames, task: TaskLike) -> NDArray[np.float64]:
        assert frames.truths is not None
        return np.stack([truth.human_grasp for truth in frames.truths])


class Still(Agent):
    """Proposes no residual, ever."""

    name = "still"

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, context: Context) -> AgentTrial:
        self.asked += 1
        return AgentTrial(self.asked - 1, np.zeros(grasp.DIM), context)

    def tell(self, trial: AgentTrial, reward: float, status: Status = Status.COMPLETED) -> None:
        pass

    def freeze(self) -> Any:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self.asked}

    def load_state_dict(self, state: Any) -> None:
        self.asked = state["asked"]


@dataclasses.dataclass
class Trial:
    """One fault: how its attempt is recorded, and what is wrong with that (empty: nothing)."""

    fault: RigFault
    label: str
    wrong: list[str]


class Rehearsal:
    """A mock rig, a person with a script, and one long run in a store."""

    def __init__(self, folder: Path, faults: Sequence[RigFault], seed: int = 0) -> None:
        self.folder, self.faults, self.seed = folder, list(faults), seed
        self.generator = np.random.default_rng(seed)
        longest = 3 * len(faults) + 10
        self.config = RunConfig("PickCup", "random", reward="human", rig="real", seed=seed, episodes=longest)
        self.mock = MockRig("PickCup", folder=folder / "rig", seed=seed).start()
        self.person = Person(self.mock.config()["operator"]["address"])
        file = json.loads(self.mock.config_path.read_text())
        file["arm"]["reply_timeout_s"] = 0.5
        file["arm"]["joint_speed_rad_s"] = 3.0
        file["hand"]["settle_timeout_s"] = 0.5
        file["hand"]["retries"] = 8
        self.mock.config_path.write_text(json.dumps({**file, **QUICK}))
        self.rig = RealRig(RealRigConfig(file=str(self.mock.config_path)), operator=self.person)
        self.store = Store(folder, "w")
        self.open()

    def open(self) -> None:
        """Opens the run anew from its log, as after the end of a process."""
        from deft_env import registries

        task = registries.make_task("PickCup", self.rig)
        use_operator(self.person)
        parts = Parts(self.rig, task, Knowing(), registries.make_reward("human"))
        self.run = Run(self.config, Still, self.store)
        keeper = FrameKeeper(self.folder / "frames", "all")
        self.loop = Lockstep([self.run], parts, self.store, keeper=keeper)

    def close(self) -> None:
        self.rig.close()
        self.store.close()
        self.mock.close()

    def play(self, fault: RigFault) -> Trial:
        """One fault in the next episode, then clean steps until it is scored."""
        wrong: list[str] = []
        k = self.run.next_k
        assert k is not None
        start = self.run.cursor
        armed = [True]

        def arm_fault() -> None:
            self.mock.clear_faults()
            if armed[0]:
                armed[0] = False
                fault.inject(self.mock, self.person, self.generator)

        self.person.on_scene = arm_fault
        self.person.said.clear()
        ended = ""
        scene_script = fault.name in ("never prepares", "prepares too late", "voids the scene")
        if scene_script:
            armed[0] = False
            fault.inject(self.mock, self.person, self.generator)
        try:
            self.loop.step()
        except RunAborted:
            ended = ABORTED
        except RigError:
            ended = UNSCORED
        events = [e for e in self.store.events(self.run.id) if e.seq >= start]
        label = ended or _label(events)
        missed = bool(self.mock.pending())
        if missed and (label == "completed" or label in ("failed: unreachable", "failed: unsafe")):
            label = f"it did not come about ({label})"
        elif label not in (fault.labels if not scene_script else {NO_SCENE}):
            wrong.append(f"labelled {label}")
            wrong += [str(e.payload.get("reason")) for e in events]
        if label in ("faulted", COLLISION, LIMIT) and not self.mock.at_rest():
            wrong.append("the devices are not at rest")
        if label == "completed" and len(self.mock.world.record) < 100:
            wrong.append("completed, but it did not run to its end")
        self.mock.clear_faults()
        self._after(k, start, label, wrong)
        return Trial(fault, label, wrong)

    def _after(self, k: int, start: int, label: str, wrong: list[str]) -> None:
        """Goes on (from the log, where the run was interrupted) until episode ``k`` is scored, and checks its rows."""
        self.person.on_scene = self.mock.clear_faults
        self.person.verdicts.clear()
        self.person.preparations.clear()
        resumed = self.generator.random() < 0.2  # a run resumes after any of them
        if label in (ABORTED, UNSCORED) or resumed:
            self.open()
        for _ in range(4):
            episode = self.run.episodes[k] if k < len(self.run.episodes) else None
            if episode is not None and episode.rewards:
                break
            self.loop.step()
        else:
            wrong.append("the episode was not scored after the fault")
            return
        events = [e for e in self.store.events(self.run.id) if e.seq >= start and e.k == k]
        executed = [e for e in events if e.kind == "executed"]
        scored = [e for e in events if e.kind == "scored"]
        attempts = [e.attempt for e in executed]
        if sorted(set(attempts)) != attempts:
            wrong.append(f"attempts {attempts}")
        counted = [e for e in executed if Status(e.payload["status"]).counts]
        if len(scored) != 1 or not counted or scored[0].attempt != counted[-1].attempt:
            wrong.append(f"{len(scored)} scores")
            return
        reward, status = scored[0].payload["reward"], counted[-1].payload["status"]
        said = [verdict for key, verdict in self.person.said if key.k == k]
        true = 0.0 if status == Status.FAILED else float(said[-1].score or 0.0)
        if reward != true:
            wrong.append(f"reward {reward}, but the person said {true}")


def _label(events: Sequence[Event]) -> str:
    """How the first attempt among these events is recorded."""
    for event in events:
        if event.kind == "voided":
            return "voided" if any(e.kind == "executed" for e in events) else NO_SCENE
        if event.kind == "executed":
            status = Status(event.payload["status"])
            if status is Status.FAILED:
                return f"failed: {event.payload['reason'].partition(':')[0]}"
            if status is Status.COMPLETED and any(e.kind == "voided" for e in events):
                return "voided"
            return str(status)
    return "nothing"


def play(folder: Path, faults: Sequence[RigFault], seed: int = 0, report: Any = None) -> list[Trial]:
    """Every fault once, in the given order."""
    rehearsal = Rehearsal(folder, faults, seed)
    trials = []
    try:
        for fault in faults:
            trials.append(rehearsal.play(fault))
            if report is not None:
                report(trials[-1])
    finally:
        rehearsal.close()
    return trials


def matrix(trials: Sequence[Trial]) -> str:
    """The matrix as text: a row a fault, how often it was labelled how, and what was wrong."""
    lines = []
    for name in dict.fromkeys(t.fault.name for t in trials):
        rows = [t for t in trials if t.fault.name == name]
        counts = ", ".join(f"{label} {n}" for label, n in Counter(t.label for t in rows).most_common())
        wrong = Counter(w for t in rows for w in t.wrong)
        lines.append(f"{rows[0].fault.device:7} {name:58.58} {counts}" + (f"   WRONG {dict(wrong)}" if wrong else ""))
    return "\n".join(lines)


if __name__ == "__main__":
    from deft_mocks.rig_faults import FAULTS

    count, began = int(sys.argv[1]), time.time()
    order = [FAULTS[i % len(FAULTS)] for i in range(count)]
    with tempfile.TemporaryDirectory() as place:
        done = play(
            Path(place), order, seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0,
            report=lambda t: print(f"{t.fault.name}: {t.label} {t.wrong or ''}", file=sys.stderr, flush=True),
        )  # fmt: skip
    print(matrix(done))
    print(f"{len(done)} trials, {sum(bool(t.wrong) for t in done)} wrong, {time.time() - began:.0f} s")
