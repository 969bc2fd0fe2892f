"""The registries of the environment: rigs, priors, rewards, encoders, tasks; and how a part is made from its name.

Built-ins are ``module:attribute`` strings, so that listing them imports nothing heavy. Third parties add their own by
the entry point groups ``deft.rigs``, ``deft.priors``, ``deft.rewards``, ``deft.encoders`` and ``deft.tasks``.

How a part takes its options (the convention of ``build``): a part with an attribute ``Config``, a frozen dataclass,
gets ``config=Config(**options)``; any other part gets the options as keywords. A part that reads weights has a
parameter ``weights``: a mapping from name to path.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deft_env.demonstration import Demonstration
from deft_env.registry import Entry, Registry

if TYPE_CHECKING:
    from deft_env.encoders.encoder import Encoder
    from deft_env.prior.prior import Prior
    from deft_env.rewards.reward import Reward
    from deft_env.rigs.rig import Rig

Weights = Mapping[str, str | Path]


@runtime_checkable
class TaskLike(Protocol):
    """What the environment, priors, rewards and the run loop need of a task; ``deft_env.tasks`` and rigs provide it."""

    @property
    def name(self) -> str:
        """As in the Gymnasium id."""

    @property
    def instruction(self) -> str:
        """What a person would say."""

    @property
    def demonstration(self) -> Demonstration:
        """The post-grasp trajectory tau."""

    @property
    def nominal_rotation(self) -> NDArray[np.float64]:
        """(3, 3) R_nominal, the hand's orientation at which the wrist angles are zero."""

    def success(self, signals: Mapping[str, NDArray[np.float64]]) -> bool:
        """The task's boolean, from the sensor series alone."""

    def score(self, signals: Mapping[str, NDArray[np.float64]]) -> float:
        """The graded rubric in [0, 1], from the sensor series alone."""

    def subgoals(self, signals: Mapping[str, NDArray[np.float64]]) -> Mapping[str, bool]:
        """Sub-goals in words, in order, reached or not."""


@dataclass(frozen=True, slots=True)
class TaskWords:
    """A task in words: what a person says (our choice), and when it succeeded (paper, appendix F)."""

    instruction: str
    success: str


TASK_WORDS: Final[Mapping[str, TaskWords]] = {
    "PickCup": TaskWords("pick up the cup", "the cup leaves the table and stays grasped to the end"),
    "PourCup": TaskWords("pour the cup", "grasped throughout, and turned until its top is lower than its base"),
    "OpenDrawer": TaskWords("open the drawer", "the drawer, slightly open at the start, ends at least 1 cm more open"),
    "PickSpoon": TaskWords("pick up the spoon", "the spoon does not touch the table at the end"),
    "StirSpoon": TaskWords("stir with the spoon", "the spoon's base goes 180 degrees round the pot while grasped"),
    "ScoopGrape": TaskWords("scoop the grape", "at the end the spoon holds a grape and the hand holds the spoon"),
    "PickGrape": TaskWords("pick up the grapes", "all grapes are held above the table; one fallen grape is a failure"),
    "FlipBagel": TaskWords("flip the bagel", "the side that faces up at the end is the other one"),
    "SqueezeLemon": TaskWords("squeeze the lemon", "the lemon is grasped securely on top of the juicer"),
}
"""The nine tasks, in the paper's order."""


def snake(name: str) -> str:
    """``PickCup`` -> ``pick_cup``: the module of a task."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


rigs: Final = Registry("rig", "deft.rigs")
rigs.register(Entry("simulated", "deft_env.rigs.simulated:SimulatedRig", "MuJoCo: arm, hand, objects and camera"))
rigs.register(Entry("real", "deft_env.rigs.real.rig:RealRig", "xArm6, soft hand, RealSense", extra="hardware"))

priors: Final = Registry("prior", "deft.priors")
priors.register(
    Entry(
        "simulated",
        "deft_env.prior.simulated:SimulatedPrior",
        "a person's grasp of the simulated scene with a calibrated error",
        stand_in=True,
    )
)
priors.register(
    Entry(
        "affordance",
        "deft_env.prior.affordance:AffordancePrior",
        "the network f, learned from human video (paper, section 3.1); weights: affordance, choice, clip, sam",
        shipped=(
            ("affordance", "deft_env.prior:affordance-small-synthetic.safetensors"),
            ("choice", "deft_env.prior:choice-small-synthetic.safetensors"),
        ),
    )
)
priors.register(
    Entry(
        "heuristic",
        "deft_env.prior.heuristic:HeuristicPrior",
        "real-world-only baseline: the object's centre, random rotation (paper, section 4)",
    )
)
priors.register(
    Entry(
        "heuristic-run",
        "deft_env.prior.heuristic:run_rotation",
        "the heuristic with one random rotation for a whole run",
    )
)
priors.register(
    Entry("heuristic-palm-down", "deft_env.prior.heuristic:palm_down", "the heuristic with the palm facing down")
)

_TIME_CONTRASTIVE: Final = (("time-contrastive", "deft_env.encoders:time-contrastive-synthetic.safetensors"),)
_SUCCESS_DETECTOR: Final = (("success-detector", "deft_env.encoders:success-detector-synthetic.safetensors"),)
rewards: Final = Registry("reward", "deft.rewards")
rewards.register(
    Entry(
        "oracle",
        "deft_env.rewards.oracle:OracleReward",
        "the judge's score; options: noise, step (as a person would give it)",
        stand_in=True,
    )
)
rewards.register(
    Entry("r3m", "deft_env.rewards.embedding:R3MReward", "negative R3M distance to the goal image; weights: r3m")
)
rewards.register(
    Entry(
        "resnet18",
        "deft_env.rewards.embedding:ResNet18Reward",
        "negative distance to the goal image, ImageNet features; weights: resnet18",
    )
)
rewards.register(
    Entry(
        "time-contrastive",
        "deft_env.rewards.embedding:TimeContrastiveReward",
        "negative distance to the goal image, trained on synthetic videos; weights: time-contrastive",
        shipped=_TIME_CONTRASTIVE,
    )
)
rewards.register(
    Entry(
        "success-detector",
        "deft_env.rewards.success_detector:SuccessDetectorReward",
        "whether the words were done, by pictures before and after; trained on synthetic people; weights: "
        "success-detector",
        stand_in=True,
        shipped=_SUCCESS_DETECTOR,
    )
)
rewards.register(
    Entry(
        "resnet18-random",
        "deft_env.rewards.embedding:RandomResNet18Reward",
        "negative distance to the goal image, features of a random network",
        stand_in=True,
    )
)
rewards.register(
    Entry("success", "deft_env.rewards.oracle:SuccessReward", "1 for success by the judge, 0 otherwise", stand_in=True)
)
rewards.register(Entry("human", "deft_env.rewards.human:HumanReward", "the operator's score from 0 to 1; waits for it"))

encoders: Final = Registry("encoder", "deft.encoders")
encoders.register(Entry("none", "deft_env.encoders.encoder:NoEncoder", "no features: agents see the prior alone"))
encoders.register(
    Entry("colour-grid", "deft_env.encoders.encoder:ColourGrid", "mean colours of an 8 x 8 grid; numpy alone")
)
encoders.register(
    Entry("r3m", "deft_env.encoders.networks:R3MEncoder", "R3M's ResNet18, 512 features; weights: r3m", slow=True)
)
encoders.register(
    Entry(
        "resnet18",
        "deft_env.encoders.networks:ResNet18Encoder",
        "ResNet18 trained on ImageNet, 512 features; weights: resnet18",
        slow=True,
    )
)
encoders.register(
    Entry(
        "time-contrastive",
        "deft_env.encoders.networks:TimeContrastiveEncoder",
        "small network trained on synthetic videos with R3M's objective; weights: time-contrastive",
        slow=True,
        shipped=_TIME_CONTRASTIVE,
    )
)
encoders.register(
    Entry(
        "resnet18-random",
        "deft_env.encoders.networks:RandomResNet18Encoder",
        "ResNet18 with random weights",
        stand_in=True,
        slow=True,
    )
)

tasks: Final = Registry("task", "deft.tasks")
for _name, _words in TASK_WORDS.items():
    tasks.register(Entry(_name, f"deft_env.tasks.{snake(_name)}:{_name}", f"{_words.instruction}: {_words.success}"))


def build(
    registry: Registry, name: str, options: Mapping[str, Any] | None = None, weights: Weights | None = None
) -> Any:
    """Makes the part ``name`` with its options.

    Args:
        registry: one of this module's, or an agent's.
        name: registered name.
        options: the part's own options.
        weights: name -> path, handed to parts that take weights and ignored by others.

    Raises:
        UnknownNameError: if nothing has this name.
        ImportError: if an optional library is absent; the message names the extra.
        ValueError: for an option that the part does not have, or a value that it refuses.
    """
    part = registry.load(name)
    options = dict(options or {})
    config = getattr(part, "Config", None)
    parameters = inspect.signature(part).parameters
    if config is not None:
        allowed = [f.name for f in dataclasses.fields(config)]
    else:
        allowed = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        allowed = [a for a in allowed if a != "weights"]
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            allowed += list(options)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(
            f"{registry.kind} {name!r} has no option {', '.join(map(repr, unknown))}; "
            f"its options are: {', '.join(allowed) or 'none'}"
        )
    keywords: dict[str, Any] = options if config is None else {"config": config(**options)}
    if "weights" in parameters:
        keywords["weights"] = dict(weights or {})
    return part(**keywords)


def shipped_weights(registry: Registry, name: str) -> dict[str, Path]:
    """Name -> file of the weights that come with the package and that the part ``name`` reads unless others are given.

    Raises:
        UnknownNameError: if nothing has this name.
    """
    places = {weight: place.split(":") for weight, place in registry.entry(name).shipped}
    return {weight: Path(str(resources.files(package) / file)) for weight, (package, file) in places.items()}


def takes_weights(registry: Registry, name: str) -> bool:
    """Whether the part ``name`` reads weights."""
    return "weights" in inspect.signature(registry.load(name)).parameters


def make_rig(name: str, options: Mapping[str, Any] | None = None) -> Rig:
    """Makes a rig; see ``build`` for errors."""
    rig: Rig = build(rigs, name, options)
    return rig


def make_prior(name: str, options: Mapping[str, Any] | None = None, weights: Weights | None = None) -> Prior:
    """Makes a prior; see ``build`` for errors."""
    prior: Prior = build(priors, name, options, weights)
    return prior


def make_reward(name: str, options: Mapping[str, Any] | None = None, weights: Weights | None = None) -> Reward:
    """Makes a reward; see ``build`` for errors."""
    reward: Reward = build(rewards, name, options, weights)
    return reward


def make_encoder(name: str, options: Mapping[str, Any] | None = None, weights: Weights | None = None) -> Encoder:
    """Makes an encoder; see ``build`` for errors."""
    encoder: Encoder = build(encoders, name, options, weights)
    return encoder


def make_task(name: str, rig: Rig | None = None) -> TaskLike:
    """The task ``name``: the rig's own where the rig brings tasks (method ``task``), else the registered one.

    A stand-in rig such as the landscape brings tasks of its own, with a judge for its own signals.

    Raises:
        UnknownNameError: if no task has this name.
    """
    entry = tasks.entry(name)
    bring = getattr(rig, "task", None)
    made: TaskLike = bring(name) if callable(bring) else entry.load()()
    return made
