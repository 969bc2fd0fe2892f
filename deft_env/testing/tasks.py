"""The contract of tasks: words, demonstration, and a judge that sees signals alone."""

from __future__ import annotations

import inspect

import numpy as np

from deft_env import paper
from deft_env.demonstration import Demonstration
from deft_env.registries import TaskLike
from deft_env.testing.promises import expect


def check_task(task: TaskLike) -> None:
    """A task: words, demonstration, nominal rotation, and a judge that is given the signals and nothing else."""
    expect(bool(task.name) and bool(task.instruction), "a task has a name and an instruction")
    tau = task.demonstration
    expect(isinstance(tau, Demonstration), "demonstration is a Demonstration")
    expect(tau.task == task.name, f"the demonstration is of {task.name}, got {tau.task}")
    expect(tau.displacements.shape == (paper.TRAJECTORY_STEPS, 6), "the demonstration has 40 displacements")
    turn = np.asarray(task.nominal_rotation)
    expect(
        turn.shape == (3, 3) and np.allclose(turn @ turn.T, np.eye(3), atol=1e-9) and np.linalg.det(turn) > 0,
        "nominal_rotation is a rotation (3, 3)",
    )
    for judge in (task.success, task.score, task.subgoals):
        parameters = list(inspect.signature(judge).parameters)
        expect(len(parameters) == 1, f"{judge.__name__} is given the signals and nothing else, got {parameters}")
