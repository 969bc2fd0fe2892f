"""Libraries that draw from global generators, each kept in a world of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class OwnGlobals:
    """Numpy's, Python's and (optionally) torch's global generators as one agent sees them.

    Inside ``with own.entered():`` they are the agent's own and go on where they stopped last time; outside they are
    the process's and have not moved. With torch, the block also runs on one thread: sums in one order.
    """

    def __init__(self, seed: int, *, torch: bool = False) -> None:
        """Seeds the agent's own world from ``seed`` without touching the process's."""
        self._torch = torch
        self._state: Any = None
        outside = self._read()
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the library under isolation draws from it
        if torch:
            import torch as torch_module

            torch_module.manual_seed(seed)
        self._state = self._read()
        self._write(outside)

    def _read(self) -> Any:
        state: list[Any] = [random.getstate(), np.random.get_state()]  # noqa: NPY002
        if self._torch:
            import torch

            state.append(torch.random.get_rng_state())
        return state

    def _write(self, state: Any) -> None:
        random.setstate(state[0])
        np.random.set_state(state[1])  # noqa: NPY002
        if self._torch:
            import torch

            torch.random.set_rng_state(state[2])

    def snapshot(self) -> Any:
        """Where the agent's own world stands now."""
        return self._state

    def restore(self, state: Any) -> None:
        """Puts the agent's own world back to a snapshot: for what must not move it."""
        self._state = state

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The agent's world for the length of the block, also if it raises."""
        outside = self._read()
        threads = 1
        if self._torch:
            import torch

            threads = torch.get_num_threads()
            torch.set_num_threads(1)
        self._write(self._state)
        try:
            yield
        finally:
            self._state = self._read()
            self._write(outside)
            if threads != 1:
                import torch

                torch.set_num_threads(threads)
