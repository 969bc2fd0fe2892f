"""The searches and policies of this package: names, where they are, what they are and what they need."""

from __future__ import annotations

from typing import Final

from deft_env.registry import Entry

_SEARCH: Final = "deft_agents.search"
_POLICY: Final = "deft_agents.policies"
_NG: Final = f"{_SEARCH}.nevergrad_family:Nevergrad"

_NEVERGRAD: Final = {
    "OnePlusOne": "(1+1) evolution strategy; NGOpt asks the same points here",
    "CauchyOnePlusOne": "(1+1) with heavy-tailed steps",
    "DiscreteOnePlusOne": "(1+1) that changes few coordinates at a time",
    "DE": "differential evolution; thirty episodes are its first, random population",
    "QODE": "quasi-opposite differential evolution",
    "PSO": "particle swarm",
    "CMA": "its own tuning of CMA-ES",
    "DiagonalCMA": "diagonal CMA-ES",
    "RescaledCMA": "CMA-ES with a smaller start",
    "MetaModel": "CMA-ES with a quadratic surrogate",
}
"""Optimizers that ask different points from each other at 22 dimensions and 30 episodes (tested).

Not listed, though they work by name: those that run a SciPy routine in a thread (Cobyla, Powell, DS2, NgIohTuned, …);
they ignore the seed and can propose only one point at a time. Nor those that recommend the untouched prior (TBPSA).
"""

SEARCHES: Final = (
    Entry("cem", f"{_SEARCH}.cem:CEM", "the paper's Algorithm 1: a Gaussian refitted to the 10 best"),
    Entry("cem-logrank", f"{_SEARCH}.cem:LogRankCEM", "cem with log-rank weights and a higher floor"),
    Entry("cem-vae", f"{_SEARCH}.cem_vae:VAESearch", "the thesis version: after warm-up the VAE proposes", slow=True),
    Entry("cma", f"{_SEARCH}.pycma:PyCMA", "CMA-ES, full covariance (pycma)"),
    Entry("cma-mirrored", f"{_SEARCH}.pycma:MirroredCMA", "CMA-ES, diagonal, mirrored draws (pycma)"),
    Entry("sep-cma", f"{_SEARCH}.cmaes_family:SepCMA", "separable CMA-ES (cmaes)"),
    Entry("ws-cma", f"{_SEARCH}.cmaes_family:WarmStartCMA", "CMA-ES warm-started from prior or foreign episodes"),
    Entry("gp", f"{_SEARCH}.gp:GP", "our own: a Gaussian process with the structure of a grasp"),
    Entry("gp-anchored", f"{_SEARCH}.gp_anchored:AnchoredGP", "gp that tries the untouched prior first"),
    Entry(
        "gp-trained",
        f"{_SEARCH}.gp_trained:TrainedGP",
        "gp with settings learned across tasks, which undoes the prior's own scatter",
    ),
    Entry("random", f"{_SEARCH}.simple:RandomSearch", "draws from the initial distribution"),
    Entry("sobol", f"{_SEARCH}.simple:SobolSearch", "the same, evenly spread (scrambled Sobol)"),
    *(Entry(f"ng:{name}", _NG, f"nevergrad: {text}", extra="nevergrad") for name, text in _NEVERGRAD.items()),
    Entry("sb3:sac", f"{_SEARCH}.sb3_family:SACSearch", "soft actor-critic, inside out", extra="sb3", slow=True),
    Entry("sb3:ppo", f"{_SEARCH}.sb3_family:PPOSearch", "PPO, inside out", extra="sb3", slow=True),
    Entry(
        "bo:logei",
        f"{_SEARCH}.botorch_family:LogEI",
        "BoTorch's log noisy expected improvement",
        extra="bo",
        slow=True,
    ),
    Entry("bo:turbo", f"{_SEARCH}.botorch_family:TuRBO", "trust-region Bayesian optimisation", extra="bo", slow=True),
)
FAMILIES: Final = (Entry("ng", _NG, "nevergrad: any other optimizer by name", extra="nevergrad"),)
"""Searches that answer to ``name:anything``."""
POLICIES: Final = (
    Entry("recommend", f"{_POLICY}.simple:Recommend", "the search's own recommendation"),
    Entry("best-seen", f"{_POLICY}.simple:BestSeen", "the best episode's residual"),
    Entry("elite-mean", f"{_POLICY}.simple:EliteMean", "the mean of the 10 best residuals"),
    Entry("argmax", f"{_POLICY}.argmax:Argmax", "optimum of the gp's mean, for any search's episodes"),
    Entry(
        "argmax-trained",
        f"{_POLICY}.argmax_trained:ArgmaxTrained",
        "argmax of the model of gp-trained: undoes the prior's own scatter scene by scene",
    ),
    Entry("cvae", f"{_POLICY}.cvae:CVAE", "the paper's conditional VAE of the 10 best residuals"),
    Entry("cvae-reg", f"{_POLICY}.cvae:RegularisedCVAE", "cvae, standardised and shrunk (ours)"),
    Entry("mlp", f"{_POLICY}.mlp:MLP", "ablation: a plain network regresses the residual"),
    Entry("mlp-reg", f"{_POLICY}.mlp:RegularisedMLP", "mlp, standardised and shrunk (ours)"),
    Entry("transformer", f"{_POLICY}.transformer:Transformer", "ablation: conditioned on reward, on all episodes"),
    Entry("direct", f"{_POLICY}.cvae:Direct", "ablation: the VAE estimates the grasp itself"),
)
