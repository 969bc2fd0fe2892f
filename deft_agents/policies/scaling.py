"""Standardisation around a network: the identity for the paper's policies, fitted for the regularised ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_agents.policies.base import check_array
from deft_env import grasp

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

SHRINK: Final = 0.5
"""How much of a regularised network's deviation from the elite mean is used (our choice)."""
_INPUT_LIMIT: Final = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """Affine maps before and after a network.

    Attributes:
        mean: (d,) of the inputs.
        scale: (d,) by which centred inputs are divided.
        centre: (22,) of the outputs.
        spread: (22,) by which the network's outputs are multiplied in training.
        shrink: further factor at inference.
        limit: inputs are clipped to plus and minus this, so that a new object is no extrapolation; inf for none.
    """

    mean: Float32
    scale: Float32
    centre: Array
    spread: Array
    shrink: float = 1.0
    limit: float = float("inf")

    @classmethod
    def none(cls, inputs: int) -> Scaling:
        """The identity."""
        return cls(np.zeros(inputs, np.float32), np.ones(inputs, np.float32), np.zeros(grasp.DIM), np.ones(grasp.DIM))

    @classmethod
    def fitted(cls, c: Float32, targets: Array) -> Scaling:
        """Inputs to zero mean and unit deviation (constant ones to zero), outputs around their mean; shrunk."""
        deviation = np.asarray(c, dtype=np.float64).std(axis=0)
        scale = np.where(deviation > 1e-6, deviation, 1.0) * np.sqrt(c.shape[1])
        return cls(
            np.asarray(c, dtype=np.float64).mean(axis=0).astype(np.float32),
            scale.astype(np.float32),
            targets.mean(axis=0),
            np.maximum(targets.std(axis=0), 0.1),
            SHRINK,
            _INPUT_LIMIT,
        )

    def inputs(self, c: Float32) -> Float32:
        """One row (d,) as the network sees it."""
        scaled: Float32 = np.clip((c - self.mean) / self.scale, -self.limit, self.limit).astype(np.float32)
        return scaled

    def normalised(self, targets: Array) -> Array:
        """Targets (n, 22) as the network learns them."""
        return (targets - self.centre) / self.spread

    def outputs(self, out: Float32) -> Array:
        """The network's row (22,) as a residual or grasp in units of sigma."""
        return self.centre + self.shrink * self.spread * out

    def state(self) -> dict[str, Any]:
        """For a policy's ``state_dict``."""
        return {
            "scaling.mean": self.mean,
            "scaling.scale": self.scale,
            "scaling.centre": self.centre,
            "scaling.spread": self.spread,
            "scaling.rest": np.array([self.shrink, min(self.limit, 1e30)]),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], inputs: int) -> Scaling:
        """Rebuilds what ``state`` gave; raises ValueError if it is something else."""
        shrink, limit = check_array(state, "scaling.rest", (2,)).tolist()
        scale = check_array(state, "scaling.scale", (inputs,)).astype(np.float32)
        if not (scale > 0).all():
            raise ValueError("policy state: scaling.scale: expected positive numbers")
        return cls(
            check_array(state, "scaling.mean", (inputs,)).astype(np.float32),
            scale,
            check_array(state, "scaling.centre", (grasp.DIM,)).astype(np.float64),
            check_array(state, "scaling.spread", (grasp.DIM,)).astype(np.float64),
            float(shrink),
            float("inf") if limit >= 1e30 else float(limit),
        )
