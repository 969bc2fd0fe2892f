"""The paper's policy: a conditional VAE of the elites' residuals (paper, section 3.2), and two relatives.

Encoder q(z | target, c), decoder p(target | z, c), c = (encoding of the first image, prior grasp). At test time z is
drawn from N(0, I). ``cvae`` decodes a residual; ``direct`` decodes the grasp itself (the ablation of Table 3);
``cvae-reg`` is our regularised variant and no row of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Policy
from deft_agents.history import History
from deft_agents.policies import network
from deft_agents.policies.base import ConstantPolicy, PolicyFitter, check_batch, check_size
from deft_agents.policies.scaling import Scaling
from deft_agents.search.base import Search, check_count, check_positive
from deft_env import grasp, paper
from deft_env.episode import Context, agent_generator

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]

_CENTRE: Final = 0.5 * (grasp.LOW + grasp.HIGH)
"""Grasps are decoded in units of sigma around the middle of what a rig accepts."""


def _decoder_shapes(latent: int, width: int, inputs: int) -> dict[str, tuple[int, ...]]:
    sizes = [(latent + inputs, width), (width, width), (width, grasp.DIM)]
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (fan_in, fan_out) in enumerate(sizes):
        shapes[f"d{i}.w"], shapes[f"d{i}.b"] = (fan_out, fan_in), (fan_out,)
    return shapes


class DecoderPolicy(Policy):
    """Draws a latent from each context's generator and decodes it; float32, one row at a time."""

    def __init__(
        self, name: str, kind: str, weights: network.Weights, encoder: str, latent: int, scaling: Scaling
    ) -> None:
        """Takes the trained decoder; ``kind`` is ``"residual"`` or ``"grasp"``: what it decodes."""
        self.name, self.kind, self.encoder, self.latent = name, kind, encoder, latent
        self._weights, self._scaling = weights, scaling
        self._features = weights["d0.w"].shape[1] - latent - grasp.DIM

    def __call__(self, contexts: Sequence[Context], generators: Sequence[np.random.Generator]) -> Array:
        """Residuals (N, 22) in m and rad; those of ``direct`` may lie beyond the box, only the rig holds them."""
        check_batch(contexts, generators)
        return np.array([self._row(c, g) for c, g in zip(contexts, generators, strict=True)], dtype=np.float64).reshape(
            len(contexts), grasp.DIM
        )

    def _row(self, context: Context, rng: np.random.Generator) -> Array:
        c = self._scaling.inputs(network.condition(context, self.encoder, self._features))
        h = np.concatenate([rng.standard_normal(self.latent).astype(np.float32), c])
        h = np.maximum(network.apply_dense(self._weights, "d0", h), np.float32(0))
        h = np.maximum(network.apply_dense(self._weights, "d1", h), np.float32(0))
        decoded = self._scaling.outputs(network.apply_dense(self._weights, "d2", h))
        if self.kind == "grasp":
            return decoded * grasp.SIGMA + _CENTRE - context.prior
        return decoded * grasp.SIGMA

    def state_dict(self) -> dict[str, Any]:
        """The decoder's weights, the encoder's name, and the sizes."""
        width, _ = self._weights["d1.w"].shape
        return {
            "name": self.name,
            "kind": self.kind,
            "encoder": self.encoder,
            "latent": self.latent,
            "width": width,
            "features": self._features,
            **self._weights,
            **self._scaling.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DecoderPolicy:
        """Rebuilds what ``state_dict`` gave; raises ValueError if it is something else."""
        latent, width = check_size("latent", state.get("latent")), check_size("width", state.get("width"))
        features = check_size("features", state.get("features"), 0)
        weights = network.check_weights(state, _decoder_shapes(latent, width, features + grasp.DIM))
        scaling = Scaling.from_state(state, features + grasp.DIM)
        return cls(str(state["name"]), str(state["kind"]), weights, str(state.get("encoder", "")), latent, scaling)


class CVAE(PolicyFitter):
    """Fits the conditional VAE to the elites, 500 steps of Adam on all of them at once (sizes are our choice)."""

    decodes = "residual"
    regularised = False

    def __init__(
        self,
        *,
        seed: int,
        elites: int = paper.ELITES,
        latent: int = paper.CVAE_LATENT,
        width: int = paper.CVAE_WIDTH,
        beta: float = paper.CVAE_BETA,
        steps: int = paper.POLICY_STEPS,
    ) -> None:
        """Makes the fitter.

        Args:
            seed: of the agent.
            elites: how many of the best episodes it is fitted to.
            latent: dimensions of z.
            width: units of each of the two hidden layers of encoder and decoder.
            beta: weight of the KL divergence beside the squared error (summed over the 22 dimensions, in sigmas).
            steps: of Adam, each on all elites.
        """
        super().__init__(seed=seed)
        self.elites = check_count("elites", elites)
        self.latent, self.width = check_size("latent", latent), check_size("width", width)
        self.beta = check_positive("beta", beta, zero=True)
        self.steps = check_count("steps", steps, 0)

    def fit(self, history: History, search: Search) -> Policy:
        """The fitted VAE's decoder; the untouched prior before any episode."""
        chosen = history.elites(self.elites)
        if not len(chosen):
            return ConstantPolicy(self.name, np.zeros(grasp.DIM))
        contexts = [history.contexts[i] for i in chosen]
        c = network.conditions(contexts)
        targets = history.z[chosen]
        if self.decodes == "grasp":
            priors = np.array([context.prior for context in contexts])
            targets = (priors - _CENTRE) / grasp.SIGMA + targets
        scaling = Scaling.fitted(c, targets) if self.regularised else Scaling.none(c.shape[1])
        rng = agent_generator(self.seed, "policy")
        weights = self._train(
            np.stack([scaling.inputs(row) for row in c]), scaling.normalised(targets).astype(np.float32), rng
        )
        decoder = {key: value for key, value in weights.items() if key.startswith("d")}
        return DecoderPolicy(self.name, self.decodes, decoder, contexts[0].encoder, self.latent, scaling)

    def _train(self, c: network.Float32, targets: network.Float32, rng: np.random.Generator) -> network.Weights:
        import torch

        start: network.Weights = {}
        for name, fan_in, fan_out in (
            ("e0", c.shape[1] + grasp.DIM, self.width),
            ("e1", self.width, self.width),
            ("e2", self.width, 2 * self.latent),
            ("d0", c.shape[1] + self.latent, self.width),
            ("d1", self.width, self.width),
            ("d2", self.width, grasp.DIM),
        ):
            start |= network.dense(rng, name, fan_in, fan_out)
        noise = torch.from_numpy(rng.standard_normal((self.steps, len(c), self.latent)).astype(np.float32))
        target, condition = torch.from_numpy(targets), torch.from_numpy(c)
        encoder_input = torch.cat([target, condition], 1)
        linear, relu = torch.nn.functional.linear, torch.relu

        def loss(w: Mapping[str, torch.Tensor], step: int) -> torch.Tensor:
            h = relu(linear(encoder_input, w["e0.w"], w["e0.b"]))
            h = relu(linear(h, w["e1.w"], w["e1.b"]))
            mean, log_variance = linear(h, w["e2.w"], w["e2.b"]).chunk(2, 1)
            z = mean + noise[step] * (0.5 * log_variance).exp()
            h = relu(linear(torch.cat([z, condition], 1), w["d0.w"], w["d0.b"]))
            h = relu(linear(h, w["d1.w"], w["d1.b"]))
            error = ((linear(h, w["d2.w"], w["d2.b"]) - target) ** 2).sum()
            divergence = 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).sum()
            return (error + self.beta * divergence) / len(target)

        return network.train(start, loss, self.steps, weight_decay=0.1 if self.regularised else 0.0)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Policy:
        """Rebuilds a fitted policy from its state."""
        if state.get("kind") == "constant":
            return ConstantPolicy.from_state(state)
        if state.get("kind") != cls.decodes:
            raise ValueError(f"policy state: expected kind {cls.decodes!r}, got {state.get('kind')!r}")
        return DecoderPolicy.from_state(state)


class RegularisedCVAE(CVAE):
    """Our variant: inputs and targets standardised over the elites, weight decay, output shrunk to the elite mean."""

    regularised = True


class Direct(CVAE):
    """The ablation: the VAE estimates the grasp itself instead of a residual (paper, Table 3, "direct")."""

    decodes = "grasp"
