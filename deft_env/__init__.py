"""The world of DEFT: what an episode is, and everything that happens in one.

Importing this package registers the Gymnasium ids ``deft/<Task>-v0`` and ``deft/<Task>Live-v0`` (for every registered
task, those of third parties too) and imports nothing heavy (no torch, no simulator).
"""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as _gymnasium

from deft_env import registries as _registries

__version__ = "0.1.0"


def _register_ids() -> None:
    for name in filter(str.isidentifier, _registries.tasks.names()):
        simulated, live = f"deft/{name}-v0", f"deft/{name}Live-v0"
        if simulated not in _gymnasium.registry:
            _gymnasium.register(
                simulated,
                entry_point="deft_env.env:GraspEnv",
                vector_entry_point="deft_env.vector_env:GraspVectorEnv",
                kwargs={"task": name},
            )
        if live not in _gymnasium.registry:
            # A person scores and a robot moves: never the same twice, and never a batch.
            _gymnasium.register(
                live,
                entry_point="deft_env.env:GraspEnv",
                kwargs={"task": name, "rig": "real", "reward": "human", "prior": "affordance"},
                nondeterministic=True,
            )


_register_ids()


def __getattr__(name: str) -> Any:
    """``deft_env.sb3`` and ``deft_env.env`` without an import of their own; nothing is imported before it is used."""
    if name in ("env", "sb3", "testing", "wrappers"):
        return importlib.import_module(f"deft_env.{name}")
    raise AttributeError(f"module 'deft_env' has no attribute {name!r}")
