"""The ablation "MLP": a plain regression of the elites' residuals on c (paper, Table 3), and a regularised relative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Policy
from deft_agents.history import History
from deft_agents.policies import network
from deft_agents.policies.base import ConstantPolicy, PolicyFitter, check_batch, check_size
from deft_agents.policies.scaling import Scaling
from deft_agents.search.base import Search, check_count
from deft_env import grasp, paper
from deft_env.episode import Context, agent_generator

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]


class MLPPolicy(Policy):
    """c -> residual through two hidden layers; float32, one row at a time; uses no randomness."""

    def __init__(self, name: str, weights: network.Weights, encoder: str, scaling: Scaling) -> None:
        """Takes the trained weights."""
        self.name, self.encoder = name, encoder
        self._weights, self._scaling = weights, scaling
        self._features = weights["l0.w"].shape[1] - grasp.DIM

    def __call__(self, contexts: Sequence[Context], generators: Sequence[np.random.Generator]) -> Array:
        """Residuals (N, 22) in m and rad."""
        check_batch(contexts, generators)
        return np.array([self._row(c) for c in contexts], dtype=np.float64).reshape(len(contexts), grasp.DIM)

    def _row(self, context: Context) -> Array:
        h = self._scaling.inputs(network.condition(context, self.encoder, self._features))
        for layer in ("l0", "l1"):
            h = np.maximum(network.apply_dense(self._weights, layer, h), np.float32(0))
        return self._scaling.outputs(network.apply_dense(self._weights, "l2", h)) * grasp.SIGMA

    def state_dict(self) -> dict[str, Any]:
        """The weights, the encoder's name, and the sizes."""
        return {
            "name": self.name,
            "kind": "mlp",
            "encoder": self.encoder,
            "width": self._weights["l1.w"].shape[0],
            "features": self._features,
            **self._weights,
            **self._scaling.state(),
        }


class MLP(PolicyFitter):
    """Fits the regression to the elites by least squares, 500 steps of Adam on all of them at once."""

    regularised = False

    def __init__(
        self,
        *,
        seed: int,
        elites: int = paper.ELITES,
        width: int = paper.CVAE_WIDTH,
        steps: int = paper.POLICY_STEPS,
    ) -> None:
        """Takes the number of elites, the units of each of two hidden layers, and the steps of Adam."""
        super().__init__(seed=seed)
        self.elites = check_count("elites", elites)
        self.width = check_size("width", width)
        self.steps = check_count("steps", steps, 0)

    def fit(self, history: History, search: Search) -> Policy:
        """The fitted network; the untouched prior before any episode."""
        import torch

        chosen = history.elites(self.elites)
        if not len(chosen):
            return ConstantPolicy(self.name, np.zeros(grasp.DIM))
        contexts = [history.contexts[i] for i in chosen]
        c, z = network.conditions(contexts), history.z[chosen]
        scaling = Scaling.fitted(c, z) if self.regularised else Scaling.none(c.shape[1])
        x = torch.from_numpy(np.stack([scaling.inputs(row) for row in c]))
        target = torch.from_numpy(scaling.normalised(z).astype(np.float32))
        linear = torch.nn.functional.linear

        def loss(w: Mapping[str, torch.Tensor], step: int) -> torch.Tensor:
            h = torch.relu(linear(x, w["l0.w"], w["l0.b"]))
            h = torch.relu(linear(h, w["l1.w"], w["l1.b"]))
            return ((linear(h, w["l2.w"], w["l2.b"]) - target) ** 2).sum() / len(target)

        rng = agent_generator(self.seed, "policy")
        start = {
            **network.dense(rng, "l0", c.shape[1], self.width),
            **network.dense(rng, "l1", self.width, self.width),
            **network.dense(rng, "l2", self.width, grasp.DIM),
        }
        weights = network.train(start, loss, self.steps, weight_decay=0.1 if self.regularised else 0.0)
        return MLPPolicy(self.name, weights, contexts[0].encoder, scaling)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Policy:
        """Rebuilds a fitted policy from its state."""
        if state.get("kind") == "constant":
            return ConstantPolicy.from_state(state)
        if state.get("kind") != "mlp":
            raise ValueError(f"policy state: expected kind 'mlp', got {state.get('kind')!r}")
        width = check_size("width", state.get("width"))
        inputs = check_size("features", state.get("features"), 0) + grasp.DIM
        sizes = {"l0": (width, inputs), "l1": (width, width), "l2": (grasp.DIM, width)}
        weights = network.check_weights(
            state, {f"{k}.w": s for k, s in sizes.items()} | {f"{k}.b": s[:1] for k, s in sizes.items()}
        )
        return MLPPolicy(str(state["name"]), weights, str(state.get("encoder", "")), Scaling.from_state(state, inputs))


class RegularisedMLP(MLP):
    """Our variant: inputs and targets standardised over the elites, weight decay, output shrunk to the elite mean."""

    regularised = True
