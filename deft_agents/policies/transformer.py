"""The ablation "Transformer": conditioned on reward and context, trained on all episodes (paper, Table 3).

Like Decision Transformer, offline and in one step: three tokens (reward, encoding of the first image, prior grasp),
self-attention, and a residual read off the last token. At test time the highest reward of the training is queried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Policy
from deft_agents.history import History
from deft_agents.policies import network
from deft_agents.policies.base import ConstantPolicy, PolicyFitter, check_array, check_batch, check_size
from deft_agents.search.base import Search, check_count
from deft_env import grasp
from deft_env.episode import Context, agent_generator

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

LAYERS: Final = 2
HEADS: Final = 4
WIDTH: Final = 48
STEPS: Final = 300
LEARNING_RATE: Final = 2e-3
"""What the paper leaves open (our choice); the feed-forward part is four times as wide as the tokens.

A width of 64 with 500 steps of 1e-3 takes 2.5 times as long and predicts no better, from 30 episodes or from 240.
"""
_EPSILON = np.float32(1e-5)


def _sizes(width: int, features: int) -> dict[str, tuple[int, int]]:
    """Layer -> (inputs, outputs)."""
    sizes = {"reward": (1, width), "features": (max(features, 1), width), "prior": (grasp.DIM, width)}
    for i in range(LAYERS):
        sizes |= {f"qkv{i}": (width, 3 * width), f"out{i}": (width, width)}
        sizes |= {f"up{i}": (width, 4 * width), f"down{i}": (4 * width, width)}
    return sizes | {"head": (width, grasp.DIM)}


class TransformerPolicy(Policy):
    """Queried at one reward; float32, one context at a time; uses no randomness."""

    def __init__(self, name: str, weights: network.Weights, encoder: str, features: int, query: float) -> None:
        """Takes the trained weights and the reward to ask for."""
        self.name, self.encoder, self.query = name, encoder, query
        self._weights, self._features = weights, features

    def __call__(self, contexts: Sequence[Context], generators: Sequence[np.random.Generator]) -> Array:
        """Residuals (N, 22) in m and rad."""
        check_batch(contexts, generators)
        return np.array([self._row(c) for c in contexts], dtype=np.float64).reshape(len(contexts), grasp.DIM)

    def _row(self, context: Context) -> Array:
        w = self._weights
        c = network.condition(context, self.encoder, self._features)
        features, prior = c[: self._features], c[self._features :]
        x = np.stack(
            [
                network.apply_dense(w, "reward", np.array([self.query], dtype=np.float32)),
                network.apply_dense(w, "features", features if self._features else np.zeros(1, np.float32)),
                network.apply_dense(w, "prior", prior),
            ]
        )
        x = x + w["position"]
        for i in range(LAYERS):
            x = x + self._attention(_normed(x), i)
            up = np.maximum(_dense_rows(w, f"up{i}", _normed(x)), np.float32(0))
            x = x + _dense_rows(w, f"down{i}", up)
        out = network.apply_dense(w, "head", _normed(x)[-1])
        return out.astype(np.float64) * grasp.SIGMA

    def _attention(self, x: Float32, layer: int) -> Float32:
        tokens, width = x.shape
        qkv = _dense_rows(self._weights, f"qkv{layer}", x).reshape(tokens, 3, HEADS, width // HEADS)
        score = np.einsum("ihd,jhd->hij", qkv[:, 0], qkv[:, 1], optimize=False) / np.float32(np.sqrt(width / HEADS))
        weight = np.exp(score - score.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hij,jhd->ihd", weight, qkv[:, 2], optimize=False).reshape(tokens, width)
        return _dense_rows(self._weights, f"out{layer}", mixed)

    def state_dict(self) -> dict[str, Any]:
        """The weights, the encoder's name, the sizes and the queried reward."""
        return {
            "name": self.name,
            "kind": "transformer",
            "encoder": self.encoder,
            "width": self._weights["head.w"].shape[1],
            "features": self._features,
            "query": self.query,
            **self._weights,
        }


def _dense_rows(weights: Mapping[str, Float32], name: str, rows: Float32) -> Float32:
    return np.stack([network.apply_dense(weights, name, row) for row in rows])


def _normed(x: Float32) -> Float32:
    centred = x - x.mean(axis=-1, keepdims=True)
    normed: Float32 = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + _EPSILON)
    return normed


class Transformer(PolicyFitter):
    """Fits the transformer to all episodes by least squares, 300 steps of Adam on all of them at once."""

    def __init__(self, *, seed: int, width: int = WIDTH, steps: int = STEPS) -> None:
        """Takes the width of the tokens (a multiple of the four heads) and the steps of Adam."""
        super().__init__(seed=seed)
        self.width = check_size("width", width)
        if self.width % HEADS:
            raise ValueError(f"width: expected a multiple of {HEADS}, got {width!r}")
        self.steps = check_count("steps", steps, 0)

    def fit(self, history: History, search: Search) -> Policy:
        """The fitted network; the untouched prior before any episode."""
        import torch

        if not len(history):
            return ConstantPolicy(self.name, np.zeros(grasp.DIM))
        encoder, features = history.contexts[0].encoder, len(history.contexts[0].features)
        c = network.conditions(history.contexts)
        # Rewards are asked for in units of their spread, so that any reward range conditions equally well.
        rewards = self._standardised(history.rewards)
        image = c[:, :features] if features else np.zeros((len(c), 1), np.float32)
        inputs = [torch.from_numpy(np.ascontiguousarray(part)) for part in (rewards[:, None], image, c[:, features:])]
        target = torch.from_numpy(history.z.astype(np.float32))
        count, width, size = len(c), self.width, self.width // HEADS
        functional = torch.nn.functional
        linear = functional.linear

        def loss(w: Mapping[str, torch.Tensor], step: int) -> torch.Tensor:
            names = ("reward", "features", "prior")
            x = torch.stack([linear(v, w[f"{n}.w"], w[f"{n}.b"]) for n, v in zip(names, inputs, strict=True)], 1)
            x = x + w["position"]
            for i in range(LAYERS):
                normed = functional.layer_norm(x, (width,))
                weight, bias = w[f"qkv{i}.w"], w[f"qkv{i}.b"]
                kv = linear(normed, weight[width:], bias[width:]).view(count, 1, 3, 2, HEADS, size)
                if i == LAYERS - 1:
                    # Only the last token is read, so the last layer computes nothing else.
                    x, normed = x[:, -1:], normed[:, -1:]
                q = linear(normed, weight[:width], bias[:width]).view(count, -1, 1, HEADS, size)
                # Three tokens: products and sums cost less than the set-up of batched matrix products.
                score = (q * kv[:, :, :, 0]).sum(-1, keepdim=True) / size**0.5
                mixed = (torch.softmax(score, 2) * kv[:, :, :, 1]).sum(2).reshape(count, -1, width)
                x = x + linear(mixed, w[f"out{i}.w"], w[f"out{i}.b"])
                h = torch.relu(linear(functional.layer_norm(x, (width,)), w[f"up{i}.w"], w[f"up{i}.b"]))
                x = x + linear(h, w[f"down{i}.w"], w[f"down{i}.b"])
            out = linear(functional.layer_norm(x[:, -1], (width,)), w["head.w"], w["head.b"])
            return ((out - target) ** 2).sum() / count

        rng = agent_generator(self.seed, "policy")
        start: network.Weights = {"position": (0.02 * rng.standard_normal((3, width))).astype(np.float32)}
        for name, (fan_in, fan_out) in _sizes(width, features).items():
            start |= network.dense(rng, name, fan_in, fan_out)
        weights = network.train(start, loss, self.steps, learning_rate=LEARNING_RATE)
        return TransformerPolicy(self.name, weights, encoder, features, float(rewards.max()))

    @staticmethod
    def _standardised(rewards: Array) -> Float32:
        spread = max(float(rewards.std()), 1e-6 * max(1.0, float(np.abs(rewards).max())))
        scaled: Float32 = ((rewards - rewards.mean()) / spread).astype(np.float32)
        return scaled

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Policy:
        """Rebuilds a fitted policy from its state."""
        if state.get("kind") == "constant":
            return ConstantPolicy.from_state(state)
        if state.get("kind") != "transformer":
            raise ValueError(f"policy state: expected kind 'transformer', got {state.get('kind')!r}")
        width, features = check_size("width", state.get("width")), check_size("features", state.get("features"), 0)
        if width % HEADS:
            raise ValueError(f"policy state: width: expected a multiple of {HEADS}, got {width}")
        shapes: dict[str, tuple[int, ...]] = {"position": (3, width)}
        for name, (fan_in, fan_out) in _sizes(width, features).items():
            shapes |= {f"{name}.w": (fan_out, fan_in), f"{name}.b": (fan_out,)}
        query = float(check_array({"query": np.array([state.get("query", np.nan)], dtype=float)}, "query", (1,))[0])
        weights = network.check_weights(state, shapes)
        return TransformerPolicy(str(state["name"]), weights, str(state.get("encoder", "")), features, query)
