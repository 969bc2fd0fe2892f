"""The parts of a run, made from its configuration; every bad name or option is found before anything starts."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from deft_env import registries
from deft_env.registry import Registry, UnknownNameError
from deft_experiments.config import RunConfig
from deft_experiments.errors import RigError, UsageError

if TYPE_CHECKING:
    from deft_agents import Agent
    from deft_env.encoders.encoder import Encoder
    from deft_env.prior.prior import Prior
    from deft_env.registries import TaskLike
    from deft_env.rewards.reward import Reward
    from deft_env.rigs.rig import Rig


@dataclass(slots=True)
class Parts:
    """Rig, task, prior, reward and encoder of one or many runs of one task; a context manager that closes the rig.

    Attributes:
        rig: executes, in batches.
        task: instruction, demonstration, judge.
        prior: frames to xi.
        reward: outcomes to numbers.
        encoder: images to features; None when agents see the prior alone.
        spent: CPU seconds of this process by what they went into (``clock``).
    """

    rig: Rig
    task: TaskLike
    prior: Prior
    reward: Reward
    encoder: Encoder | None = None
    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def clock(self, what: str) -> Iterator[None]:
        """Adds the CPU time of the block, all threads, to ``spent``."""
        started = time.process_time()
        try:
            yield
        finally:
            self.spent[what] = self.spent.get(what, 0.0) + time.process_time() - started

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Which parts stand in for something real, in words; named in every output."""
        parts = (("rig", self.rig), ("prior", self.prior), ("reward", self.reward), ("encoder", self.encoder))
        return tuple(
            f"{word} {part.name!r}" for word, part in parts if part is not None and getattr(part, "stand_in", False)
        )

    def agent(self, config: RunConfig) -> Agent:
        """A fresh agent for a run; told rewards are turned so that higher is better."""
        from deft_agents import make_agent

        low, high = self.reward.range
        return make_agent(
            config.agent,
            seed=config.seed,
            budget=config.episodes,
            reward_range=(low, high) if self.reward.higher_is_better else (-high, -low),
            **config.agent_options,
        )

    def close(self) -> None:
        """Closes the rig, which leaves its devices safe."""
        self.rig.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def named(make: Callable[[], Any]) -> Any:
    """What ``make`` returns; what it says of a wrong name or option becomes a UsageError."""
    try:
        return make()
    except (UnknownNameError, ValueError, TypeError, ImportError) as error:
        raise UsageError(str(error)) from error


def _known(registry: Registry, name: str) -> None:
    named(functools.partial(registry.entry, name))


def check_task(name: str) -> None:
    """Raises UsageError for an unknown task; the message lists what there is."""
    _known(registries.tasks, name)


def check_agent(name: str, options: Mapping[str, Any], budget: int) -> None:
    """Raises UsageError for an unknown agent, an option that it does not have, or an extra that is not installed."""
    from deft_agents import make_agent

    named(lambda: make_agent(name, seed=0, budget=budget, **options))


def complaints(looks: Iterable[Callable[[], None]]) -> list[str]:
    """What is wrong, of all looks; names that are missing from the same list come together, before the list."""
    found: dict[str, list[str]] = {}
    for look in looks:
        try:
            look()
        except UsageError as error:
            said, known, names = str(error).partition("; there are: ")
            found.setdefault(known + names, []).append(said)
    return [line for known, said in found.items() for line in ([", ".join(said) + known] if known else said)]


def check_names(config: RunConfig) -> None:
    """Looks every name of a configuration up, makes the agent, and imports nothing heavier than that.

    Raises:
        UsageError: for the first name or agent option that is wrong.
    """
    check_task(config.task)
    _known(registries.rigs, config.rig)
    _known(registries.priors, config.prior)
    _known(registries.rewards, config.reward)
    _known(registries.encoders, config.encoder)
    check_agent(config.agent, config.agent_options, config.episodes)


def make_parts(config: RunConfig, weights: Mapping[str, Path] | None = None) -> Parts:
    """Makes the parts of a run.

    Raises:
        UsageError: for an unknown name or option; the message lists what there is.
        RigError: if the rig cannot start.
    """
    check_names(config)
    if config.rig == "real" and not config.rig_options:
        raise UsageError("--rig-config rig.yaml is missing: --rig real needs the file that describes the devices")
    single_thread()
    prior = named(lambda: registries.make_prior(config.prior, config.prior_options, weights))
    reward = named(lambda: registries.make_reward(config.reward, config.reward_options, weights))
    encoder = None if config.encoder == "none" else named(lambda: registries.make_encoder(config.encoder, {}, weights))
    try:
        rig = registries.make_rig(config.rig, config.rig_options)
    except (UnknownNameError, ValueError, TypeError, ImportError) as error:
        raise UsageError(f"rig {config.rig!r}: {error}") from error
    except (OSError, RuntimeError) as error:
        raise RigError(
            f"rig {config.rig!r} cannot start: {error}; `deft doctor` says what this machine lacks"
        ) from error
    try:
        _open(config.rig, rig)
        task = named(lambda: registries.make_task(config.task, rig))
    except BaseException:
        rig.close()
        raise
    return Parts(rig, task, prior, reward, encoder)


def _open(name: str, rig: Rig) -> None:
    """Connects a rig that has devices, so that a wrong address is found before anybody prepares a scene."""
    connect = getattr(rig, "open", None)
    if connect is None:
        return
    try:
        connect()
    except ImportError as error:
        raise UsageError(f"rig {name!r}: {error}") from error
    except (OSError, RuntimeError) as error:
        raise RigError(f"rig {name!r} cannot start: {error}") from error


def single_thread() -> None:
    """One BLAS and OpenMP thread, for this process and its children: the same bits everywhere, and faster on few cores.

    Libraries that are loaded already keep their own setting; the command calls this before it loads any.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
