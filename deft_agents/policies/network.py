"""Small networks of the policies: trained by torch on one thread, run by NumPy row by row.

Everything random (weights, noise) comes from NumPy generators; torch only differentiates. Inference is one context at
a time with a fixed shape and without BLAS, so a batch of any size gives the same bits on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_agents.policies.base import check_array
from deft_env.episode import Context

if TYPE_CHECKING:
    import torch

Float32 = NDArray[np.float32]
Weights = dict[str, Float32]

LEARNING_RATE: Final = 1e-3
"""Adam's step (our choice; the paper gives none)."""
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def dense(rng: np.random.Generator, name: str, inputs: int, outputs: int) -> Weights:
    """Weights (outputs, inputs) and biases, uniform within 1/sqrt(inputs): the usual start of a linear layer."""
    bound = 1.0 / np.sqrt(inputs)
    return {
        f"{name}.w": rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32),
        f"{name}.b": rng.uniform(-bound, bound, outputs).astype(np.float32),
    }


def apply_dense(weights: Mapping[str, Float32], name: str, x: Float32) -> Float32:
    """One row through one layer: (inputs,) -> (outputs,)."""
    out: Float32 = np.einsum("ij,j->i", weights[f"{name}.w"], x, optimize=False) + weights[f"{name}.b"]
    return out


def condition(context: Context, encoder: str, features: int) -> Float32:
    """The policy's input c = (phi(I_0), xi) (paper, section 3.2), as it is: features, then the prior in m and rad.

    Raises:
        ValueError: if the context's features are not of the encoder that the policy was fitted with.
    """
    if context.encoder != encoder or len(context.features) != features:
        raise ValueError(
            f"context: the policy was fitted with {features} features of encoder {encoder!r}, this context has "
            f"{len(context.features)} of {context.encoder!r}; use the same encoder"
        )
    return np.concatenate([context.features, context.prior]).astype(np.float32)


def conditions(contexts: Sequence[Context]) -> Float32:
    """The inputs of many contexts, (n, d); they must be of one encoder."""
    first = contexts[0]
    return np.stack([condition(c, first.encoder, len(first.features)) for c in contexts])


def check_weights(state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Weights:
    """The named arrays of a policy's state as float32; raises ValueError if one is missing or of another shape."""
    weights = {key: check_array(state, key, shape).astype(np.float32) for key, shape in shapes.items()}
    for array in weights.values():
        array.setflags(write=False)
    return weights


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order: training with one and with two threads differs in the last bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


def train(
    start: Weights,
    loss: Callable[[Mapping[str, torch.Tensor], int], torch.Tensor],
    steps: int,
    *,
    learning_rate: float = LEARNING_RATE,
    weight_decay: float = 0.0,
) -> Weights:
    """Minimises ``loss(weights, step)`` by Adam and returns the trained weights, read-only.

    The weights are views of one flat vector, so that a step of the optimizer is a handful of calls whatever the layers.
    Torch's optimizer classes are not used: the first step of one imports the compiler, which takes seconds.
    """
    import torch

    with _one_thread():
        flat = torch.from_numpy(np.concatenate([w.ravel() for w in start.values()]))
        weights: dict[str, torch.Tensor] = {}
        offset = 0
        for key, array in start.items():
            weights[key] = flat[offset : offset + array.size].view(array.shape).requires_grad_()
            offset += array.size
        leaves = list(weights.values())
        gradient, first, second, root = (torch.zeros_like(flat) for _ in range(4))
        for step in range(steps):
            parts = torch.autograd.grad(loss(weights, step), leaves)
            with torch.no_grad():
                torch.cat([part.reshape(-1) for part in parts], out=gradient)
                if weight_decay:
                    flat.mul_(1.0 - learning_rate * weight_decay)
                first.lerp_(gradient, 1.0 - _BETA1)
                second.mul_(_BETA2).addcmul_(gradient, gradient, value=1.0 - _BETA2)
                torch.sqrt(second, out=root)
                root.add_(_EPSILON * (1.0 - _BETA2 ** (step + 1)) ** 0.5)
                rate = learning_rate * (1.0 - _BETA2 ** (step + 1)) ** 0.5 / (1.0 - _BETA1 ** (step + 1))
                flat.addcdiv_(first, root, value=-rate)
        trained = flat.numpy()
    out: Weights = {}
    offset = 0
    for key, array in start.items():
        out[key] = trained[offset : offset + array.size].reshape(array.shape).copy()
        out[key].setflags(write=False)
        offset += array.size
    return out
