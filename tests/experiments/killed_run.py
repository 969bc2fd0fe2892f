"""A run that kills itself with SIGKILL at a given event; started by test_resume.py as a process of its own.

python killed_run.py FOLDER NTH before|after|never
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from typing import Any

from deft_experiments import evaluate
from deft_experiments.config import RunConfig
from deft_experiments.lockstep import Lockstep
from deft_experiments.parts import make_parts
from deft_experiments.run import Run
from deft_experiments.store import Event, Store

CONFIG = RunConfig("PickCup", agent="cem", rig="landscape", episodes=12)


def play(store: Store) -> Run:
    """One run and its evaluation, every event committed by itself."""
    with make_parts(CONFIG) as parts:
        run = Run(CONFIG, functools.partial(parts.agent, CONFIG), store)
        Lockstep([run], parts, store).run_to_end()
        chosen = [
            evaluate.prior_alone(run),
            evaluate.Candidate(run, lambda: evaluate.other_policy(run.agent, "elite-mean"), "elite-mean", 12),
        ]
        evaluate.evaluate(chosen, parts, store, trials=3, every_event=True)
        return run


def main() -> None:
    folder, nth, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    append, seen = Store.append, [0]

    def deadly(self: Store, event: Event) -> Any:
        seen[0] += 1
        if seen[0] == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, event)
        if seen[0] == nth and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    Store.append = deadly  # type: ignore[method-assign]
    with Store(folder, "w", durable=False) as store:
        play(store)


if __name__ == "__main__":
    main()
