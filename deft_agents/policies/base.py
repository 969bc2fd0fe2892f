"""How a policy comes to be: a fitter looks at the history (and the search) and returns an immutable policy."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_agents.agent import Policy
from deft_agents.history import History
from deft_agents.search.base import Search, check_count
from deft_env import grasp
from deft_env.episode import Context

Array = NDArray[np.float64]

MAX_POLICY_BYTES: Final = 256 * 1024 * 1024
FORMAT: Final = 1
MAX_UNITS: Final = 8192
"""Largest layer and input of a policy: what a file may ask for is bounded."""


class PolicyFitter(ABC):
    """Fits policies. Made with ``seed`` and its own options as keyword-only arguments.

    ``fit`` is a pure function of the seed, the options, the history and what the search recommends: it may be called
    at any time, any number of times, and disturbs no generator.

    Attributes:
        name: registry name, set by the one who makes the fitter.
    """

    name: str = ""

    def __init__(self, *, seed: int) -> None:
        """Makes a fitter for an agent of this seed."""
        self.seed = check_count("seed", seed, 0)

    @abstractmethod
    def fit(self, history: History, search: Search) -> Policy:
        """A policy that knows what ``history`` says; an empty history gives the untouched prior."""

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Policy:
        """Rebuilds a policy from its ``state_dict``.

        Raises:
            ValueError: if something is missing or has the wrong shape.
        """
        return ConstantPolicy.from_state(state)


class ConstantPolicy(Policy):
    """The same residual for every context.

    Attributes:
        residual: (22,), m and rad, read-only.
    """

    def __init__(self, name: str, z: ArrayLike) -> None:
        """Takes the residual in units of sigma."""
        self.name = name
        self.z = np.array(grasp.check(z, "z"))
        self.z.setflags(write=False)
        self.residual = self.z * grasp.SIGMA
        self.residual.setflags(write=False)

    def __call__(self, contexts: Sequence[Context], generators: Sequence[np.random.Generator]) -> Array:
        """The residual, once per context."""
        check_batch(contexts, generators)
        return np.tile(self.residual, (len(contexts), 1))

    def state_dict(self) -> dict[str, Any]:
        """The residual in units of sigma."""
        return {"name": self.name, "kind": "constant", "z": self.z.copy()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ConstantPolicy:
        """Rebuilds what ``state_dict`` gave; raises ValueError if it is something else."""
        z = check_array(state, "z", (grasp.DIM,))
        if state.get("kind") != "constant":
            raise ValueError(f"policy state: expected kind 'constant', got {state.get('kind')!r}")
        return cls(str(state["name"]), z)


def check_size(name: str, value: object, low: int = 1) -> int:
    """Returns ``value`` if it is a possible number of units, otherwise raises ValueError that names it."""
    size = check_count(name, value, low)
    if size > MAX_UNITS:
        raise ValueError(f"{name}: expected at most {MAX_UNITS}, got {size}")
    return size


def check_array(state: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array ``state[key]`` of exactly this shape.

    Raises:
        ValueError: if it is missing, not finite or of another shape.
    """
    array = np.asarray(state.get(key, np.nan))
    if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(
            f"policy state: {key}: expected finite floats of shape {shape}, got {array.dtype} {array.shape}"
        )
    return array


def check_batch(contexts: Sequence[Context], generators: Sequence[np.random.Generator]) -> None:
    """Raises ValueError unless there is one generator per context."""
    if len(contexts) != len(generators):
        raise ValueError(f"generators: expected one per context ({len(contexts)}), got {len(generators)}")


def save_policy(policy: Policy, path: str | Path) -> None:
    """Writes a policy as one safetensors file: arrays as tensors, the rest as JSON in the header; no pickles.

    The file is written beside ``path`` and renamed, so that no reader ever sees half of it.
    """
    from safetensors.numpy import save

    state = policy.state_dict()
    arrays = {k: np.ascontiguousarray(v) for k, v in state.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in state.items() if k not in arrays}
    header = {"deft_policy": json.dumps({"format": FORMAT, **rest}, sort_keys=True)}
    target = Path(path)
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_bytes(save(arrays or {"empty": np.zeros(1)}, metadata=header))
    temporary.replace(target)


def load_policy(path: str | Path) -> Policy:
    """Reads what ``save_policy`` wrote. The file is not trusted: sizes, names and shapes are checked.

    Raises:
        ValueError: if the file is too large, is not a policy of this format, or its arrays do not fit together.
        FileNotFoundError: if there is no such file.
        KeyError: if it was made by a policy that is not registered here.
    """
    from safetensors import SafetensorError, safe_open

    from deft_agents.registry import policies

    source = Path(path)
    if source.stat().st_size > MAX_POLICY_BYTES:
        raise ValueError(f"path: {source} is larger than {MAX_POLICY_BYTES} bytes, which no policy is")
    try:
        with safe_open(source, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("deft_policy", "null"))
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"path: {source} is not a policy file written by save_policy ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"path: {source} is not a policy file of format {FORMAT}; save it again with this version")
    if any(not np.isfinite(a).all() for a in arrays.values()):
        raise ValueError(f"path: {source} holds values that are not finite")
    fitter: Any = policies.load(str(header.get("name")))
    policy: Policy = fitter.restore({**header, **arrays})
    return policy
